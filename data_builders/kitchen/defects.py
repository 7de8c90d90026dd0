"""Defects of the real data set, planted at known rates.

Recipes come in blocks of 200, each with the same number of each defect at positions drawn from (seed, block). Any 200
recipes of a block therefore contain every defect, and the defect of a recipe does not depend on other recipes.
"""

import functools
from typing import NamedTuple

import numpy as np

BLOCK = 200

# Number of recipes in a block with each defect; a recipe has at most one.
PER_BLOCK: dict[str, int] = {
    "absent_from_layer2": 3,  # no record in layer2.json
    "no_images": 2,  # a record with an empty list
    "several_photos": 12,  # two to seven
    "truncated_photo": 2,  # the JPEG is cut off
    "text_photo": 1,  # the JPEG contains text
    "missing_photo": 2,  # listed, but not on disk
    "many_ingredients": 1,  # twenty or more
    "many_instructions": 1,  # twenty or more
    "no_instructions": 1,
    "removed": 3,  # listed in remove1M.txt
    "odd_unicode": 6,
}
_STREAM = 99  # separates these random numbers from those of the recipes


class Defect(NamedTuple):
    """The defect of a recipe.

    Attributes:
        photos: Number of photos listed in layer 2.
        kind: Key of `PER_BLOCK`, or "" for a clean recipe.
    """

    photos: int
    kind: str = ""


def defect_of(seed: int, index: int) -> Defect:
    """Returns the defect of recipe `index` of kitchen `seed`."""
    return _block(seed, index // BLOCK)[index % BLOCK]


@functools.lru_cache(maxsize=64)
def _block(seed: int, block: int) -> tuple[Defect, ...]:
    rng = np.random.default_rng([seed, block, _STREAM])
    kinds = [kind for kind, count in PER_BLOCK.items() for _ in range(count)]
    kinds += [""] * (BLOCK - len(kinds))
    return tuple(_with_photos(kinds[k], rng) for k in rng.permutation(BLOCK))


def _with_photos(kind: str, rng: np.random.Generator) -> Defect:
    several = int(rng.integers(2, 8))
    if kind in ("absent_from_layer2", "no_images"):
        return Defect(0, kind)
    # About half of the damaged photos have readable ones beside them, so that the recipe is kept.
    damaged = kind in ("truncated_photo", "text_photo", "missing_photo")
    return Defect(several if kind == "several_photos" or (damaged and several % 2) else 1, kind)


def damaged_photo(jpeg: bytes, kind: str) -> bytes | None:
    """Returns the content of a recipe's first photo file, or None if the file is missing."""
    if kind == "truncated_photo":
        return jpeg[: len(jpeg) // 3]
    if kind == "text_photo":
        return b"<html><body>404 Not Found</body></html>\n"
    return None if kind == "missing_photo" else jpeg


def with_odd_unicode(
    title: str, lines: tuple[str, ...], instructions: tuple[str, ...], rng: np.random.Generator
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Adds accents, emoji, combining marks, right-to-left words and no-break spaces to the texts of a recipe."""
    extra = (
        "Crème brûlée à la façon de Zoë",
        "so good \N{FACE SAVOURING DELICIOUS FOOD}\N{FORK AND KNIFE}\N{VARIATION SELECTOR-16}",
        "Jalapen\N{COMBINING TILDE}o cafe\N{COMBINING ACUTE ACCENT}",
        "שקשוקה",
        "كُسكُس",
        "a\N{NO-BREAK SPACE}b\N{ZERO WIDTH SPACE}c",
    )
    first, second, third = rng.permutation(len(extra))[:3]
    lines = (*lines[:-1], lines[-1].replace(" ", "\N{NO-BREAK SPACE}") + f" ( {extra[second]} )")
    return f"{title} {extra[first]}", lines, (*instructions, f"{extra[third]} .")
