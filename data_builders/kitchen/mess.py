"""The mess of the real thing: defects planted at small, known rates.

Recipes come in blocks of 200; each block has the same number of each defect at places drawn from (seed, block). So
200 recipes hold at least one of each, and any recipe's defects are known without looking at the others.
"""

import dataclasses
import functools

import numpy as np

BLOCK = 200

# Recipes of a block that have the defect; a recipe has one at most.
PER_BLOCK: dict[str, int] = {
    "absent_from_layer2": 3,  # no record at all in layer2.json
    "no_images": 2,  # a record with an empty list
    "several_photos": 12,  # two to seven
    "truncated_photo": 2,  # the JPEG ends early
    "text_photo": 1,  # something else under a JPEG's name
    "missing_photo": 2,  # listed, but not on disk
    "many_ingredients": 1,  # twenty or more
    "many_instructions": 1,  # twenty or more
    "no_instructions": 1,
    "removed": 3,  # on remove1M.txt
    "odd_unicode": 6,
}
_STREAM = 99  # keeps these draws apart from a recipe's own


@dataclasses.dataclass(frozen=True)
class Mess:
    """What is wrong with one recipe.

    Attributes:
        photos: how many photos layer 2 lists.
        defect: a key of `PER_BLOCK`, or "" for a clean recipe.
    """

    photos: int
    defect: str = ""

    @property
    def in_layer2(self) -> bool:
        return self.defect != "absent_from_layer2"

    @property
    def many_ingredients(self) -> bool:
        return self.defect == "many_ingredients"

    @property
    def many_instructions(self) -> bool:
        return self.defect == "many_instructions"

    @property
    def no_instructions(self) -> bool:
        return self.defect == "no_instructions"

    @property
    def removed(self) -> bool:
        return self.defect == "removed"

    @property
    def odd_unicode(self) -> bool:
        return self.defect == "odd_unicode"


def mess_of(seed: int, index: int) -> Mess:
    """What is wrong with recipe `index` of kitchen `seed`."""
    return _block(seed, index // BLOCK)[index % BLOCK]


@functools.lru_cache(maxsize=64)
def _block(seed: int, block: int) -> tuple[Mess, ...]:
    rng = np.random.default_rng([seed, block, _STREAM])
    defects = [defect for defect, count in PER_BLOCK.items() for _ in range(count)]
    defects += [""] * (BLOCK - len(defects))
    return tuple(_mess(defects[k], rng) for k in rng.permutation(BLOCK))


def _mess(defect: str, rng: np.random.Generator) -> Mess:
    several = int(rng.integers(2, 8))
    if defect in ("absent_from_layer2", "no_images"):
        return Mess(0, defect)
    # Every other broken photo has readable ones beside it, so that the recipe survives.
    broken = defect in ("truncated_photo", "text_photo", "missing_photo")
    return Mess(several if defect == "several_photos" or (broken and several % 2) else 1, defect)


def damaged(jpeg: bytes, defect: str) -> bytes | None:
    """What lies on disk in place of a recipe's first photo: `None` when nothing does."""
    if defect == "truncated_photo":
        return jpeg[: len(jpeg) // 3]
    if defect == "text_photo":
        return b"<html><body>404 Not Found</body></html>\n"
    return None if defect == "missing_photo" else jpeg


def with_odd_unicode(
    title: str, lines: tuple[str, ...], instructions: tuple[str, ...], rng: np.random.Generator
) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The same texts with what the web adds: accents, emoji, combining marks, right-to-left words, NBSP."""
    extra = (
        "Crème brûlée à la façon de Zoë",  # accents
        "so good \N{FACE SAVOURING DELICIOUS FOOD}\N{FORK AND KNIFE}\N{VARIATION SELECTOR-16}",
        "Jalapen\N{COMBINING TILDE}o cafe\N{COMBINING ACUTE ACCENT}",
        "שקשוקה",
        "كُسكُس",
        "a\N{NO-BREAK SPACE}b\N{ZERO WIDTH SPACE}c",
    )
    first, second, third = rng.permutation(len(extra))[:3]
    lines = (*lines[:-1], lines[-1].replace(" ", "\N{NO-BREAK SPACE}") + f" ( {extra[second]} )")
    return f"{title} {extra[first]}", lines, (*instructions, f"{extra[third]} .")
