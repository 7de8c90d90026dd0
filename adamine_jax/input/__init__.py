"""TFRecords → epoch plan → batches on the devices. TensorFlow reads and decodes on the host, nothing more."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # its greeting about CPU features is no news to our users

import tensorflow as tf

for _kind in ("GPU", "TPU"):
    tf.config.set_visible_devices([], _kind)  # the accelerators' memory belongs to JAX
