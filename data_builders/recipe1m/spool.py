"""Kept recipes wait on disk, photos included, until it is known which classes there are.

Classes depend on which recipes have a readable photo, and every record holds its class: without the spool each photo
would be decoded twice. It takes as much room as the finished collection, and each partition's file goes as soon as
its records are written.
"""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

_LENGTH = struct.Struct("<I")
_BUFFER = 1 << 20


class Spool:
    """Records of text and photos, one file a partition, written once and read once.

    Args:
        folder: an empty or new folder for the files.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files: dict[str, Any] = {}

    def add(self, partition: str, record: bytes, photos: Sequence[tuple[str, bytes]]) -> None:
        """Appends a record: a JSON object, and ids and files of its photos."""
        if partition not in self._files:
            self._files[partition] = (self._folder / partition).open("wb", _BUFFER)
        file = self._files[partition]
        ids = msgspec.json.encode([image_id for image_id, _ in photos])
        for part in (record, ids, *(photo for _, photo in photos)):
            file.write(_LENGTH.pack(len(part)))
            file.write(part)

    def close(self) -> None:
        """Ends the writing."""
        for file in self._files.values():
            file.close()

    def drain(self, partition: str) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
        """Yields a partition's records in the order they were added, and deletes its file after the last one.

        A record has its photos' ids as `image_ids`; their files come beside it. The folder goes with its last file.
        """
        path = self._folder / partition
        yield from read_spool(path)
        path.unlink()
        del self._files[partition]
        if not self._files:
            self._folder.rmdir()


def read_spool(path: Path) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
    """Yields the records of a spool's file in the order they were added."""
    with path.open("rb", _BUFFER) as file:
        while length := file.read(_LENGTH.size):
            record, ids = msgspec.json.decode(_read_part(file, length)), msgspec.json.decode(_read_part(file))
            yield {**record, "image_ids": ids}, [_read_part(file) for _ in ids]


def _read_part(file: BinaryIO, length: bytes = b"") -> bytes:
    return file.read(_LENGTH.unpack(length or file.read(_LENGTH.size))[0])
