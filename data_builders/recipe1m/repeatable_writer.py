"""Writes records so that equal ones are the same bytes."""

import tensorflow as tf
import tensorflow_datasets as tfds


class RepeatableWriter(tfds.core.ExampleWriter):
    """Writes a record's fields in the order of their names.

    Protocol buffers leave the order of a map's entries open, and it does change from run to run.

    It is no part of the builder's module because Beam's workers import it, and `tfds build` knows that module by
    another name.
    """

    def write(self, path, examples):
        return super().write(path, ((key, _in_order(record)) for key, record in examples))


def _in_order(record: bytes) -> bytes:
    return tf.train.Example.FromString(record).SerializeToString(deterministic=True)
