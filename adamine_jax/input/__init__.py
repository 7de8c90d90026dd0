"""TFRecords → epoch plan → batches on the devices.

TensorFlow parses the records on the host, nothing more. It takes seconds to import, so what needs none of it, such as a
search, does not: `host_tensorflow` is where it comes from.
"""
