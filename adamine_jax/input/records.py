"""Random access to the records of TFRecord shards, by an index of their offsets.

The index is built once by reading every record (which also checks its CRC) and cached beside the shards, so that
an epoch can visit the records in the order of its plan at the speed of a sequential read.
"""

import dataclasses
import os
import struct
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import google_crc32c
import numpy as np

from adamine_jax import files
from adamine_jax.errors import UserError
from adamine_jax.progress import Progress

HEADER_BYTES = 12
"""uint64 length of the payload and the masked CRC-32C of these 8 bytes; 4 bytes of payload CRC follow it."""
FOOTER_BYTES = 4


Row = tuple[int, int, bytes, int | None, list[bytes]]
"""A record's first byte, its length, the recipe's id, its class (None where the record has no such field) and the ids
of its photos."""


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

    def __len__(self) -> int:
        return len(self.offset)

    def sorted_by_id(self) -> np.ndarray:
        """(N,) int64 record numbers in the order of the ids: the order of every evaluation."""
        return np.argsort(self.ids, kind="stable")


ARRAYS = tuple(field.name for field in dataclasses.fields(RecordIndex) if field.name != "shards")


def load_index(shards: Sequence[Path]) -> RecordIndex:
    """Reads the cached index of some shards, or builds it and caches it beside them.

    Args:
        shards: the TFRecord files of one split, in order.

    Raises:
        UserError: a shard is damaged or unreadable.
    """
    shards = tuple(shards)
    if not shards:
        return _index_of((), [])
    stamp = np.array([f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in shards])
    cache = shards[0].parent / f".{shards[0].name.split('.tfrecord')[0]}.index.npz"
    if cache.exists():
        try:
            with open(cache, "rb") as file, np.load(file) as arrays:
                if np.array_equal(arrays["stamp"], stamp):
                    return RecordIndex(shards, **{field: arrays[field] for field in ARRAYS})
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            pass  # not an index, or one of another version: build it again
    index = build_index(shards)
    arrays = {name: getattr(index, name) for name in ARRAYS}
    try:
        with files.written_whole(cache) as aside:
            np.savez(aside, stamp=stamp, **arrays)
    except OSError:
        pass  # a read-only data set is indexed anew by each run
    return index


def build_index(shards: Sequence[Path]) -> RecordIndex:
    """Reads every record of the shards once; see `load_index`."""
    with Progress("indexing the records", len(shards), "shard") as progress, ThreadPoolExecutor() as pool:

        def scan_shard(path: Path) -> list[Row]:
            rows = list(scan(path))
            progress.update()
            return rows

        return _index_of(tuple(shards), list(pool.map(scan_shard, shards)))


def _index_of(shards: tuple[Path, ...], rows_of_shards: list[list[Row]]) -> RecordIndex:
    rows = [row for rows in rows_of_shards for row in rows]
    return RecordIndex(
        shards=shards,
        shard=np.repeat(np.arange(len(shards), dtype=np.int32), [len(rows) for rows in rows_of_shards]),
        offset=np.array([row[0] for row in rows], np.int64),
        length=np.array([row[1] for row in rows], np.int64),
        ids=np.array([row[2] for row in rows], np.bytes_),
        class_id=np.array([row[3] or 0 for row in rows], np.int32),
        has_classes=np.array(all(row[3] is not None for row in rows)),
        first_photo=np.cumsum([0, *(len(row[4]) for row in rows)], dtype=np.int64),
        photo_ids=np.array([photo for row in rows for photo in row[4]], np.bytes_),
    )


def scan(path: Path) -> Iterator[Row]:
    """Yields the row of each record of a shard, in order.

    Raises:
        UserError: the file ends inside a record, or a checksum is wrong.
    """
    import tensorflow as tf

    with open(path, "rb") as file:
        offset = 0
        while header := file.read(HEADER_BYTES):
            where = f"{path}, byte {offset}"
            if len(header) < HEADER_BYTES or masked_crc(header[:8]) != struct.unpack("<I", header[8:])[0]:
                raise UserError(f"{where}: damaged TFRecord header; convert the data set again with --overwrite")
            length = struct.unpack("<Q", header[:8])[0]
            payload, footer = file.read(length), file.read(FOOTER_BYTES)
            check(payload, footer, length, where)
            example = tf.train.Example.FromString(payload).features.feature
            labels = example["class_id"].int64_list.value
            photos, photo_ids = len(example["images"].bytes_list.value), list(example["image_ids"].bytes_list.value)
            if len(photo_ids) != photos:
                photo_ids = [b""] * photos
            identifier = example["id"].bytes_list.value[0]
            yield offset + HEADER_BYTES, length, identifier, labels[0] if labels else None, photo_ids
            offset += HEADER_BYTES + length + FOOTER_BYTES


def check(payload: bytes, footer: bytes, length: int, where: str) -> None:
    """Compares a record with its checksum.

    Raises:
        UserError: it is cut off or damaged; the message begins with `where`.
    """
    if len(payload) < length or len(footer) < FOOTER_BYTES:
        raise UserError(f"{where}: the file ends inside a record; convert the data set again with --overwrite")
    if masked_crc(payload) != struct.unpack("<I", footer)[0]:
        raise UserError(f"{where}: record with a wrong checksum; convert the data set again with --overwrite")


def masked_crc(payload: bytes) -> int:
    """TFRecord's checksum: CRC-32C rotated right by 15 bits, plus a constant."""
    crc = google_crc32c.value(payload)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


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
            UserError: a record is damaged; the message names its shard, position and recipe id.
        """
        return [self._read(number) for number in numbers]

    def _read(self, number: int) -> bytes:
        index = self._index
        shard, offset, length = index.shard[number], int(index.offset[number]), int(index.length[number])
        record = os.pread(self._files[shard], length + FOOTER_BYTES, offset)
        where = f"{index.shards[shard]}, byte {offset - HEADER_BYTES}, recipe {index.ids[number].decode()}"
        check(record[:length], record[length:], length, where)
        return record[:length]

    def close(self) -> None:
        """Closes the shards."""
        for file in self._files:
            os.close(file)
        self._files = []
