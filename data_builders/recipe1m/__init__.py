"""Recipe1M's official download -> sharded TFRecords: `python -m data_builders.recipe1m --source DIR --out DIR`."""
