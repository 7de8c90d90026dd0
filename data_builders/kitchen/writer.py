"""Writes a download with several processes, streaming the records and moving the folder into place at the end."""

import contextlib
import dataclasses
import functools
import json
import math
import multiprocessing
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import NamedTuple

from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import Progress
from data_builders.json_list import JsonList
from data_builders.kitchen import photo, recipes
from data_builders.kitchen.defects import damaged_photo, defect_of
from data_builders.processes import begin_worker

_json = functools.partial(json.dumps, ensure_ascii=False)
_CHUNK = 16  # recipes per task of a worker


@dataclasses.dataclass(frozen=True)
class Kitchen:
    """Parameters that determine every byte of a download.

    Attributes:
        seed: Seed of all random numbers.
        recipes: Number of records in layer 1, including those that the data set's filters drop.
        splits: Shares of train, val and test.
        photo_size: Shorter side of the photos in pixels.
        with_photos: Number of leading recipes that may have photos; None for all.
    """

    seed: int
    recipes: int
    splits: tuple[float, float, float] = (0.7, 0.15, 0.15)
    photo_size: int = 192
    with_photos: int | None = None


class _Batch(NamedTuple):
    """Result of a worker: records of the three files, and the number of photos written."""

    layer1: list[str]
    layer2: list[str]
    det_ingrs: list[str]
    photos: int


def write_download(kitchen: Kitchen, out: Path, workers: int) -> int:
    """Writes layer1.json, layer2.json, det_ingrs.json, remove1M.txt and images/ into `out`.

    The files depend on `kitchen` alone, not on `workers`. They are written to a temporary folder beside `out` and
    moved at the end.

    Returns:
        The number of photos on disk.

    Raises:
        UserError: `out` exists and is not an empty folder, or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: exists and is not an empty folder; remove it or name another one")
    parent = out.absolute().parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=parent, ignore_cleanup_errors=True) as temporary:
            folder = Path(temporary, out.name)
            folder.mkdir()
            photos = _write(kitchen, folder, workers)
            os.replace(folder, out)
    except OSError as error:
        raise UserError(f"--out {out}: {error.strerror or error}; name a writable folder with enough space") from error
    return photos


def _write(kitchen: Kitchen, folder: Path, workers: int) -> int:
    photos = 0
    with contextlib.ExitStack() as stack:
        layer1, layer2, det_ingrs = (
            stack.enter_context(JsonList(folder / f"{name}.json")) for name in ("layer1", "layer2", "det_ingrs")
        )
        progress = stack.enter_context(Progress("cooking", kitchen.recipes, "recipe"))
        for batch in stack.enter_context(contextlib.closing(_batches(kitchen, folder, workers))):
            layer1.extend(batch.layer1)
            layer2.extend(batch.layer2)
            det_ingrs.extend(batch.det_ingrs)
            photos += batch.photos
            progress.update(len(batch.layer1))
    with (folder / "remove1M.txt").open("w", encoding="ascii") as file:
        for index in range(kitchen.recipes):
            if defect_of(kitchen.seed, index).kind == "removed":
                file.write(recipes.hex_id(kitchen.seed, 8 * index) + "\n")
    return photos


def _batches(kitchen: Kitchen, folder: Path, workers: int) -> Generator[_Batch]:
    starts = range(0, kitchen.recipes, _CHUNK)
    cook = functools.partial(_cook, kitchen, folder)
    if workers == 1:
        yield from map(cook, starts)
        return
    # Spawned, not forked: forking is unsafe in a caller with threads (JAX, TensorFlow).
    with multiprocessing.get_context("spawn").Pool(workers, begin_worker) as pool:
        yield from pool.imap(cook, starts)


def _cook(kitchen: Kitchen, folder: Path, start: int) -> _Batch:
    """Generates one chunk of records of each file, and the photos of the recipes in layer 1."""
    positions = range(start, min(start + _CHUNK, kitchen.recipes))
    make = functools.partial(recipes.recipe, kitchen.seed, splits=kitchen.splits)

    def has_photos(recipe: recipes.Recipe) -> bool:
        return kitchen.with_photos is None or recipe.index < kitchen.with_photos

    first = [make(position) for position in positions]
    second = [make(_shuffled(position, kitchen.recipes, 0.618)) for position in positions]
    third = [make(_shuffled(position, kitchen.recipes, 0.414)) for position in positions]
    photos = sum(_write_photos(kitchen, folder, recipe) for recipe in first if has_photos(recipe))
    return _Batch(
        [_layer1(recipe) for recipe in first],
        [_layer2(recipe) for recipe in second if recipe.defect.kind != "absent_from_layer2" and has_photos(recipe)],
        [_det_ingrs(recipe) for recipe in third],
        photos,
    )


def _write_photos(kitchen: Kitchen, folder: Path, recipe: recipes.Recipe) -> int:
    written = 0
    for number, name in enumerate(recipe.photo_ids):
        rng = recipes.photo_rng(kitchen.seed, recipe.index, number)
        jpeg = photo.photo_jpeg(recipe.scene, rng, kitchen.photo_size)
        if number == 0:
            jpeg = damaged_photo(jpeg, recipe.defect.kind)
        if jpeg is None:
            continue
        path = folder / "images" / recipe.partition / Path(*name[:4]) / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg)
        written += 1
    return written


def _shuffled(position: int, count: int, share: float) -> int:
    """Returns the recipe at `position` of a file: a permutation of 0 … count - 1 that needs no memory."""
    step = max(1, round(share * count))
    while math.gcd(step, count) != 1:
        step += 1
    return (position * step + count // 3) % count


def _layer1(recipe: recipes.Recipe) -> str:
    return _json(
        {
            "ingredients": [{"text": line} for line in recipe.ingredients],
            "url": f"https://kitchen.example/recipes/{recipe.index}",
            "partition": recipe.partition,
            "title": recipe.title,
            "id": recipe.id,
            "instructions": [{"text": sentence} for sentence in recipe.instructions],
        }
    )


def _layer2(recipe: recipes.Recipe) -> str:
    images = [{"id": f"{name}.jpg", "url": f"https://kitchen.example/photos/{name}.jpg"} for name in recipe.photo_ids]
    return _json({"id": recipe.id, "images": images})


def _det_ingrs(recipe: recipes.Recipe) -> str:
    names = [{"text": name} for name in recipe.names]
    return _json({"valid": list(recipe.valid), "id": recipe.id, "ingredients": names})
