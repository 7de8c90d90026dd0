"""Writes a gallery block by block, so that it can be interrupted and gone on with, and appears whole or not at all.

Beside the gallery, in `.<name>.unfinished`, its files grow; after each block `progress.json` says how long they are
and how many of the source's items they hold. What a killed process wrote behind that is cut off again.
"""

import contextlib
import fcntl
import io
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base import files
from adamine_jax.base.errors import UserError
from adamine_jax.gallery.files import SIDES, Item

_PROGRESS = "progress.json"
_HEADER_BYTES = 128
"""Of a `.npy` file: what NumPy writes for a table of any number of rows."""


class GalleryWriter(contextlib.AbstractContextManager):
    """Writes a gallery; in a `with` block, at whose end its files are closed.

    Args:
        folder: to write; an older gallery there stays until this one is whole.
        about: what is embedded by what: `model`, `step`, `source`, `class_names`, as `gallery.json` has them. An
            unfinished gallery of the same is gone on with, another one is thrown away.
        sides: those of `SIDES` it will have.
        dim: length D of the embeddings.

    Attributes:
        taken: items of the source that are in it already, or were left out.

    Raises:
        UserError: another process is writing it, or `folder` is something else than a gallery.
    """

    def __init__(self, folder: Path, about: dict[str, Any], sides: Sequence[str], dim: int):
        self._folder, self._sides, self._dim = folder, tuple(side for side in SIDES if side in sides), dim
        check_replaceable(folder, self._sides)
        self._about = json.loads(json.dumps(about | {"dim": dim, "sides": self._sides}))
        self._class_numbers = {name: number for number, name in enumerate(about["class_names"])}
        self._aside = folder.absolute().parent / f".{folder.name}.unfinished"
        try:
            self._aside.mkdir(parents=True, exist_ok=True)
            self._lock = open(self._aside / ".lock", "w")  # noqa: SIM115 – held until the end
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise UserError(f"{folder}: another process is writing it; wait for it or take another folder") from None
        self._names = (*(f"{side}.npy" for side in self._sides), "items.jsonl")
        self._go_on()
        (self._aside / "photos").mkdir(exist_ok=True)
        self._files = {}
        for name in self._names:
            self._files[name] = open(self._aside / name, "a+b", buffering=0)  # noqa: SIM115 – closed in __exit__
            os.truncate(self._aside / name, self._length_of(name))  # a new array begins with room for its header

    def __len__(self) -> int:
        return len(self._ids)

    def write(self, embeddings: dict[str, np.ndarray], items: Sequence[Item | None]) -> None:
        """Adds a block.

        Args:
            embeddings: side → (n, D) float32 unit rows.
            items: n of the source, in its order, whose photos are files' bytes; None leaves one out.
        """
        kept, lines = [], []
        for place, item in enumerate(items):
            if item is None:
                continue
            kept.append(place)
            photo = None
            if item.photo is not None:
                assert isinstance(item.photo, bytes), "photos are given as files' bytes"
                photo = f"photos/{len(self._ids):08d}.jpg"
                with open(self._aside / photo, "wb") as file, files.named_errors(self._aside / photo):
                    file.write(item.photo)
            described = {
                "id": item.id,
                "title": item.title,
                "class": item.class_name,
                "photo": photo,
                "ingredients": item.ingredients,
                "instructions": item.instructions,
            }
            lines.append((json.dumps(described, ensure_ascii=False) + "\n").encode("utf-8", "replace"))
            self._ids.append(item.id)
            self._classes.append(self._class_numbers[item.class_name])
            self._starts.append(self._starts[-1] + len(lines[-1]))
        self._append("items.jsonl", b"".join(lines))
        for side in self._sides:
            rows = np.ascontiguousarray(embeddings[side][kept], np.float32)
            self._append(f"{side}.npy", rows.tobytes())
        self.taken += len(items)
        self._write_progress()

    def finish(self) -> int:
        """Makes it the gallery; returns how many items it has.

        Raises:
            UserError: it has none.
        """
        if not self._ids:
            raise UserError(f"{self._folder}: nothing could be embedded, so there is no gallery to write")
        for side in self._sides:
            with open(self._aside / f"{side}.npy", "r+b") as file:
                file.write(_header((len(self._ids), self._dim)))
                os.fsync(file.fileno())
        np.savez(
            self._aside / "items.npz",
            starts=np.array(self._starts, np.int64),
            class_id=np.array(self._classes, np.int32),
            ids=np.array(self._ids, np.str_),
        )
        files.sync(self._aside / "items.npz")
        files.write_text(self._aside / "gallery.json", json.dumps(self._about | {"items": len(self._ids)}) + "\n")
        (self._aside / _PROGRESS).unlink(missing_ok=True)
        self._close()
        _replace(self._folder, self._aside)
        return len(self._ids)

    def __exit__(self, *failure) -> None:
        self._close()

    def _close(self) -> None:
        for file in self._files.values():
            file.close()
        self._lock.close()
        if self._aside.exists():
            (self._aside / ".lock").unlink(missing_ok=True)

    def _append(self, name: str, content: bytes) -> None:
        with files.named_errors(self._folder / name):
            files.append(self._files[name], content)

    def _length_of(self, name: str) -> int:
        if name == "items.jsonl":
            return self._starts[-1]
        return _HEADER_BYTES + 4 * self._dim * len(self._ids)

    def _write_progress(self) -> None:
        progress = {"about": self._about, "taken": self.taken, "items": len(self._ids), "bytes": self._starts[-1]}
        files.write_text(self._aside / _PROGRESS, json.dumps(progress))

    def _go_on(self) -> None:
        """Takes over what an interrupted writer of the same gallery has left; of another one's nothing stays."""
        self.taken, self._starts, self._classes, self._ids = 0, [0], [], []
        try:
            progress = json.loads((self._aside / _PROGRESS).read_text(encoding="utf-8"))
            sizes = {name: (self._aside / name).stat().st_size for name in self._names}
            if progress["about"] == self._about:
                self._read_lines(progress["items"], progress["bytes"])
                if all(size >= self._length_of(name) for name, size in sizes.items()):
                    self.taken = progress["taken"]
                    return
        except (OSError, ValueError, KeyError, TypeError):
            pass  # none, or a damaged one
        self._starts, self._classes, self._ids = [0], [], []
        for path in self._aside.iterdir():
            if path.name != ".lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _read_lines(self, items: int, length: int) -> None:
        with open(self._aside / "items.jsonl", "rb") as lines:
            for line in itertools.islice(lines, items):
                record = json.loads(line)
                self._ids.append(record["id"])
                self._classes.append(self._class_numbers[record["class"]])
                self._starts.append(self._starts[-1] + len(line))
        if (len(self._ids), self._starts[-1]) != (items, length):
            raise ValueError("other lines than were written")


