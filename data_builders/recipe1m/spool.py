"""Temporary files of the kept recipes and their photos.

A record contains its class, and the classes depend on which recipes have a readable photo. The spool avoids decoding
each photo twice. It takes as much space as the finished collection; the file of a partition is deleted as soon as its
records are written.
"""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

_LENGTH = struct.Struct("<I")
_BUFFER = 1 << 20


class Spool:
    """Records and their photos, written to one file per partition in a new or empty folder, and read once."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files: dict[str, Any] = {}

    def add(self, partition: str, record: bytes, photos: Sequence[tuple[str, bytes]]) -> None:
        """Appends a record, given as JSON, with the ids and JPEG files of its photos."""
        if partition not in self._files:
            self._files[partition] = (self._folder / partition).open("wb", _BUFFER)
        file = self._files[partition]
        ids = msgspec.json.encode([image_id for image_id, _ in photos])
        for part in (record, ids, *(photo for _, photo in photos)):
            file.write(_LENGTH.pack(len(part)))
            file.write(part)

    def close(self) -> None:
        """Closes the files."""
        for file in self._files.values():
            file.close()

    def drain(self, partition: str) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
        """Yields the records of a partition as `read_spool` does, then deletes its file, and finally the folder."""
        path = self._folder / partition
        yield from read_spool(path)
        path.unlink()
        del self._files[partition]
        if not self._files:
            self._folder.rmdir()


def read_spool(path: Path) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
    """Yields the records of a file in the order they were added: the fields, including `image_ids`, and the photos."""
    with path.open("rb", _BUFFER) as file:
        while length := file.read(_LENGTH.size):
            record, ids = msgspec.json.decode(_read_part(file, length)), msgspec.json.decode(_read_part(file))
            yield {**record, "image_ids": ids}, [_read_part(file) for _ in ids]


def _read_part(file: BinaryIO, length: bytes = b"") -> bytes:
    return file.read(_LENGTH.unpack(length or file.read(_LENGTH.size))[0])
