"""TFRecords → epoch plan → batches on the devices.

No TensorFlow: it takes seconds to import, and these files are read without it.
"""
