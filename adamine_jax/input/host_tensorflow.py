"""TensorFlow as it is used here: quiet, and without a device but the host."""

import os

# Its greetings about oneDNN and CPU features are no news to our users; nothing here multiplies matrices with it.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import tensorflow as tf

__all__ = ["REFUSALS", "tf"]

for _kind in ("GPU", "TPU"):
    tf.config.set_visible_devices([], _kind)  # the accelerators' memory belongs to JAX

REFUSALS = (tf.errors.InvalidArgumentError, UnicodeDecodeError)
"""What bad input raises: TensorFlow cannot tell its own error where its message quotes bytes that are no text."""
