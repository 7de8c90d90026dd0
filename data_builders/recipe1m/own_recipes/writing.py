"""Writes the layout of a download: beside its place first, and renamed when it is whole."""

import contextlib
import hashlib
import json
import os
import pickle
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.fields import Draft
from data_builders.file_errors import os_errors_reported
from data_builders.json_list import JsonList
from data_builders.recipe1m.classes import BACKGROUND
from data_builders.recipe1m.layers.markup import shown
from data_builders.recipe1m.own_recipes.photo_files import PhotoFile
from data_builders.workplace import move_into_place, workplace

_LAYERS = ("layer1", "layer2", "det_ingrs")
# A folder that this command wrote has both.
_MARKS = ("layer1.json", "imported.tsv")


@dataclass(frozen=True, slots=True)
class Placed:
    """A recipe with all that decides what is written of it; `photos` has the id of each."""

    draft: Draft
    id: str
    partition: str
    photos: list[tuple[str, PhotoFile]]


@contextlib.contextmanager
def new_folder(out: Path, *, overwrite: bool) -> Generator[Path]:
    """Gives an empty folder that becomes `out` when the block ends without an error.

    Only one process at a time has it; what a killed one left there is deleted.

    Raises:
        UserError: `out` holds something that is not to be replaced, or cannot be written.
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
    """Raises a `UserError` unless `out` may be written."""
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"--out {out}: is a file; give a folder")
    if any(out.iterdir()):
        if not overwrite:
            raise UserError(f"--out {out}: is not empty; name another folder, or add --overwrite to replace it")
        if not all((out / mark).is_file() for mark in _MARKS):
            raise UserError(f"--out {out}: was not written by this command and is not replaced; name another folder")


class Layers:
    """The files of a download, to which recipes are added one by one.

    Args:
        folder: where to write them.
    """

    def __init__(self, folder: Path):
        self._folder = folder

    def __enter__(self) -> "Layers":
        with contextlib.ExitStack() as files:
            self._lists = {name: files.enter_context(JsonList(self._folder / f"{name}.json")) for name in _LAYERS}
            path = self._folder / "imported.tsv"
            self._imported = files.enter_context(path.open("w", encoding="utf-8", newline="\n"))
            self._files = files.pop_all()
        return self

    def __exit__(self, *failure: Any) -> None:
        self._files.__exit__(*failure)

    def add(self, recipe: Placed, names: list[tuple[str, bool]]) -> None:
        """Writes a recipe with its detected names, and copies its photos.

        Raises:
            UserError: a photo is not what it was.
        """
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
        valid = [sure for _, sure in names]
        detected = {"valid": valid, "id": recipe.id, "ingredients": _texts([name for name, _ in names])}
        self._add("det_ingrs", detected)
        if recipe.photos:
            images = [{"id": f"{identity}.jpg", "url": photo.listed} for identity, photo in recipe.photos]
            self._add("layer2", {"id": recipe.id, "images": images})
        for identity, photo in recipe.photos:
            self._copy(photo, self._folder.joinpath("images", recipe.partition, *identity[:4], f"{identity}.jpg"))
        photos = " ".join(identity for identity, _ in recipe.photos)
        row = (recipe.id, recipe.partition, draft.where, draft.given_id, photos, draft.title)
        self._imported.write("\t".join(shown(cell, 400) for cell in row) + "\n")

    def _add(self, layer: str, record: dict[str, Any]) -> None:
        self._lists[layer].extend([json.dumps(record)])

    @staticmethod
    def _copy(photo: PhotoFile, place: Path) -> None:
        if place.exists():  # another recipe has it too
            return
        try:
            data = photo.path.read_bytes()
        except OSError as error:
            raise UserError(f"{photo.path} cannot be opened any more ({error.strerror}); run again") from None
        if hashlib.sha256(data).hexdigest() != photo.digest:
            raise UserError(f"{photo.path} was changed while it was being imported; run again")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def write_classes(path: Path, class_of: dict[str, str]) -> None:
    """Writes a `classes1M.pkl`: {recipe id: class} and {class: name}, two pickles in a row; 0 is the background."""
    names = [BACKGROUND, *sorted(set(class_of.values()) - {BACKGROUND})]
    numbers = {name: number for number, name in enumerate(names)}
    ids = {identity: numbers[name] for identity, name in class_of.items()}
    path.write_bytes(pickle.dumps(ids, protocol=2) + pickle.dumps(dict(enumerate(names)), protocol=2))


def _texts(lines: list[str]) -> list[dict[str, str]]:
    return [{"text": line} for line in lines]
