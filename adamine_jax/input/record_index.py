"""Random access to the records of TFRecord shards, by an index of their offsets.

The index is built once by reading every record, which also checks its CRC, and is cached beside the shards. An epoch
can then visit the records in the order of its plan at the speed of a sequential read.
"""

import dataclasses
import threading
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from adamine_jax.base import files, storage
from adamine_jax.base.progress import Progress
from adamine_jax.input.damage import Damage, DamagedRecord
from adamine_jax.input.tfrecords import (
    FOOTER_BYTES,
    HEADER_BYTES,
    NOT_A_RECIPE,
    Scanned,
    fault,
    parse_row,
    payload_length,
    scan,
)

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class RecordIndex:
    """The position of each record of a split, in the order of the shards.

    Attributes:
        shards: The TFRecord files.
        shard: (N,) int32, index of the file.
        offset: (N,) int64, first byte of the payload.
        length: (N,) int64, length of the payload in bytes.
        ids: (N,) recipe ids, bytes.
        class_id: (N,) int32, 0 = background.
        has_classes: () bool, whether all records have a class field; if not, all are background.
        first_photo: (N + 1,) int64, index of each record's first photo among the photos of all records, followed by
            their total number.
        photo_ids: (P,) ids of the photos, bytes; empty if the records do not have them.
        left_out: (L,) damaged records, which have no number: `shard<TAB>first byte<TAB>reason`.
    """

    shards: tuple[Path, ...]
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    ids: np.ndarray
    class_id: np.ndarray
    has_classes: np.ndarray
    first_photo: np.ndarray
    photo_ids: np.ndarray
    left_out: np.ndarray

    def __len__(self) -> int:
        return len(self.offset)

    def sorted_by_id(self) -> np.ndarray:
        """(N,) int64 record numbers sorted by recipe id, the order of every evaluation."""
        return np.argsort(self.ids, kind="stable")

    def joined(self, other: "RecordIndex") -> "RecordIndex":
        """Returns the index of both; the records of the other get the numbers after those of this one."""
        photos = self.first_photo[-1]
        arrays = {name: np.concatenate([getattr(self, name), getattr(other, name)]) for name in _PER_RECORD}
        return RecordIndex(
            **arrays,
            shards=self.shards + other.shards,
            shard=np.concatenate([self.shard, other.shard + np.int32(len(self.shards))]),
            first_photo=np.concatenate([self.first_photo[:-1], other.first_photo + photos]),
            has_classes=self.has_classes,
            left_out=self.left_out,
        )

    def damaged(self, number: int, reason: str) -> DamagedRecord:
        """Returns the error for a damaged record."""
        byte = int(self.offset[number]) - HEADER_BYTES
        return DamagedRecord(self.shards[self.shard[number]], byte, bytes(self.ids[number]), reason)


_PER_RECORD = ("offset", "length", "ids", "class_id", "photo_ids")
ARRAYS = tuple(field.name for field in dataclasses.fields(RecordIndex) if field.name != "shards")


def load_index(shards: Sequence[Path], damage: Damage | None = None) -> RecordIndex:
    """Loads the cached index of the shards, or builds and caches it.

    If the shards were damaged after the index was cached, the cached index is kept: all records keep their numbers, and
    a run that resumes keeps its epoch plans.

    Args:
        shards: The TFRecord files of one split, in order.
        damage: Counts the damaged records. Each load reports those that the index leaves out.

    Raises:
        UserError: A shard is unreadable, or too many records are damaged.
    """
    shards, damage = tuple(shards), Damage() if damage is None else damage
    if not shards:
        return _make_index((), [])
    stamp = _stamp(shards)
    cache = shards[0].parent / f".{shards[0].name.split('.tfrecord')[0]}.index.npz"
    storage.fetch(cache)
    cached = _read_cache(cache, shards)
    is_current = cached is not None and np.array_equal(cached[0], stamp)
    if cached is not None and is_current:
        index = cached[1]
    else:
        old = cached[1] if cached is not None and _may_be_damaged(cached[0], stamp) else None
        index = _renew(shards, old, damage)
    for line in index.left_out:
        shard, byte, reason = str(line).split("\t")
        damage.report(DamagedRecord(shards[int(shard)], int(byte), b"", reason))
    if is_current:
        return index
    try:
        with files.atomic_write(cache) as temporary:
            np.savez(temporary, stamp=stamp, **{name: getattr(index, name) for name in ARRAYS})
    except (OSError, storage.StoreError):
        pass  # a read-only data set: each run builds the index again
    return index


def build_index(shards: Sequence[Path]) -> RecordIndex:
    """Builds the index by reading every record of the shards, the TFRecord files of one split, in order.

    Raises:
        DamagedRecord: A header is damaged or a shard is truncated.
    """
    scanned = _map_shards(lambda shard: scan(shards[shard]), len(shards), "indexing the records")
    return _make_index(tuple(shards), scanned)


def _renew(shards: tuple[Path, ...], old: RecordIndex | None, damage: Damage) -> RecordIndex:
    """Builds the index, or keeps the old one if the shards differ from it only by damage."""
    try:
        index = build_index(shards)
    except DamagedRecord:
        if old is not None and _verify(old, damage):
            return old
        raise
    return old if old is not None and len(index.left_out) and _verify(old, damage) else index


