"""What is random in batches: its distribution, and that it depends on the seed, the step and the row alone."""

import dataclasses

import ml_collections
import numpy as np
import pytest

from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.draws import Draws
from adamine_jax.input.records import load_index

SIZE = 64


@pytest.fixture(scope="module")
def index(tiny_data):
    return load_index(open_dataset(tiny_data).shards("train"))


def draws_of(index, seed=3, mismatch=0.0, size=SIZE):
    return Draws(index, seed, ml_collections.ConfigDict({"mismatch": mismatch, "shuffle_photos": False}), size)


def test_uniform_draws_are_uniform_and_their_columns_and_steps_independent(index):
    uniform = np.stack([draws_of(index).of_step(step).uniform for step in range(400)])
    assert (uniform.dtype, uniform.shape) == (np.float32, (400, SIZE, 4))
    assert uniform.min() >= 0
    assert uniform.max() < 1
    counts = np.histogram(uniform, 16, (0, 1))[0] / uniform.size
    np.testing.assert_allclose(counts, 1 / 16, atol=0.004)
    columns = np.corrcoef(uniform.reshape(-1, 4).T) - np.eye(4)
    assert np.abs(columns).max() < 0.03
    assert abs(np.corrcoef(uniform[:-1].ravel(), uniform[1:].ravel())[0, 1]) < 0.02


@pytest.mark.parametrize("mismatch", [0.0, 0.25, 1.0])
def test_mismatched_rows_borrow_from_any_other_record(index, mismatch):
    records = np.arange(SIZE) % len(index)
    steps = [draws_of(index, mismatch=mismatch).of_step(step) for step in range(300)]
    lenders = np.stack([drawn.lenders(records, slice(None)) for drawn in steps])
    is_other = lenders != records
    assert abs(is_other.mean() - mismatch) < 0.02
    if mismatch:
        ahead = (lenders - records)[is_other] % len(index)
        counts = np.bincount(ahead, minlength=len(index))
        assert counts[0] == 0
        expected = len(ahead) / (len(index) - 1)
        assert np.abs(counts[1:] - expected).max() < 5 * np.sqrt(expected)


def test_draws_depend_on_seed_step_and_row_alone(index):
    def of(seed, step, size=SIZE):
        return dataclasses.asdict(draws_of(index, seed, 0.5, size).of_step(step))

    one, again = of(3, 7), of(3, 7)
    np.testing.assert_array_equal(one["uniform"], again["uniform"])
    np.testing.assert_array_equal(one["ahead"], again["ahead"])
    for other in (of(4, 7), of(3, 8), of(7, 3), of(-3, 7)):
        assert (one["uniform"] != other["uniform"]).mean() > 0.99
    # Philox4x64-10, whose known answers NumPy tests; these are the first ones of this key.
    raw = np.random.Philox(key=[3, 7]).random_raw(2)
    np.testing.assert_array_equal(one["uniform"][0, :2], (raw >> np.uint64(40)).astype(np.float32) / 2**24)
