"""TFRecords → epoch plan → batches on the devices, without TensorFlow, whose import takes seconds."""
