"""Writes a gallery in blocks. An interrupted gallery can be resumed, and appears only when it is complete.

Its files grow in `.<name>.unfinished` beside the final folder. After each block `progress.json` records their length
and the number of items taken from the source; everything beyond that length is truncated on resumption.
"""

import contextlib
import fcntl
import itertools
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base import files
from adamine_jax.base.errors import UserError, shown
from adamine_jax.gallery.files import KINDS, MODALITIES, Item

_PROGRESS = "progress.json"
_HEADER_BYTES = 128
"""Size of the header that NumPy writes to a `.npy` file, whatever the number of rows."""


class GalleryWriter(contextlib.AbstractContextManager):
    """Writes a gallery. Used as a context manager, it closes its files at the end.

    Args:
        folder: Folder of the gallery; an older gallery there is replaced when this one is complete.
        about: Fields of `gallery.json` that identify the content: `model`, `step`, `source` and `class_names`. An
            unfinished gallery with the same fields is resumed, any other one is discarded.
        modalities: Those of `MODALITIES` that the gallery will have.
        dim: Length D of the embeddings.

    Attributes:
        taken: Number of items of the source that are already written or left out.

    Raises:
        UserError: Another process is writing the gallery, or `folder` contains something else.
    """

    def __init__(self, folder: Path, about: dict[str, Any], modalities: Sequence[str], dim: int):
        self._folder, self._modalities, self._dim = folder, tuple(modalities), dim
        check_replaceable(folder, self._modalities)
        self._about = json.loads(json.dumps(about | {"dim": dim, "sides": self._modalities}))
        self._class_numbers = {name: number for number, name in enumerate(about["class_names"])}
        self._unfinished = folder.absolute().parent / f".{folder.name}.unfinished"
        try:
            self._unfinished.mkdir(parents=True, exist_ok=True)
            self._lock = open(self._unfinished / ".lock", "w")  # noqa: SIM115 – closed in __exit__
        except OSError as error:
            raise UserError(f"{folder}: cannot be written ({error.strerror})") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise UserError(
                f"{folder}: another process is writing this gallery; wait for it or use another folder"
            ) from None
        self._names = (*(f"{modality}.npy" for modality in self._modalities), "items.jsonl")
        self._resume()
        (self._unfinished / "photos").mkdir(exist_ok=True)
        self._files = {}
        for name in self._names:
            self._files[name] = open(self._unfinished / name, "a+b", buffering=0)  # noqa: SIM115 – closed in __exit__
            # Cuts what an interrupted write left, or extends a new array to make room for its header.
            os.truncate(self._unfinished / name, self._length_of(name))

    def __len__(self) -> int:
        return len(self._ids)

    def write(self, embeddings: dict[str, np.ndarray], items: Sequence[Item | None]) -> None:
        """Appends a block of n items.

        Args:
            embeddings: Modality → (n, D) float32 unit rows.
            items: The next n items of the source, with photos as the content of JPEG files; None leaves an item out.
        """
        kept, lines = [], []
        for number, item in enumerate(items):
            if item is None:
                continue
            kept.append(number)
            photo = None
            if item.photo is not None:
                assert isinstance(item.photo, bytes), "photos must be the content of files"
                photo = f"photos/{len(self._ids):08d}.jpg"
                with open(self._unfinished / photo, "wb") as file, files.named_errors(self._unfinished / photo):
                    file.write(item.photo)
            record = {
                "id": item.id,
                "title": item.title,
                "class": item.class_name,
                "photo": photo,
                "ingredients": item.ingredients,
                "instructions": item.instructions,
            }
            lines.append((json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8", "replace"))
            self._ids.append(item.id)
            self._classes.append(self._class_numbers[item.class_name])
            self._starts.append(self._starts[-1] + len(lines[-1]))
        self._append("items.jsonl", b"".join(lines))
        for modality in self._modalities:
            self._append(f"{modality}.npy", np.ascontiguousarray(embeddings[modality][kept], np.float32).tobytes())
        self.taken += len(items)
        progress = {"about": self._about, "taken": self.taken, "items": len(self._ids), "bytes": self._starts[-1]}
        files.write_text(self._unfinished / _PROGRESS, json.dumps(progress))

    def finish(self) -> int:
        """Completes the gallery, moves it to its folder and returns its number of items."""
        if not self._ids:
            raise UserError(f"{self._folder}: nothing could be embedded, so no gallery is written")
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(self._ids), self._dim)}
        for modality in self._modalities:
            with open(self._unfinished / f"{modality}.npy", "r+b") as file:
                np.lib.format.write_array_header_1_0(file, header)
                assert file.tell() == _HEADER_BYTES, "unexpected size of a NumPy header"
                file.flush()
                os.fsync(file.fileno())
        np.savez(
            self._unfinished / "items.npz",
            starts=np.array(self._starts, np.int64),
            class_id=np.array(self._classes, np.int32),
            ids=np.array(self._ids, np.str_),
        )
        files.sync(self._unfinished / "items.npz")
        files.write_text(self._unfinished / "gallery.json", json.dumps(self._about | {"items": len(self._ids)}) + "\n")
        (self._unfinished / _PROGRESS).unlink(missing_ok=True)
        self.__exit__()
        _replace(self._folder, self._unfinished)
        return len(self._ids)

    def __exit__(self, *_) -> None:
        for file in self._files.values():
            file.close()
        self._lock.close()
        (self._unfinished / ".lock").unlink(missing_ok=True)

    def _append(self, name: str, content: bytes) -> None:
        with files.named_errors(self._folder / name):
            files.append(self._files[name], content)

    def _length_of(self, name: str) -> int:
        if name == "items.jsonl":
            return self._starts[-1]
        return _HEADER_BYTES + 4 * self._dim * len(self._ids)

    def _resume(self) -> None:
        """Restores the state of an interrupted writer of the same gallery, or empties the folder."""
        self.taken, self._starts, self._classes, self._ids = 0, [0], [], []
        try:
            progress = json.loads((self._unfinished / _PROGRESS).read_text(encoding="utf-8"))
            sizes = {name: (self._unfinished / name).stat().st_size for name in self._names}
            if progress["about"] == self._about:
                self._read_lines(progress["items"], progress["bytes"])
                if all(size >= self._length_of(name) for name, size in sizes.items()):
                    self.taken = progress["taken"]
                    print(f"{shown(self._folder)}: resuming after {self.taken:,} items", flush=True)
                    return
        except (OSError, ValueError, KeyError, TypeError):
            pass  # missing or damaged
        self._starts, self._classes, self._ids = [0], [], []
        for path in self._unfinished.iterdir():
            if path.name != ".lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _read_lines(self, items: int, length: int) -> None:
        with open(self._unfinished / "items.jsonl", "rb") as lines:
            for line in itertools.islice(lines, items):
                record = json.loads(line)
                self._ids.append(record["id"])
                self._classes.append(self._class_numbers[record["class"]])
                self._starts.append(self._starts[-1] + len(line))
        if (len(self._ids), self._starts[-1]) != (items, length):
            raise ValueError("items.jsonl does not match progress.json")


def check_replaceable(folder: Path, modalities: Sequence[str]) -> None:
    """Raises a `UserError` if the folder contains anything but a gallery of the same modalities."""
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / "items.jsonl").exists())):
        raise UserError(f"--out {folder}: exists and is not a gallery; choose another folder")
    existing = tuple(modality for modality in MODALITIES if (folder / f"{modality}.npy").exists())
    if existing and existing != tuple(modalities):
        raise UserError(
            f"--out {folder}: contains a gallery of {KINDS[existing]}, not of {KINDS[tuple(modalities)]}; remove it or "
            "choose another folder"
        )


def _replace(folder: Path, finished: Path) -> None:
    """Moves a finished gallery to its folder; the older gallery is deleted last."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    superseded = folder.absolute().parent / f".{folder.name}.superseded"
    shutil.rmtree(superseded, ignore_errors=True)
    if folder.exists():
        os.rename(folder, superseded)
    files.rename(finished, folder)
    shutil.rmtree(superseded, ignore_errors=True)
