"""Reads a converted collection independently: TFRecord framing by hand, then the protocol buffers."""

import struct
from pathlib import Path

import tensorflow as tf


def read_records(folder: Path, partition: str) -> list[dict]:
    """Returns the records of a partition as lists of bytes or numbers, in the order of the files."""
    records = []
    for path in sorted(folder.glob(f"recipe1m-{partition}.tfrecord-*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            records.append(_fields(tf.train.Example.FromString(data[12 : 12 + length])))
            data = data[16 + length :]
    return records


def _fields(example: tf.train.Example) -> dict[str, list]:
    values = {}
    for name, feature in example.features.feature.items():
        values[name] = list(getattr(feature, feature.WhichOneof("kind")).value)
    return values
