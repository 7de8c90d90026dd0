"""Builds galleries of a folder of photos and of a file of recipes; `split_building` those of the data set.

Nothing is dropped without a word, and the order is the source's. An interrupted build of the same source by the same
model goes on where it was.
"""

import dataclasses
import hashlib
import itertools
import json
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tqdm

from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import Progress
from adamine_jax.gallery.files import BACKGROUND, Item
from adamine_jax.gallery.writer import GalleryWriter
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.photos import UnusablePhoto, photo_files, stored
from adamine_jax.recipes.texts import RecipeText, read_recipe_lines
from adamine_jax.runs import workdir

BLOCK = 256
"""Items between two notes of how far a build is, which is what an interruption costs at most."""
_NAMED = 20
"""What is wrong with items is told of this many."""


class Built(NamedTuple):
    """How many items a gallery has, and how many of the source it has not."""

    items: int
    left_out: int


def build_photos(encoder: Encoder, photos: Path, folder: Path, workers: int) -> Built:
    """Embeds a folder of photos into a gallery; an item's id is the photo's path in that folder.

    Photos that cannot be used are named on stderr and left out.

    Args:
        encoder: of the model.
        photos: the folder, with those below it.
        folder: the gallery.
        workers: threads that decode photos.

    Raises:
        UserError: there is no photo, or none that can be used.
    """
    encoder.check_reads_photos()
    paths = photo_files(photos)
    names = [path.relative_to(photos).as_posix() for path in paths]
    stamps = [
        f"{name} {(stat := path.stat()).st_size} {stat.st_mtime_ns}" for name, path in zip(names, paths, strict=True)
    ]
    about = description(encoder.trained, {"photos": lines_digest(stamps)}, [BACKGROUND])
    side, left_out = encoder.trained.photo_side, 0

    def read(path: Path) -> bytes | UnusablePhoto:
        try:
            return stored(path, side)
        except UnusablePhoto as error:
            return error

    with (
        GalleryWriter(folder, about, ("image",), encoder.dim) as writer,
        ThreadPoolExecutor(workers) as threads,
        Progress("embedding photos", len(paths), "photo", initial=writer.taken) as progress,
    ):
        say_if_going_on(writer, folder)
        left_out += writer.taken - len(writer)
        for start in range(writer.taken, len(paths), BLOCK):
            items: list[Item | None] = []
            jpegs: list[bytes] = []
            for name, path, jpeg in zip(
                names[start : start + BLOCK],
                paths[start : start + BLOCK],
                threads.map(read, paths[start : start + BLOCK]),
                strict=True,
            ):
                if isinstance(jpeg, UnusablePhoto):
                    left_out += 1
                    _name(f"{path}: {jpeg.reason}; left out", left_out)
                    items.append(None)
                else:
                    items.append(Item(id=name, title=path.stem, photo=jpeg))
                    jpegs.append(jpeg)
            rows = np.zeros((len(items), encoder.dim), np.float32)
            there = [place for place, item in enumerate(items) if item is not None]
            rows[there] = encoder.embed_stored(jpegs)
            writer.write({"image": rows}, items)
            progress.update(len(items))
        if not len(writer):
            raise UserError(f"{photos}: none of the {len(paths)} photos can be used")
        return Built(writer.finish(), left_out)


def build_recipes(encoder: Encoder, file: Path, folder: Path) -> Built:
    """Embeds a file of recipes, one JSON object a line, into a gallery.

    A recipe without an id of its own gets "recipe N". The whole file is read before anything is embedded, so that a
    mistake in it is told at once.

    Args:
        encoder: of the model.
        file: of the recipes.
        folder: the gallery.

    Raises:
        UserError: a line is no recipe that the model can read, or two have one id.
    """
    classes, digest, ids, unknown = set(), hashlib.sha256(), set(), 0
    for recipe, where in _numbered(file):
        encoder.check(recipe, where)
        classes.add(recipe.class_name)
        digest.update(json.dumps(vars(recipe)).encode())
        if recipe.id in ids:
            raise UserError(f"{where}: the id {recipe.id!r} was there before; give each recipe its own, or none")
        ids.add(recipe.id)
        if not encoder.texts.reads(recipe):
            unknown += 1
            _name(f"{where}: the model knows no word of it, so that its place means nothing", unknown)
    if not ids:
        raise UserError(f"{file}: holds no recipe; takes a JSON object a line")
    class_names = [BACKGROUND, *sorted(classes - {"", BACKGROUND})]
    about = description(encoder.trained, {"recipes": digest.hexdigest()}, class_names)
    with (
        GalleryWriter(folder, about, ("recipe",), encoder.dim) as writer,
        Progress("embedding recipes", len(ids), "recipe", initial=writer.taken) as progress,
    ):
        say_if_going_on(writer, folder)
        recipes = (recipe for recipe, _ in _numbered(file))
        for block in _blocks(itertools.islice(recipes, writer.taken, None)):
            items = [
                Item(
                    id=recipe.id,
                    title=recipe.title,
                    class_name=recipe.class_name or BACKGROUND,
                    ingredients=recipe.ingredients,
                    instructions=recipe.instructions,
                )
                for recipe in block
            ]
            writer.write({"recipe": encoder.embed_recipes(block)}, items)
            progress.update(len(items))
        return Built(writer.finish(), 0)


def description(trained: workdir.Trained, source: dict[str, str], class_names: Iterable[str]) -> dict[str, Any]:
    """What a gallery is `about`, see `GalleryWriter`: what is embedded by what."""
    return {"model": trained.digest, "step": trained.step, "source": source, "class_names": list(class_names)}


def lines_digest(lines: Iterable[str]) -> str:
    """sha256 of lines of text."""
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _numbered(file: Path) -> Iterator[tuple[RecipeText, str]]:
    """The recipes of a file, each with an id, and where it is."""
    for number, recipe in enumerate(read_recipe_lines(file), 1):
        named = recipe if recipe.id else dataclasses.replace(recipe, id=f"recipe {number}")
        yield named, f"{file}, recipe {number}"


def _blocks(recipes: Iterator[RecipeText]) -> Iterator[list[RecipeText]]:
    while block := list(itertools.islice(recipes, BLOCK)):
        yield block


def say_if_going_on(writer: GalleryWriter, folder: Path) -> None:
    """Tells that an interrupted build is gone on with, where it is."""
    if writer.taken:
        print(f"{folder}: going on behind {writer.taken:,} items that are there already", flush=True)


def _name(line: str, number: int) -> None:
    if number <= _NAMED:
        tqdm.tqdm.write(line, file=sys.stderr)
    if number == _NAMED:
        tqdm.tqdm.write("further ones are not named", file=sys.stderr)
