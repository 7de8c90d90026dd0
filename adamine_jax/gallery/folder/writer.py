"""Writes a gallery in blocks. An interrupted gallery can be resumed, and appears only when it is complete.

It grows in `.<name>.unfinished` beside the final folder, as a gallery that nobody searches yet; see `editing`.
"""

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base import files
from adamine_jax.base.errors import UserError, shown
from adamine_jax.gallery.folder import database
from adamine_jax.gallery.folder.editing import Editor
from adamine_jax.gallery.folder.snapshot import Snapshot
from adamine_jax.gallery.items import KINDS, MODALITIES, Item

_PROGRESS = "progress.json"


class GalleryWriter(contextlib.AbstractContextManager):
    """Writes a gallery. Used as a context manager, it closes its files at the end.

    Args:
        folder: Folder of the gallery; an older gallery there is replaced when this one is complete.
        about: Fields of `gallery.json` that identify the content: `model`, `step` and `source`. An unfinished gallery
            with the same fields is resumed, any other one is discarded.
        modalities: Those of `MODALITIES` that the gallery will have.
        dim: Length D of the embeddings.
        dtype: Type in which they are stored, one of `DTYPES`.

    Attributes:
        taken: Number of items of the source that are already written or left out.

    Raises:
        UserError: Another process is writing the gallery, or `folder` contains something else.
    """

    def __init__(
        self, folder: Path, about: dict[str, Any], modalities: Sequence[str], dim: int, dtype: str = "float32"
    ):
        self._folder, self._modalities = folder, tuple(modalities)
        check_replaceable(folder, self._modalities)
        about = {"model": about["model"], "step": about.get("step"), "source": about["source"]}
        about |= {"dim": dim, "sides": self._modalities, "dtype": dtype}
        self._about = json.loads(json.dumps(about))
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
        self._editor = self._resumed() or self._new()
        self.taken = self._editor.counter("taken")
        if self.taken:
            print(f"{shown(folder)}: resuming after {self.taken:,} items", flush=True)

    def __len__(self) -> int:
        return self._editor.connection.execute("SELECT count(*) FROM items").fetchone()[0]

    def write(self, embeddings: dict[str, np.ndarray], items: Sequence[Item | None]) -> None:
        """Appends a block of n items.

        Args:
            embeddings: Modality → (n, D) float32 unit rows.
            items: The next n items of the source, with photos as the content of JPEG files; None leaves an item out.
        """
        kept = [number for number, item in enumerate(items) if item is not None]
        rows = {modality: embeddings[modality][kept] for modality in self._modalities}
        self._editor.add([item for item in items if item is not None], rows, taken=self.taken + len(items))
        self.taken += len(items)

    def finish(self) -> int:
        """Completes the gallery, moves it to its folder and returns its number of items."""
        if not (items := len(self)):
            raise UserError(f"{self._folder}: nothing could be embedded, so no gallery is written")
        self._editor.flush()
        self._editor.connection.execute("PRAGMA cache_spill = ON")  # nobody waits
        with database.transaction(self._editor.connection, self._unfinished / database.NAME):
            if not database.has_words(self._editor.connection):
                database.create_words(self._editor.connection)
        files.write_text(self._unfinished / "gallery.json", json.dumps(self._about) + "\n")
        (self._unfinished / _PROGRESS).unlink(missing_ok=True)
        self.__exit__()
        _replace(self._folder, self._unfinished)
        return items

    def __exit__(self, *_) -> None:
        self._editor.__exit__()
        (self._unfinished / ".lock").unlink(missing_ok=True)  # while it is locked
        self._lock.close()

    def _resumed(self) -> Editor | None:
        """Returns the editor of an interrupted writer of the same gallery."""
        try:
            if json.loads((self._unfinished / _PROGRESS).read_text(encoding="utf-8")) != self._about:
                return None
            editor = Editor(self._unfinished, self._about)
        except (OSError, ValueError, UserError):
            return None  # missing or damaged
        with contextlib.suppress(UserError):
            Snapshot(self._unfinished, self._about, editor.connection)  # the segments are there
            return editor
        editor.__exit__()
        return None

    def _new(self) -> Editor:
        for path in self._unfinished.iterdir():
            if path.name != ".lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        database.create(self._unfinished / database.NAME)
        files.write_text(self._unfinished / _PROGRESS, json.dumps(self._about))
        return Editor(self._unfinished, self._about)


def check_replaceable(folder: Path, modalities: Sequence[str]) -> None:
    """Raises a `UserError` if the folder contains anything but a gallery of the same modalities."""
    names = (database.NAME, "items.jsonl")  # the latter in galleries of earlier versions
    is_gallery = any((folder / name).exists() for name in names)
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not is_gallery)):
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
