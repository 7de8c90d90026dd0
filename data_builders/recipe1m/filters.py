"""Which recipes stay, as far as their text decides it."""

from collections.abc import Sequence
from pathlib import Path

from adamine_jax.base.errors import UserError
from data_builders.file_errors import is_there
from data_builders.recipe1m.layers.markup import shown
from data_builders.recipe1m.recipes import RECIPE_ID, Recipe

# A recipe stays when it has fewer of each; the end mark of the ingredient list counts as an ingredient.
INSTRUCTION_LIMIT = 20
INGREDIENT_LIMIT = 20

REMOVED = "listed in remove1M.txt"
NO_PHOTO_LISTED = "no photo listed in layer 2"
MANY_INSTRUCTIONS = f"{INSTRUCTION_LIMIT} instructions or more"
MANY_INGREDIENTS = f"{INGREDIENT_LIMIT} ingredient ids or more, the end mark counted"
NOT_ASKED_FOR = "in a partition that --partitions leaves out"
NO_READABLE_PHOTO = "none of its photos can be read"


def read_removed(source: Path, published_split: bool) -> frozenset[str]:
    """The ids to leave out, in small letters: the lines of `remove1M.txt`, where a download has it.

    Args:
        source: the download.
        published_split: leave the file's first id in. The published code looks ids up by their position and takes
            position 0 for "not found", so the collection everybody reports numbers on has that recipe.

    Raises:
        UserError: a line of the file is no id.
    """
    path = source / "remove1M.txt"
    if not is_there(path):
        return frozenset()
    ids = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if not RECIPE_ID.fullmatch(line.strip()) and line.strip():
            raise UserError(
                f"{path}, line {number}: {shown(line)!r} is no id of 10 hex digits; mend or remove the line"
            )
        ids += line.lower().split()
    return frozenset(ids[1:] if published_split else ids)


def reason_to_drop(recipe: Recipe, removed: frozenset[str], without_photos: bool = False) -> str | None:
    """The first reason to leave a recipe out, whatever its ingredients are, before its photos are looked at.

    Args:
        recipe: to be judged; None is returned when it may stay.
        removed: see `read_removed`.
        without_photos: a recipe needs none.
    """
    if recipe.id.lower() in removed:
        return REMOVED
    if not recipe.images and not without_photos:
        return NO_PHOTO_LISTED
    if len(recipe.instructions) >= INSTRUCTION_LIMIT:
        return MANY_INSTRUCTIONS
    return None


def many_ingredients(ingredient_ids: Sequence[int]) -> str | None:
    """The reason to leave out a recipe with these, the end mark among them; None when there is none."""
    return MANY_INGREDIENTS if len(ingredient_ids) >= INGREDIENT_LIMIT else None