def _verify(index: RecordIndex, damage: Damage) -> bool:
    """Whether the shards contain the records of the index, apart from damaged ones, which are reported."""
    reader = RecordReader(index)

    def check(shard: int) -> list[DamagedRecord] | None:
        damaged, is_same = [], False
        for number in np.flatnonzero(index.shard == shard).tolist():
            is_same |= reader.has_header(number)
            try:
                row = parse_row(reader.read(number), 0)
            except DamagedRecord as error:
                damaged.append(error)
                continue
            if row is None:
                damaged.append(index.damaged(number, NOT_A_RECIPE))
            elif row.id != index.ids[number]:
                return None
        return damaged if is_same or not damaged else None

    checked = _map_shards(check, len(index.shards), "checking the records")
    reader.close()
    if any(shard is None for shard in checked):
        return False
    for record in (record for shard in checked for record in shard or ()):
        damage.report(record)
    return True


def _map_shards(function: Callable[[int], T], count: int, title: str) -> list[T]:
    """Calls a function with the index of each shard, in threads, and shows the progress."""
    with Progress(title, count, "shard") as progress, ThreadPoolExecutor() as pool:

        def call(shard: int) -> T:
            result = function(shard)
            progress.update()
            return result

        return list(pool.map(call, range(count)))


def _stamp(shards: Sequence[Path]) -> np.ndarray:
    """(S,) name, size and modification time of each shard."""
    return np.array([" ".join(map(str, (path.name, *storage.version(path)))) for path in shards])


def _may_be_damaged(old: np.ndarray, new: np.ndarray) -> bool:
    """Whether shards have the names of an earlier stamp and are not longer, as after a copy, damage or truncation."""
    if len(old) != len(new):
        return False
    pairs = [(str(a).rsplit(" ", 2), str(b).rsplit(" ", 2)) for a, b in zip(old, new, strict=True)]
    return all(a[0] == b[0] and int(a[1]) >= int(b[1]) for a, b in pairs)


def _read_cache(cache: Path, shards: tuple[Path, ...]) -> tuple[np.ndarray, RecordIndex] | None:
    """Returns the stamp and the index of a cache; None if it is missing, damaged or of another version."""
    try:
        with open(cache, "rb") as file, np.load(file) as arrays:
            return arrays["stamp"], RecordIndex(shards, **{field: arrays[field] for field in ARRAYS})
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None


def _make_index(shards: tuple[Path, ...], scanned: list[Scanned]) -> RecordIndex:
    rows = [row for shard in scanned for row in shard.rows]
    return RecordIndex(
        shards=shards,
        shard=np.repeat(np.arange(len(shards), dtype=np.int32), [len(shard.rows) for shard in scanned]),
        offset=np.array([row.offset for row in rows], np.int64),
        length=np.array([row.length for row in rows], np.int64),
        ids=np.array([row.id for row in rows], np.bytes_),
        class_id=np.array([row.class_id or 0 for row in rows], np.int32),
        has_classes=np.array(all(row.class_id is not None for row in rows)),
        first_photo=np.cumsum([0, *(len(row.photo_ids) for row in rows)], dtype=np.int64),
        photo_ids=np.array([photo for row in rows for photo in row.photo_ids], np.bytes_),
        left_out=np.array(
            [f"{number}\t{byte}\t{reason}" for number, shard in enumerate(scanned) for byte, reason in shard.left_out],
            np.str_,
        ),
    )


class RecordReader:
    """Reads records by number. Thread-safe.

    Args:
        index: Record index of the split.

    Attributes:
        is_remote: Whether records are read from an object store.
    """

    def __init__(self, index: RecordIndex):
        self._index = index
        self._files = [storage.Ranges(path) for path in index.shards]
        self.is_remote = any(file.is_remote for file in self._files)
        self._ahead: dict[int, list[Future[bytes]]] = {}
        self._lock = threading.Lock()

    def read_ahead(self, numbers: np.ndarray) -> None:
        """Starts to download remote records, each for one `read`. Does nothing for local files."""
        for number in numbers.tolist() if self.is_remote else ():
            file, offset, length = self._place(number)
            future = file.start_reading(offset, length)
            with self._lock:
                self._ahead.setdefault(number, []).append(future)

    def _requested(self, number: int) -> Future[bytes] | None:
        with self._lock:
            waiting = self._ahead.pop(number, None)
            if not waiting:
                return None
            if len(waiting) > 1:
                self._ahead[number] = waiting[1:]
            return waiting[0]

    def read(self, number: int) -> bytes:
        """Returns the payload of a record.

        Raises:
            DamagedRecord: The record is unreadable, truncated or has a wrong checksum.
        """
        file, offset, length = self._place(number)
        try:
            requested = self._requested(int(number)) if self.is_remote else None
            record = requested.result() if requested else file.read(offset, length)
        except OSError as error:  # a bad sector
            raise self._index.damaged(number, f"cannot be read ({error.strerror})") from None
        payload, footer = record[:-FOOTER_BYTES], record[-FOOTER_BYTES:]
        if reason := fault(payload, footer, length - FOOTER_BYTES):
            raise self._index.damaged(number, reason)
        return payload

    def _place(self, number: int) -> tuple[storage.Ranges, int, int]:
        """Returns the file of a record, and the first byte and the length of its payload and footer."""
        index = self._index
        length = int(index.length[number]) + FOOTER_BYTES
        return self._files[index.shard[number]], int(index.offset[number]), length

    def has_header(self, number: int) -> bool:
        """Whether the header of a record is where the index expects it."""
        file, offset = self._files[self._index.shard[number]], int(self._index.offset[number])
        return payload_length(file.read(offset - HEADER_BYTES, HEADER_BYTES)) == self._index.length[number]

    def close(self) -> None:
        """Closes the shards."""
        for file in self._files:
            file.close()
        self._files = []
