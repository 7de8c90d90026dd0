"""TFRecords → epoch plan → batches on the devices. TensorFlow reads and decodes on the host, nothing more."""

import os

# Its greetings about oneDNN and CPU features are no news to our users; nothing here multiplies matrices with it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import tensorflow as tf

for _kind in ("GPU", "TPU"):
    tf.config.set_visible_devices([], _kind)  # the accelerators' memory belongs to JAX
