"""Writes records deterministically."""

import tensorflow as tf
import tensorflow_datasets as tfds


class RepeatableWriter(tfds.core.ExampleWriter):
    """Writes the fields of a record in the order of their names; by default, protocol buffers vary it between runs.

    It is not part of the builder's module because Beam workers import it, and `tfds build` loads the builder under
    another module name.
    """

    def write(self, path, examples):
        return super().write(path, ((key, _sorted_fields(record)) for key, record in examples))


def _sorted_fields(record: bytes) -> bytes:
    return tf.train.Example.FromString(record).SerializeToString(deterministic=True)
