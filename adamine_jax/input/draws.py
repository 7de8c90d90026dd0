"""What is random in training batches: a pure function of (seed, step, row of the global batch)."""

import dataclasses

import numpy as np

from adamine_jax.input.reading import Rows
from adamine_jax.input.records import RecordIndex


class Draws:
    """The draws of a run.

    Args:
        index: of the train split.
        seed: of the run.
        data: `config.data`; reads `mismatch` and `shuffle_photos`.
        batch_size: B, rows of a global batch.
    """

    def __init__(self, index: RecordIndex, seed: int, data, batch_size: int):
        self._index, self._seed, self._mismatch, self._batch_size = index, seed, data.mismatch, batch_size
        self._lender_of = np.arange(len(index))
        if data.shuffle_photos:  # the control experiment: each record gets another one's photos
            self._lender_of = np.random.default_rng([seed, len(index)]).permutation(len(index))

    def of_step(self, step: int) -> "StepDraws":
        """Those of one global batch."""
        size = self._batch_size
        uniform = _uniform(self._seed, step, 0, (size, 4))
        ahead = np.zeros(size, np.int64)
        if self._mismatch:
            is_mismatched = _uniform(self._seed, step, 1, (size,)) < self._mismatch
            # From 1 on: never the recipe itself.
            another = 1 + (_raw(self._seed, step, 2, size) % np.uint64(max(len(self._index) - 1, 1))).astype(np.int64)
            ahead = np.where(is_mismatched, another, 0)
        return StepDraws(self._index, self._lender_of, uniform, ahead)


@dataclasses.dataclass(frozen=True)
class StepDraws:
    """The draws of a global batch.

    Attributes:
        index: of the train split.
        lender_of: (N,) the record that lends each record its photos, where the pair is not mismatched.
        uniform: (B, 4) float32 from [0, 1): which photo, and the crop.
        ahead: (B,) int64, by how many records a mismatched row's lender follows its record; 0 = not mismatched.
    """

    index: RecordIndex
    lender_of: np.ndarray
    uniform: np.ndarray
    ahead: np.ndarray

    def lenders(self, numbers: np.ndarray, places: slice) -> np.ndarray:
        """(R,) record numbers at some rows of the batch to the (R,) records that lend them their photos there."""
        ahead = self.ahead[places]
        return np.where(ahead > 0, (numbers + ahead) % len(self.index), self.lender_of[numbers])

    def rows(self, numbers: np.ndarray, lenders: np.ndarray, places: slice) -> Rows:
        """What is read at some rows of the batch, (R,) records with the photos of (R,) others."""
        uniform = self.uniform[places]
        photos = (self.index.first_photo[lenders + 1] - self.index.first_photo[lenders]).astype(np.float32)
        return Rows(numbers, lenders, (uniform[:, 0] * photos).astype(np.int64), uniform[:, 1:])


def _raw(seed: int, step: int, purpose: int, count: int) -> np.ndarray:
    """(count,) uint64, random: Philox, whose numbers stay the same in all versions of NumPy."""
    key = np.array([seed, step], np.int64).astype(np.uint64)
    return np.random.Philox(key=key, counter=[0, 0, 0, purpose]).random_raw(count)


def _uniform(seed: int, step: int, purpose: int, shape: tuple[int, ...]) -> np.ndarray:
    """float32 from [0, 1), of 24 random bits each."""
    raw = _raw(seed, step, purpose, int(np.prod(shape)))
    return ((raw >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)).reshape(shape)
