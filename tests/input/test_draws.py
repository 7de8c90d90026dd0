"""The random choices of training batches: distribution and reproducibility."""

import ml_collections
import numpy as np
import pytest

from adamine_jax.input.draws import Draws

SIZE = 64


def draw(index, step, seed=3, mismatch=0.0, numbers=None):
    draws = Draws(index, seed, ml_collections.ConfigDict({"mismatch": mismatch, "shuffle_photos": False}))
    return draws(step, np.arange(SIZE) % len(index) if numbers is None else numbers)


def test_uniform_draws_are_uniform_and_independent_between_columns_and_steps(index):
    uniform = np.stack([draw(index, step).uniform for step in range(400)])
    assert (uniform.dtype, uniform.shape) == (np.float32, (400, SIZE, 5))
    assert uniform.min() >= 0
    assert uniform.max() < 1
    counts = np.histogram(uniform, 16, (0, 1))[0] / uniform.size
    np.testing.assert_allclose(counts, 1 / 16, atol=0.004)
    columns = np.corrcoef(uniform.reshape(-1, 5).T) - np.eye(5)
    assert np.abs(columns).max() < 0.03
    assert abs(np.corrcoef(uniform[:-1].ravel(), uniform[1:].ravel())[0, 1]) < 0.02


def test_every_photo_of_a_recipe_is_drawn_equally_often(index):
    counts = np.diff(index.first_photo)
    drawn = [draw(index, step, numbers=np.arange(len(index))).photos for step in range(600)]
    for photos, count in zip(np.stack(drawn, axis=1), counts, strict=True):
        observed = np.bincount(photos, minlength=count)
        assert len(observed) == count
        assert np.abs(observed - 600 / count).max() < 5 * np.sqrt(600 / count)


@pytest.mark.parametrize("mismatch", [0.0, 0.25, 1.0])
def test_mismatched_rows_draw_from_all_other_records(index, mismatch):
    records = np.arange(SIZE) % len(index)
    photo_records = np.stack([draw(index, step, mismatch=mismatch).photo_records for step in range(300)])
    is_other = photo_records != records
    assert abs(is_other.mean() - mismatch) < 0.02
    if mismatch:
        offsets = (photo_records - records)[is_other] % len(index)
        counts = np.bincount(offsets, minlength=len(index))
        assert counts[0] == 0
        expected = len(offsets) / (len(index) - 1)
        assert np.abs(counts[1:] - expected).max() < 5 * np.sqrt(expected)


def test_draws_depend_only_on_seed_step_and_row(index):
    one, again = (draw(index, 7, mismatch=0.5) for _ in range(2))
    for values, repeated in zip(one, again, strict=True):
        np.testing.assert_array_equal(values, repeated)
    for step, seed in ((7, 4), (8, 3), (3, 7), (7, -3)):
        assert (one.uniform != draw(index, step, seed, 0.5).uniform).mean() > 0.99
    # The first values of Philox4x64-10 for this key; NumPy tests the generator against known answers.
    raw = np.random.Philox(key=[3, 7]).random_raw(2)
    np.testing.assert_array_equal(one.uniform[0, :1], (raw[1:] >> np.uint64(40)).astype(np.float32) / 2**24)
