"""Random access to the records of TFRecord shards, by an index of their offsets.

The index is built once by reading every record (which also checks its CRC) and cached beside the shards, so that
an epoch can visit the records in the order of its plan at the speed of a sequential read.
"""

import dataclasses
import os
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from adamine_jax.base import files
from adamine_jax.base.progress import Progress
from adamine_jax.input.damage import Damage, DamagedRecord
from adamine_jax.input.shards import FOOTER_BYTES, HEADER_BYTES, Row, Scanned, fault, scan


@dataclasses.dataclass(frozen=True)
class RecordIndex:
    """Where each record of a split lies, in the order of the shards.

    Attributes:
        shards: the files.
        shard: (N,) int32, number of the file.
        offset: (N,) int64, first byte of the payload.
        length: (N,) int64, bytes of the payload.
        ids: (N,) recipe ids, bytes.
        class_id: (N,) int32, 0 = background.
        has_classes: () bool, whether the records have a class field at all; without it all are background.
        first_photo: (N + 1,) int64, number of each record's first photo among those of all records, and their total.
        photo_ids: (P,) ids of the photos, bytes; empty ones where the records have none.
        left_out: (L,) damaged records that have no number: `shard<TAB>first byte<TAB>reason`.
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
        """(N,) int64 record numbers in the order of the ids: the order of every evaluation."""
        return np.argsort(self.ids, kind="stable")

    def damaged(self, number: int, reason: str) -> DamagedRecord:
        """Says that a record is damaged, and where it lies."""
        byte = int(self.offset[number]) - HEADER_BYTES
        return DamagedRecord(self.shards[self.shard[number]], byte, bytes(self.ids[number]), reason)

    def rows_of(self, shard: int) -> dict[int, Row]:
        """The rows of a shard, by their offset."""
        rows = {}
        for number in np.flatnonzero(self.shard == shard):
            photos = self.photo_ids[self.first_photo[number] : self.first_photo[number + 1]]
            class_id = int(self.class_id[number]) if self.has_classes else None
            offset, length = int(self.offset[number]), int(self.length[number])
            rows[offset] = Row(offset, length, bytes(self.ids[number]), class_id, [bytes(photo) for photo in photos])
        return rows


ARRAYS = tuple(field.name for field in dataclasses.fields(RecordIndex) if field.name != "shards")


def load_index(shards: Sequence[Path], damage: Damage | None = None) -> RecordIndex:
    """Reads the cached index of some shards, or builds it and caches it beside them.

    Args:
        shards: the TFRecord files of one split, in order.
        damage: takes the damaged records; each load reports those that the index leaves out.

    Raises:
        UserError: a shard is unreadable, or too many records are damaged.
    """
    shards, damage = tuple(shards), Damage() if damage is None else damage
    if not shards:
        return _index_of((), [])
    stamp = _stamp(shards)
    cache = shards[0].parent / f".{shards[0].name.split('.tfrecord')[0]}.index.npz"
    cached = _read_cache(cache, shards)
    if cached is not None and np.array_equal(cached[0], stamp):
        index = cached[1]
        for line in index.left_out:
            shard, byte, reason = str(line).split("\t")
            damage.report(DamagedRecord(shards[int(shard)], int(byte), b"", reason))
        return index
    earlier = cached[1] if cached is not None and _are_the_same_files(cached[0], stamp) else None
    index = build_index(shards, damage, earlier)
    arrays = {name: getattr(index, name) for name in ARRAYS}
    try:
        with files.atomic_write(cache) as aside:
            np.savez(aside, stamp=stamp, **arrays)
    except OSError:
        pass  # a read-only data set is indexed anew by each run
    return index


def build_index(
    shards: Sequence[Path], damage: Damage | None = None, earlier: RecordIndex | None = None
) -> RecordIndex:
    """Reads every record of the shards once.

    Args:
        shards: the TFRecord files of one split, in order.
        damage: takes the damaged records.
        earlier: an index of the same shards from before, which knows what damage hides; see `shards.scan`.

    Raises:
        UserError: a shard is unreadable, or too many records are damaged.
    """
    damage = Damage() if damage is None else damage
    with Progress("indexing the records", len(shards), "shard") as progress, ThreadPoolExecutor() as pool:

        def scan_shard(number: int) -> Scanned:
            scanned = scan(shards[number], earlier.rows_of(number) if earlier is not None else {}, damage)
            progress.update()
            return scanned

        return _index_of(tuple(shards), list(pool.map(scan_shard, range(len(shards)))))


def _stamp(shards: Sequence[Path]) -> np.ndarray:
    """(S,) name, size and time of each shard: an index belongs to these."""
    return np.array([f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in shards])


def _are_the_same_files(earlier: np.ndarray, stamp: np.ndarray) -> bool:
    """Whether shards are those of an earlier stamp, copied, damaged or cut off since."""
    if len(earlier) != len(stamp):
        return False
    pairs = [(str(old).rsplit(" ", 2), str(new).rsplit(" ", 2)) for old, new in zip(earlier, stamp, strict=True)]
    return all(old[0] == new[0] and int(old[1]) >= int(new[1]) for old, new in pairs)


def _read_cache(cache: Path, shards: tuple[Path, ...]) -> tuple[np.ndarray, RecordIndex] | None:
    """The stamp and the index of a cache; None where there is none that can be used."""
    try:
        with open(cache, "rb") as file, np.load(file) as arrays:
            return arrays["stamp"], RecordIndex(shards, **{field: arrays[field] for field in ARRAYS})
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None  # no index, a damaged one, or one of another version: it is built again


def _index_of(shards: tuple[Path, ...], scanned: list[Scanned]) -> RecordIndex:
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
    """Reads records by number, from any thread.

    Args:
        index: of the split.
    """

    def __init__(self, index: RecordIndex):
        self._index = index
        self._files = [os.open(path, os.O_RDONLY) for path in index.shards]

    def __call__(self, numbers: np.ndarray) -> list[bytes]:
        """Returns the payloads of the records with these numbers, each checked against its CRC.

        Raises:
            DamagedRecord: a record is damaged; the message names its shard, position and recipe id.
        """
        return [self.read(number) for number in numbers]

    def read(self, number: int) -> bytes:
        """Returns the payload of one record; see `__call__`."""
        index = self._index
        shard, offset, length = index.shard[number], int(index.offset[number]), int(index.length[number])
        try:
            record = os.pread(self._files[shard], length + FOOTER_BYTES, offset)
        except OSError as error:  # a bad place on the disk
            raise index.damaged(number, f"cannot be read ({error.strerror})") from None
        payload = record[:length]
        if reason := fault(payload, record[length:], length):
            raise index.damaged(number, reason)
        return payload

    def close(self) -> None:
        """Closes the shards."""
        for file in self._files:
            os.close(file)
        self._files = []
