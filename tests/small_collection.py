"""A small collection of realistic recipes, converted, with the workdir of an untrained model."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from adamine_jax.train import train
from data_builders.recipe1m.build import build
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.own_recipes.importing import ImportOptions, import_recipes
from tests import tiny

FOODS = ("beets", "black pepper", "olive oil", "salt", "eggs", "dill", "sour cream", "flour", "leek", "butter")
KINDS = ("soup", "cake")


def recipes(count: int) -> Iterator[dict[str, Any]]:
    """Yields recipes with one instruction for each ingredient."""
    rng = np.random.default_rng(3)
    for number in range(count):
        foods = rng.choice(FOODS, rng.integers(2, 6), replace=False)
        yield {
            "id": f"{number:010x}",
            "title": f"{KINDS[number % 2]} {number}",
            "class": KINDS[number % 2],
            "ingredients": [f"{rng.integers(1, 9)} cups {food}, chopped" for food in foods],
            "instructions": [f"Stir the {food}, then taste it." for food in foods],
            "partition": ("train", "train", "val", "test")[number % 4],
            "images": [f"{number}.{('jpg', 'png', 'gif')[number % 3]}"],
        }


def photo(number: int) -> Image.Image:
    """Draws a photo of 300 × 300 pixels, or of 420 × 210 if the number is odd."""
    pixels = np.random.default_rng(number).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    side = (300, 420)[number % 2]
    return Image.fromarray(pixels).resize((side, side // (1 + number % 2)), Image.Resampling.BICUBIC)


def photo_file(number: int) -> bytes:
    """Returns the photo as a PNG file."""
    file = io.BytesIO()
    photo(number).save(file, "PNG")
    return file.getvalue()


def write(folder: Path) -> Path:
    """Writes 48 recipes to `own`, converts them into `data` and creates the workdir `run`.

    Some photos are rotated by their EXIF orientation.
    """
    (folder / "own").mkdir()
    written = list(recipes(48))
    (folder / "own" / "recipes.jsonl").write_text("".join(json.dumps(recipe) + "\n" for recipe in written))
    for number, recipe in enumerate(written):
        exif = Image.Exif()
        exif[0x0112] = 6 if number % 4 == 1 else 1
        photo(number).save(folder / "own" / recipe["images"][0], exif=exif)
    import_recipes(ImportOptions(folder / "own" / "recipes.jsonl", folder / "download"))
    options = Options(
        word_min_count=2, word_dim=tiny.WORD_DIM, class_min_train=1, resize=64, unknown_ingredients="words"
    )
    build(folder / "download", folder / "data", options, workers=1, overwrite=False)
    train(tiny.small_config(folder / "data", epochs=0, model__recipe__max_words=12), folder / "run")
    return folder
