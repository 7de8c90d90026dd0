"""The manifest of a checkpoint: every file that belongs to it with its length and checksum, so that damage is named.

`manifest.jsonl` is the last file that is written into a checkpoint's folder:

    {"step": 12, "scores": {"r1": 13.5}}
    {"file": "model/_METADATA", "bytes": 430, "crc32": "0a1b2c3d"}
    ...
    {"crc32": "4e5f6071"}

The last line is the checksum of the lines above it. CRC-32, zlib's, sees every change within 32 bits in a row, and of
others all but one in 2³²; it is no protection against someone who wants to deceive. The faster CRC-32C would not do:
most files of Orbax's end with their own, and the CRC-32C of what ends with its own is the same number, whatever it is.
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


class Damage(Exception):
    """A checkpoint is not what was saved; the message is the file, a colon, and what is wrong with it."""


@dataclasses.dataclass(frozen=True)
class File:
    """A file of a checkpoint.

    Attributes:
        file: its path within the checkpoint's folder, with slashes.
        bytes: its length.
        crc32: its checksum, eight hexadecimal digits.
    """

    file: str
    bytes: int
    crc32: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What `manifest.jsonl` holds.

    Attributes:
        step: of the checkpoint.
        scores: of its validation, name → number; empty where there was none.
        files: all files but the manifest.
    """

    step: int
    scores: dict[str, float]
    files: tuple[File, ...]


def write(folder: Path, step: int, scores: dict[str, float]) -> None:
    """Writes the manifest of all that a folder holds, and makes sure that this and the manifest are on the disk.

    Args:
        folder: of the checkpoint, which nobody else writes to.
        step: of the checkpoint.
        scores: of its validation.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    with ThreadPoolExecutor(_THREADS) as threads:
        summed = list(threads.map(functools.partial(_summed, folder), names))
    with open(folder / NAME, "wb", buffering=0) as file:
        files.append(file, _as_bytes(Manifest(step, scores, tuple(summed))))
    for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
        files.sync(path)


def rewrite(folder: Path, step: int, scores: dict[str, float]) -> None:
    """Replaces the scores in the manifest of a checkpoint.

    Raises:
        Damage: see `read`.
    """
    changed = dataclasses.replace(read(folder, step), scores=scores)
    with files.written_whole(folder / NAME) as aside:
        aside.write_bytes(_as_bytes(changed))


def read(folder: Path, step: int) -> Manifest:
    """Reads the manifest of a checkpoint; the files that it lists are not looked at.

    Args:
        folder: of the checkpoint.
        step: that it should be of.

    Raises:
        Damage: there is no manifest, it cannot be read, or it is not the one that was written for this step.
    """
    try:
        content = (folder / NAME).read_bytes()
    except FileNotFoundError:
        raise Damage(f"{NAME}: missing (removed, or never written, as by an earlier version)") from None
    except OSError as error:
        raise Damage(f"{NAME}: cannot be read ({error.strerror})") from None
    lines = content.splitlines(keepends=True)
    body = b"".join(lines[:-1])
    if content != body + _last_line(body):
        raise Damage(f"{NAME}: wrong checksum")
    first, *listed = map(json.loads, body.splitlines())
    if first["step"] != step:
        raise Damage(f"{NAME}: is of step {first['step']}")
    return Manifest(**first, files=tuple(File(**file) for file in listed))


def verify(folder: Path, step: int) -> None:
    """Makes sure that a checkpoint is what was saved: every file is there, with its length and checksum.

    Raises:
        Damage: it is not; the first damaged file is named.
    """
    manifest = read(folder, step)
    with ThreadPoolExecutor(_THREADS) as threads:
        damages = list(threads.map(functools.partial(_damage, folder), manifest.files))
    if damage := next(filter(None, damages), None):
        raise Damage(damage)


def digest(folder: Path, step: int, part: str) -> str:
    """SHA-256, in hexadecimal, of the names, lengths and checksums of the files whose names begin with `part`.

    Raises:
        Damage: see `read`.
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


def _summed(folder: Path, name: str) -> File:
    with open(folder / name, "rb") as file:
        blocks = _blocks(file)
        checksum = _crc32(blocks)
        os.fsync(file.fileno())
        return File(name, file.tell(), checksum)


def _damage(folder: Path, listed: File) -> str | None:
    """What is wrong with a file, None where nothing is."""
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