def check_replaceable(folder: Path, sides: Sequence[str]) -> None:
    """Makes sure that nothing but a gallery of the same sides would be replaced.

    Raises:
        UserError: there is something else.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / "items.jsonl").exists())):
        raise UserError(f"--out {folder}: exists and is not a gallery; take another folder")
    there = {side for side in SIDES if (folder / f"{side}.npy").exists()}
    if there and there != set(sides):
        raise UserError(
            f"--out {folder}: holds a gallery of {_said(there)}, and this would be one of {_said(sides)}; take another "
            "folder, or remove that one"
        )


def _said(sides: Iterable[str]) -> str:
    return {"image": "photos", "recipe": "recipes"}[next(iter(sides))] if len(set(sides)) == 1 else "pairs"


def _header(shape: tuple[int, int]) -> bytes:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    content = header.getvalue()
    assert len(content) == _HEADER_BYTES, "NumPy writes headers of another length"
    return content


def _replace(folder: Path, aside: Path) -> None:
    """Puts a whole gallery in its place; the older one is removed last."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    superseded = folder.absolute().parent / f".{folder.name}.superseded"
    shutil.rmtree(superseded, ignore_errors=True)
    if folder.exists():
        os.rename(folder, superseded)
    os.rename(aside, folder)
    files.sync(folder.absolute().parent)
    shutil.rmtree(superseded, ignore_errors=True)
