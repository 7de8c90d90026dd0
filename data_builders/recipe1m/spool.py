"""Kept recipes wait on disk, photos included, until it is known which classes there are.

Classes depend on which recipes have a readable photo, and every record holds its class: without the spool each photo
would be decoded twice. It takes as much room as the finished collection, and each partition's file goes as soon as
its records are written.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

_LENGTH = struct.Struct("<I")


class Spool:
    """Records of text and photos, one file a partition, written once and read once.

    Args:
        folder: an empty or new folder for the files.
    """

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files: dict[str, Any] = {}

    def add(self, partition: str, text: dict[str, Any], photos: list[bytes]) -> None:
        """Appends a record: anything JSON can hold, and photos."""
        if partition not in self._files:
            self._files[partition] = (self._folder / partition).open("wb")
        file = self._files[partition]
        for part in (orjson.dumps({**text, "photos": len(photos)}), *photos):
            file.write(_LENGTH.pack(len(part)))
            file.write(part)

    def close(self) -> None:
        """Ends the writing."""
        for file in self._files.values():
            file.close()

    def drain(self, partition: str) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
        """Yields a partition's records in the order they were added, and deletes its file after the last one.

        The folder goes with its last file.
        """
        path = self._folder / partition
        yield from read_spool(path)
        path.unlink()
        del self._files[partition]
        if not self._files:
            self._folder.rmdir()


def read_spool(path: Path) -> Iterator[tuple[dict[str, Any], list[bytes]]]:
    """Yields the records of a spool's file in the order they were added."""
    with path.open("rb") as file:
        while (text := _read_part(file)) is not None:
            record = orjson.loads(text)
            yield record, [_read_part(file) for _ in range(record.pop("photos"))]


def _read_part(file) -> bytes | None:
    length = file.read(_LENGTH.size)
    return file.read(_LENGTH.unpack(length)[0]) if length else None
