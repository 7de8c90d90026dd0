"""Builds galleries from a folder of photos or a file of recipes; `split_building` builds those of the data set.

The items keep the order of the source, and every item that is left out is reported. An interrupted build of the same
source with the same model is resumed.
"""

import dataclasses
import functools
import hashlib
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import Progress
from adamine_jax.formats.recipe_files import read_recipes
from adamine_jax.gallery.items import BACKGROUND, Item
from adamine_jax.gallery.opening import writer as opened_writer
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.photos import UnusablePhoto, photo_files, stored
from adamine_jax.recipes.texts import RecipeText
from adamine_jax.runs import workdir

BLOCK = 256
"""Items written at once, and the most that an interruption loses."""
_MAX_REPORTED = 20
"""Number of problems that are reported one by one."""


def build_photos(
    encoder: Encoder, photos: Path, place: str | Path, workers: int, dtype: str = "float32"
) -> tuple[int, int]:
    """Embeds a folder of photos and writes their gallery. The id of an item is the photo's relative path.

    Unusable photos are reported on stderr and left out.

    Args:
        encoder: Encoder of the trained model.
        photos: Folder of photos, searched recursively.
        place: Folder of the gallery, or `postgresql://` URL.
        workers: Number of threads that decode photos.
        dtype: Type in which embeddings are stored.

    Returns:
        (number of items in the gallery, number of unusable photos).

    Raises:
        UserError: The folder contains no usable photo.
    """
    encoder.check_reads_photos()
    paths = photo_files(photos)
    names = [_text(path.relative_to(photos).as_posix()) for path in paths]
    stamps = [
        f"{name} {(stat := path.lstat()).st_size} {stat.st_mtime_ns}" for name, path in zip(names, paths, strict=True)
    ]
    about = description(encoder.trained, {"photos": lines_digest(stamps)})

    def read(path: Path) -> bytes | UnusablePhoto:
        if not path.is_file():  # reading a pipe would wait forever
            return UnusablePhoto(str(path), "not a regular file, or a broken link")
        try:
            return stored(path, encoder.trained.photo_side)
        except UnusablePhoto as error:
            return error

    with (
        opened_writer(place, about, ("image",), encoder.dim, dtype) as writer,
        ThreadPoolExecutor(workers) as threads,
        Progress("embedding photos", len(paths), "photo", initial=writer.taken) as progress,
    ):
        left_out = writer.taken - len(writer)
        for start in range(writer.taken, len(paths), BLOCK):
            block = slice(start, start + BLOCK)
            items: list[Item | None] = []
            jpegs: list[bytes] = []
            for name, path, jpeg in zip(names[block], paths[block], threads.map(read, paths[block]), strict=True):
                if isinstance(jpeg, UnusablePhoto):
                    left_out += 1
                    _report(f"{path}: {jpeg.reason}; left out", left_out)
                    items.append(None)
                else:
                    items.append(Item(id=name, title=_text(path.stem), photo=jpeg))
                    jpegs.append(jpeg)
            rows = np.zeros((len(items), encoder.dim), np.float32)
            rows[[item is not None for item in items]] = encoder.embed_stored(jpegs)
            writer.write({"image": rows}, items)
            progress.update(len(items))
        if not len(writer):
            raise UserError(f"{photos}: none of the {len(paths)} photos can be used")
        return writer.finish(), left_out


def build_recipes(encoder: Encoder, file: Path, place: str | Path, dtype: str = "float32") -> int:
    """Embeds a file of recipes, one JSON object per line, writes their gallery, and returns its number of items.

    A recipe without an id gets the id "recipe N". The whole file is checked before the first recipe is embedded.

    Raises:
        UserError: The model cannot read a recipe, or two recipes have the same id.
    """
    digest, ids, unknown = hashlib.sha256(), set(), 0
    for recipe, where in _numbered(file, functools.partial(tqdm.tqdm.write, file=sys.stderr)):
        encoder.check(recipe, where)
        digest.update(json.dumps(vars(recipe), default=str).encode())
        if recipe.id in ids:
            raise UserError(f"{where}: duplicate id {recipe.id!r}; give every recipe a unique id, or none")
        ids.add(recipe.id)
        if not encoder.texts.reads(recipe):
            unknown += 1
            _report(f"{where}: the model knows none of its words, so its embedding is meaningless", unknown)
    if not ids:
        raise UserError(f"{file}: contains no recipes")
    about = description(encoder.trained, {"recipes": digest.hexdigest()})
    with (
        opened_writer(place, about, ("recipe",), encoder.dim, dtype) as writer,
        Progress("embedding recipes", len(ids), "recipe", initial=writer.taken) as progress,
    ):
        recipes = (recipe for recipe, _ in itertools.islice(_numbered(file), writer.taken, None))
        while block := list(itertools.islice(recipes, BLOCK)):
            items = [item_of(recipe) for recipe in block]
            writer.write({"recipe": encoder.embed_recipes(block)}, items)
            progress.update(len(items))
        return writer.finish()


def item_of(recipe: RecipeText, photo: bytes | None = None) -> Item:
    """Returns the item of a recipe and the content of its photo's JPEG file."""
    return Item(
        id=recipe.id,
        title=recipe.title,
        class_name=recipe.class_name or BACKGROUND,
        ingredients=recipe.ingredients,
        instructions=recipe.instructions,
        photo=photo,
        tags=recipe.tags,
    )


def description(trained: workdir.Trained, source: dict[str, str]) -> dict[str, Any]:
    """Returns the `about` of a `GalleryWriter`, which identifies the model and the source."""
    return {"model": trained.digest, "step": trained.step, "source": source}


def lines_digest(lines: Iterable[str]) -> str:
    """Returns the SHA-256 digest of lines of text."""
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _numbered(file: Path, say: Callable[[str], object] = lambda _: None) -> Iterator[tuple[RecipeText, str]]:
    """Yields the recipes of a file, each with an id, and their places in it; see `read_recipes`."""
    for number, recipe in enumerate(read_recipes(file, say), 1):
        yield recipe if recipe.id else dataclasses.replace(recipe, id=f"recipe {number}"), f"{file}, recipe {number}"


def _text(name: str) -> str:
    r"""Returns a file name as text, with `\xff` for a byte that is not UTF-8, so that names stay distinct."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _report(line: str, number: int) -> None:
    if number <= _MAX_REPORTED:
        tqdm.tqdm.write(line, file=sys.stderr)
    if number == _MAX_REPORTED:
        tqdm.tqdm.write("further ones are not reported", file=sys.stderr)
