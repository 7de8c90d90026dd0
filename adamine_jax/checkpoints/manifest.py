"""The manifest of a checkpoint, `manifest.jsonl`: length and checksum of every file.

It is the last file that is written to a checkpoint's folder:

    {"step": 12, "scores": {"r1": 13.5}}
    {"file": "model/_METADATA", "bytes": 430, "crc32": "0a1b2c3d"}
    ...
    {"crc32": "4e5f6071"}

The last line is the checksum of the lines above it. zlib's CRC-32 detects accidental changes, not deliberate ones.
The faster CRC-32C is unsuitable: most of Orbax's files end with their own CRC-32C, and the CRC-32C of such a file is a
constant.
"""

import dataclasses
import functools
import hashlib
import json
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from adamine_jax.base import files, storage

NAME = "manifest.jsonl"
_THREADS = 4
_BLOCK = 4 << 20


class DamagedCheckpoint(Exception):
    """A checkpoint differs from what was saved; the message is "file: reason"."""


@dataclasses.dataclass(frozen=True)
class File:
    """Entry of a file: path relative to the checkpoint's folder, length, and hexadecimal checksum."""

    file: str
    bytes: int
    crc32: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Contents of `manifest.jsonl`: step, validation scores by name, and all files except the manifest itself."""

    step: int
    scores: dict[str, float]
    files: tuple[File, ...]


def write(folder: Path, step: int, scores: dict[str, float]) -> None:
    """Writes the manifest of a checkpoint's folder and synchronizes all its files to disk."""
    paths = sorted(folder.rglob("*"))
    names = [path.relative_to(folder).as_posix() for path in paths if path.is_file()]
    with ThreadPoolExecutor(_THREADS) as threads:
        entries = tuple(threads.map(functools.partial(_synchronized_entry, folder), names))
    with open(folder / NAME, "wb", buffering=0) as file:
        files.append(file, _as_bytes(Manifest(step, scores, entries)))
    for path in (folder, *(path for path in paths if path.is_dir())):
        files.sync(path)


def rewrite(folder: Path, step: int, scores: dict[str, float]) -> None:
    """Replaces the scores in the manifest of a checkpoint.

    Raises:
        DamagedCheckpoint: See `read`.
    """
    changed = dataclasses.replace(read(folder, step), scores=scores)
    with files.atomic_write(folder / NAME) as temporary:
        temporary.write_bytes(_as_bytes(changed))


def read(folder: Path, step: int) -> Manifest:
    """Reads the manifest of the checkpoint of a step, without verifying the files that it lists.

    Raises:
        DamagedCheckpoint: The manifest is missing, damaged or of another step.
    """
    try:
        content = (folder / NAME).read_bytes()
    except FileNotFoundError:
        raise DamagedCheckpoint(f"{NAME}: missing (deleted, or saved by an older version)") from None
    except OSError as error:
        raise DamagedCheckpoint(f"{NAME}: cannot be read ({error.strerror})") from None
    lines = content.splitlines(keepends=True)
    body = b"".join(lines[:-1])
    if content != body + _last_line(body):
        raise DamagedCheckpoint(f"{NAME}: wrong checksum")
    first, *listed = map(json.loads, body.splitlines())
    if first["step"] != step:
        raise DamagedCheckpoint(f"{NAME}: belongs to step {first['step']}")
    return Manifest(**first, files=tuple(File(**file) for file in listed))


def verify(folder: Path, step: int) -> None:
    """Verifies the length and checksum of every file of a checkpoint.

    Raises:
        DamagedCheckpoint: A file is missing or damaged; names the first such file.
    """
    storage.fetch(folder)
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(functools.partial(_verify_file, folder), read(folder, step).files))


def digest(folder: Path, step: int, part: str) -> str:
    """Returns the SHA-256 of the names, lengths and checksums of the files whose names start with `part`.

    Raises:
        DamagedCheckpoint: See `read`.
    """
    listed = [file for file in read(folder, step).files if file.file.startswith(part)]
    lines = sorted(json.dumps(dataclasses.asdict(file), sort_keys=True) for file in listed)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _as_bytes(manifest: Manifest) -> bytes:
    first = {"step": manifest.step, "scores": manifest.scores}
    lines = [json.dumps(line) for line in (first, *map(dataclasses.asdict, manifest.files))]
    body = "".join(f"{line}\n" for line in lines).encode()
    return body + _last_line(body)


def _last_line(body: bytes) -> bytes:
    return f'{{"crc32": "{zlib.crc32(body):08x}"}}\n'.encode()


def _synchronized_entry(folder: Path, name: str) -> File:
    with open(folder / name, "rb") as file:
        checksum = _crc32(file)
        os.fsync(file.fileno())
        return File(name, file.tell(), checksum)


def _verify_file(folder: Path, entry: File) -> None:
    try:
        with open(folder / entry.file, "rb") as file:
            length = os.fstat(file.fileno()).st_size
            if length != entry.bytes:
                raise DamagedCheckpoint(f"{entry.file}: {length:,} bytes instead of {entry.bytes:,}")
            if _crc32(file) != entry.crc32:
                raise DamagedCheckpoint(f"{entry.file}: wrong checksum")
    except FileNotFoundError:
        raise DamagedCheckpoint(f"{entry.file}: missing") from None
    except OSError as error:
        raise DamagedCheckpoint(f"{entry.file}: cannot be read ({error.strerror})") from None


def _crc32(file: BinaryIO) -> str:
    checksum = 0
    while block := file.read(_BLOCK):
        checksum = zlib.crc32(block, checksum)
    return f"{checksum:08x}"
