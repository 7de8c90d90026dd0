"""The embeddings of one modality of a gallery: memory-mapped segments, followed by rows in memory."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from adamine_jax.base import files
from adamine_jax.base.errors import UserError
from adamine_jax.gallery.folder.files import reading
from adamine_jax.gallery.items import REBUILD


class Vectors:
    """(P, D) unit rows in several parts, which are read as float32.

    Args:
        parts: Arrays (p, D), float32 or float16, of which the sum of p is P.
        dim: Length D of a row.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, parts: Sequence[np.ndarray], dim: int):
        self._parts = [part for part in parts if len(part)]
        self._starts = np.cumsum([0, *map(len, self._parts)])
        self.shape = int(self._starts[-1]), dim

    def __len__(self) -> int:
        return self.shape[0]

    def blocks(self, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yields (position of the first row, at most `size` float32 rows); float32 rows are not copied."""
        for start, part in zip(self._starts, self._parts, strict=False):
            for offset in range(0, len(part), size):
                yield int(start) + offset, np.asarray(part[offset : offset + size], np.float32)

    def tail(self, start: int) -> "Vectors":
        """Returns the rows from a position, without copying them."""
        parts = zip(self._parts, self._starts, strict=False)
        return Vectors([part[max(start - first, 0) :] for part, first in parts], self.shape[1])

    def __getitem__(self, positions: int | slice | np.ndarray) -> np.ndarray:
        """Returns the float32 rows at some positions, which must not be negative."""
        if isinstance(positions, slice):
            positions = np.arange(*positions.indices(len(self)))
        wanted = np.asarray(positions, np.int64)
        flat = wanted.reshape(-1)
        if len(flat) and not 0 <= flat.min() <= flat.max() < len(self):
            raise IndexError(f"positions {flat.min()} to {flat.max()} of {len(self)} rows")
        found = np.empty((len(flat), self.shape[1]), np.float32)
        if (np.diff(flat) >= 0).all():  # as the candidates of searches are
            bounds = np.searchsorted(flat, self._starts)
            for number in np.flatnonzero(np.diff(bounds)):
                chosen = slice(bounds[number], bounds[number + 1])
                found[chosen] = self._parts[number][flat[chosen] - self._starts[number]]
            return found.reshape(*wanted.shape, self.shape[1])
        order = np.argsort(flat, kind="stable")
        found[order] = self[flat[order]]
        return found.reshape(*wanted.shape, self.shape[1])

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        if len(self._parts) == 1 and not copy and dtype in (None, self._parts[0].dtype):
            return np.asarray(self._parts[0])
        return self[:] if dtype is None else self[:].astype(dtype)


def write_segment(path: Path, rows: Iterable[bytes], count: int, dim: int, dtype: np.dtype) -> None:
    """Writes the (count, dim) array of a segment, given the content of each row, atomically."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": (count, dim)}
    with files.atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for row in rows:
            file.write(row)


def open_segment(path: Path, count: int, dim: int, dtype: np.dtype) -> np.ndarray:
    """Memory-maps a segment.

    Raises:
        UserError: The file is missing, damaged, or of another shape.
    """
    with reading(path):
        found = np.load(path, mmap_mode="r")
    if found.shape != (count, dim) or found.dtype != dtype:
        raise UserError(f"{path}: {found.dtype} {found.shape} instead of {dtype} {(count, dim)}; {REBUILD}")
    return found.view(np.ndarray)  # np.memmap takes longer to slice
