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
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

from adamine_jax.base import files

NAME = "manifest.jsonl"
_THREADS = 4
_BLOCK = 4 << 20


class DamagedCheckpoint(Exception):
    """A checkpoint differs from what was saved; the message is "file: reason"."""


@dataclasses.dataclass(frozen=True)
class File:
    """A file of a checkpoint.

    Attributes:
        file: Path relative to the checkpoint's folder, with slashes.
        bytes: Length.
        crc32: Checksum, eight hexadecimal digits.
    """

    file: str
    bytes: int
    crc32: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Contents of `manifest.jsonl`.

    Attributes:
        step: Step of the checkpoint.
        scores: Validation scores by name; empty without validation.
        files: All files except the manifest.
    """

    step: int
    scores: dict[str, float]
    files: tuple[File, ...]


def write(folder: Path, step: int, scores: dict[str, float]) -> None:
    """Writes the manifest of a checkpoint's folder and synchronizes all its files to disk.

    Args:
        folder: Folder of the checkpoint.
        step: Step of the checkpoint.
        scores: Validation scores by name.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    with ThreadPoolExecutor(_THREADS) as threads:
        listed = list(threads.map(functools.partial(_file_entry, folder), names))
    with open(folder / NAME, "wb", buffering=0) as file:
        files.append(file, _as_bytes(Manifest(step, scores, tuple(listed))))
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
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
    """Reads the manifest of a checkpoint without checking the files that it lists.

    Args:
        folder: Folder of the checkpoint.
        step: Expected step.

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
    manifest = read(folder, step)
    with ThreadPoolExecutor(_THREADS) as threads:
        problems = list(threads.map(functools.partial(_problem, folder), manifest.files))
    if problem := next(filter(None, problems), None):
        raise DamagedCheckpoint(problem)


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
    return (json.dumps({"crc32": _crc32([body])}) + "\n").encode()


def _file_entry(folder: Path, name: str) -> File:
    with open(folder / name, "rb") as file:
        blocks = _blocks(file)
        checksum = _crc32(blocks)
        os.fsync(file.fileno())
        return File(name, file.tell(), checksum)


def _problem(folder: Path, listed: File) -> str | None:
    """Describes what is wrong with a file; None if it is intact."""
    try:
        with open(folder / listed.file, "rb") as file:
            length = os.fstat(file.fileno()).st_size
            if length != listed.bytes:
                return f"{listed.file}: {length:,} bytes instead of {listed.bytes:,}"
            if _crc32(_blocks(file)) != listed.crc32:
                return f"{listed.file}: wrong checksum"
    except FileNotFoundError:
        return f"{listed.file}: missing"
    except OSError as error:
        return f"{listed.file}: cannot be read ({error.strerror})"
    return None


def _blocks(file: BinaryIO) -> Iterable[bytes]:
    return iter(functools.partial(file.read, _BLOCK), b"")


def _crc32(blocks: Iterable[bytes]) -> str:
    return f"{functools.reduce(lambda checksum, block: zlib.crc32(block, checksum), blocks, 0):08x}"
