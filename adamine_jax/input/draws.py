"""The randomness of training batches: a pure function of (seed, step, row of the global batch)."""

import numpy as np

from adamine_jax.input.reading import Rows
from adamine_jax.input.record_index import RecordIndex


class Draws:
    """The random choices of a run.

    Args:
        index: Record index of the train split.
        seed: Seed of the run.
        data: `config.data`; reads `mismatch` and `shuffle_photos`.
        with_photo: Number of leading records that have photos; None = all.
    """

    def __init__(self, index: RecordIndex, seed: int, data, with_photo: int | None = None):
        self._with_photo = len(index) if with_photo is None else with_photo
        self._index, self._seed, self._mismatch = index, seed, data.mismatch
        self._photo_record = np.arange(len(index))
        if data.shuffle_photos:  # a control experiment: each record gets the photos of another one
            count = self._with_photo
            self._photo_record[:count] = np.random.default_rng([seed, count]).permutation(count)

    def __call__(self, step: int, numbers: np.ndarray) -> Rows:
        """Draws photos and crops for a global batch.

        Args:
            step: Number of the step.
            numbers: (B,) record numbers of the global batch.
        """
        size, count = len(numbers), self._with_photo
        uniform = _uniform(self._seed, step, 0, (size, 4))
        photo_records = self._photo_record[numbers]
        if self._mismatch:
            is_mismatched = (_uniform(self._seed, step, 1, (size,)) < self._mismatch) & (numbers < count)
            # An offset of 1 or more: never the recipe's own photo.
            offset = 1 + (_raw(self._seed, step, 2, size) % np.uint64(max(count - 1, 1))).astype(np.int64)
            photo_records = np.where(is_mismatched, (numbers + offset) % count, photo_records)
        photos = (self._index.first_photo[photo_records + 1] - self._index.first_photo[photo_records]).astype(
            np.float32
        )
        uniform = np.concatenate([uniform, _uniform(self._seed, step, 3, (size, 2))], axis=1)
        seeds = _raw(self._seed, step, 4, size)
        return Rows(numbers, photo_records, (uniform[:, 0] * photos).astype(np.int64), uniform[:, 1:], seeds)


def _raw(seed: int, step: int, purpose: int, count: int) -> np.ndarray:
    """(count,) random uint64 from Philox, whose output is the same in all versions of NumPy."""
    key = np.array([seed, step], np.int64).astype(np.uint64)
    return np.random.Philox(key=key, counter=[0, 0, 0, purpose]).random_raw(count)


def _uniform(seed: int, step: int, purpose: int, shape: tuple[int, ...]) -> np.ndarray:
    """Random float32 from [0, 1) with 24 bits."""
    raw = _raw(seed, step, purpose, int(np.prod(shape)))
    return ((raw >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)).reshape(shape)
