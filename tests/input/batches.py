"""Training batches of the tiny data set."""

import numpy as np

from adamine_jax.input import pipeline
from tests import tiny

MAX_SENTENCES, MAX_WORDS = 3, 5


def batch_config(**data):
    """Returns a small configuration with changed fields of `data`."""
    sizes = {"model__recipe__max_sentences": MAX_SENTENCES, "model__recipe__max_words": MAX_WORDS}
    return tiny.small_config("unused", seed=7, **sizes, **{f"data__{name}": value for name, value in data.items()})


def train_batches(index, plan, config=None, **changes):
    """Lists the batches of a plan, by default all rows from the first step."""
    arguments = {"first_step": 0, "rows": slice(None)} | changes
    return list(pipeline.train_batches(index, plan, config or batch_config(), **arguments))


def assert_equal(batches, expected):
    for batch, other in zip(batches, expected, strict=True):
        assert set(batch) == set(other)
        for name, rows in batch.items():
            np.testing.assert_array_equal(rows, other[name], err_msg=name)
