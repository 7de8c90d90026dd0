"""Writes the layout of a download into a temporary folder that is renamed when it is complete."""

import contextlib
import hashlib
import json
import os
import pickle
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from adamine_jax.base.errors import UserError
from adamine_jax.formats.photo_files import PhotoFile
from adamine_jax.recipes.fields import Draft
from data_builders.file_errors import os_errors_reported
from data_builders.json_list import JsonList
from data_builders.recipe1m.classes import BACKGROUND
from data_builders.recipe1m.layers.formatting import shown
from data_builders.workplace import move_into_place, workplace

_LAYERS = ("layer1", "layer2", "det_ingrs")
# Files that identify a folder written by this command.
_MARKS = ("layer1.json", "imported.tsv")


@dataclass(frozen=True, slots=True)
class Placed:
    """A recipe to be written; `photos` has the id of each photo."""

    draft: Draft
    id: str
    partition: str
    photos: list[tuple[str, PhotoFile]]


@contextlib.contextmanager
def new_folder(out: Path, *, overwrite: bool) -> Generator[Path]:
    """Yields an empty folder that is renamed to `out` when the block ends without an error.

    The folder is locked for one process; files left by a killed process are deleted.

    Raises:
        UserError: `out` must not be replaced or cannot be written.
    """
    out = Path(os.path.realpath(out))
    busy = f"another import is writing {out}; wait for it or choose another --out"
    with os_errors_reported(out):
        _check(out, overwrite=overwrite)
        with workplace(out.parent / f".{out.name}.incomplete", out, out=out, busy=busy) as folder:
            (folder / "download").mkdir()
            yield folder / "download"
            move_into_place(folder / "download", out, folder)


def _check(out: Path, *, overwrite: bool) -> None:
    """Raises a `UserError` if `out` must not be written."""
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; give a folder")
    if out.exists() and any(out.iterdir()):
        if not overwrite:
            raise UserError(f"--out {out} is not empty; choose another folder, or add --overwrite to replace it")
        if not all((out / mark).is_file() for mark in _MARKS):
            raise UserError(
                f"--out {out} was not written by this command and will not be replaced; choose another folder"
            )


@contextlib.contextmanager
def open_layers(folder: Path) -> Generator["Layers"]:
    """Opens the files of a download in `folder`."""
    with contextlib.ExitStack() as stack:
        layers = {name: stack.enter_context(JsonList(folder / f"{name}.json")) for name in _LAYERS}
        rows = stack.enter_context((folder / "imported.tsv").open("w", encoding="utf-8", newline="\n"))
        yield Layers(folder, layers, rows)


class Layers:
    """The open files of a download."""

    def __init__(self, folder: Path, layers: dict[str, JsonList], rows: IO[str]):
        self._folder, self._layers, self._rows = folder, layers, rows

    def add(self, recipe: Placed, names: list[tuple[str, bool]]) -> None:
        """Writes a recipe and copies its photos; raises a `UserError` if a photo was changed since it was read."""
        draft = recipe.draft
        self._add(
            "layer1",
            {
                "id": recipe.id,
                "title": draft.title,
                "ingredients": _texts(draft.ingredients),
                "instructions": _texts(draft.instructions),
                "partition": recipe.partition,
                "url": draft.url,
            },
        )
        valid, ingredients = [sure for _, sure in names], _texts([name for name, _ in names])
        self._add("det_ingrs", {"valid": valid, "id": recipe.id, "ingredients": ingredients})
        if recipe.photos:
            images = [{"id": f"{identity}.jpg", "url": photo.listed} for identity, photo in recipe.photos]
            self._add("layer2", {"id": recipe.id, "images": images})
        for identity, photo in recipe.photos:
            self._copy(photo, self._folder.joinpath("images", recipe.partition, *identity[:4], f"{identity}.jpg"))
        photos = " ".join(identity for identity, _ in recipe.photos)
        row = (recipe.id, recipe.partition, draft.where, draft.given_id, photos, draft.title)
        self._rows.write("\t".join(shown(cell, 400) for cell in row) + "\n")

    def _add(self, layer: str, record: dict[str, Any]) -> None:
        self._layers[layer].extend([json.dumps(record)])

    @staticmethod
    def _copy(photo: PhotoFile, target: Path) -> None:
        if target.exists():  # another recipe has the same photo
            return
        try:
            data = photo.path.read_bytes()
        except OSError as error:
            raise UserError(f"{photo.path} can no longer be opened ({error.strerror}); rerun the import") from None
        if hashlib.sha256(data).hexdigest() != photo.digest:
            raise UserError(f"{photo.path} was changed during the import; rerun the import")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def write_classes(path: Path, class_of: dict[str, str]) -> None:
    """Writes a `classes1M.pkl`, two consecutive pickles {recipe id: class} and {class: name}; 0 is the background."""
    names = [BACKGROUND, *sorted(set(class_of.values()) - {BACKGROUND})]
    numbers = {name: number for number, name in enumerate(names)}
    ids = {identity: numbers[name] for identity, name in class_of.items()}
    path.write_bytes(pickle.dumps(ids, protocol=2) + pickle.dumps(dict(enumerate(names)), protocol=2))


def _texts(lines: list[str]) -> list[dict[str, str]]:
    return [{"text": line} for line in lines]
