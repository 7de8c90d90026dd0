"""Adds recipes and photos to a gallery, embedded by the model that built it."""

import dataclasses
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import track
from adamine_jax.formats.photo_files import PhotoFinder, PhotoProblem
from adamine_jax.formats.recipe_files import read_recipes
from adamine_jax.gallery.building import BLOCK, item_of
from adamine_jax.gallery.items import KINDS
from adamine_jax.gallery.store import Editor
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.photos import UnusablePhoto, photo_files, stored
from adamine_jax.recipes.texts import RecipeText, text_digest


class Addition(NamedTuple):
    """A recipe, a photo, or both; the photo is the content of a JPEG file returned by `photos.stored`."""

    recipe: RecipeText
    photo: bytes | None


def add(
    editor: Editor, encoder: Encoder, additions: Iterable[Addition], say: Callable[[str], object], *, replace: bool
) -> int:
    """Embeds items and adds them in blocks, each of which is one change.

    Args:
        editor: Gallery, built by the model of `encoder`.
        encoder: Encoder of the model.
        additions: What to add. A recipe without an id gets one from its text.
        say: Receives a line about each item that is left out.
        replace: Whether an item replaces the one with the same id; otherwise the new item is left out.

    Returns:
        Number of items added or replaced.
    """
    count = 0
    additions = iter(additions)
    while block := list(itertools.islice(additions, BLOCK)):
        chosen: dict[str, Addition] = {}
        for recipe, photo in block:
            identity = recipe.id or text_digest(recipe.title, recipe.ingredients, recipe.instructions)[:10]
            if not replace and (identity in chosen or editor.has(identity)):
                say(f"{recipe.title or identity}: {identity} is already in the gallery; skipped (`update` replaces it)")
                continue
            chosen[identity] = Addition(dataclasses.replace(recipe, id=identity), photo)
        if chosen:
            items = [item_of(recipe, photo) for recipe, photo in chosen.values()]
            editor.add(items, embedded(encoder, editor.about["sides"], list(chosen.values())), replace=replace)
        count += len(chosen)
    return count


def embedded(encoder: Encoder, sides: Iterable[str], additions: list[Addition]) -> dict[str, np.ndarray]:
    """Returns the (n, D) embeddings of the modalities of a gallery."""
    rows = {}
    for side in sides:
        if side == "image":
            rows[side] = encoder.embed_stored([photo for _, photo in additions if photo is not None])
        else:
            rows[side] = encoder.embed_recipes([recipe for recipe, _ in additions])
    return rows


def check(encoder: Encoder, sides: Iterable[str], recipe: RecipeText, has_photo: bool, where: str) -> None:
    """Raises a `UserError` unless a gallery of these modalities can contain an item."""
    sides = tuple(sides)
    if "recipe" in sides:
        encoder.check(recipe, where)
    if "image" in sides and not has_photo:
        raise UserError(f"{where}: no photo; a gallery of {KINDS[sides]} needs one for each item")


def recipes(encoder: Encoder, sides: Iterable[str], source: Path, say: Callable[[str], object]) -> Iterator[Addition]:
    """Yields the recipes of a file or a folder, with their first usable photo if the gallery has photos."""
    sides = tuple(sides)
    root = source if source.is_dir() else source.parent
    with tempfile.TemporaryDirectory() as name:
        finder = PhotoFinder(root, unpacked=Path(name), allow_outside=False, digest_of=lambda _: "")
        for recipe in track(read_recipes(source, say, Path(name)), "adding recipes", unit="recipe"):
            where = recipe.title or recipe.id
            photo = None
            for folder, listed in recipe.photos if "image" in sides else ():
                found = finder.find(folder, listed)
                try:
                    if isinstance(found, PhotoProblem):
                        raise UnusablePhoto(found.listed, f"{found.kind}{f' ({found.detail})' if found.detail else ''}")
                    photo = stored(found.path, encoder.trained.photo_side)
                    break
                except UnusablePhoto as error:
                    say(f"{where}: {error.reason}: {found.listed}")
            try:
                check(encoder, sides, recipe, photo is not None, where)
            except UserError as error:
                say(f"{error}; skipped")
                continue
            yield Addition(recipe, photo)


def photos(encoder: Encoder, folder: Path, say: Callable[[str], object]) -> Iterator[Addition]:
    """Yields the usable photos of a folder; the id of each is its relative path."""
    for path in track(photo_files(folder), "adding photos", unit="photo"):
        try:
            photo = stored(path, encoder.trained.photo_side)
        except UnusablePhoto as error:
            say(f"{path}: {error.reason}; skipped")
            continue
        yield Addition(RecipeText(title=path.stem, id=path.relative_to(folder).as_posix()), photo)
