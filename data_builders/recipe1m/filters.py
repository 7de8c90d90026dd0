"""The filter rules that depend on a recipe's text alone."""

from collections.abc import Sequence
from pathlib import Path

from adamine_jax.base.errors import UserError
from data_builders.file_errors import file_exists
from data_builders.recipe1m.layers.formatting import shown
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.recipes import RECIPE_ID, Recipe

REMOVED = "listed in remove1M.txt"
NO_PHOTO_LISTED = "no photo listed in layer 2"
NOT_ASKED_FOR = "in a partition that --partitions excludes"
NO_READABLE_PHOTO = "none of its photos can be read"


def read_removed(source: Path, published_split: bool) -> frozenset[str]:
    """Returns the recipe ids in `remove1M.txt`, in lower case; an empty set if the file is missing.

    Args:
        source: Folder of the download.
        published_split: Whether to ignore the first id. The published code looks ids up by position and takes position
            0 for "not found", so the published split contains that recipe.

    Raises:
        UserError: A line of the file is not a recipe id.
    """
    path = source / "remove1M.txt"
    if not file_exists(path):
        return frozenset()
    ids = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if not RECIPE_ID.fullmatch(line.strip()) and line.strip():
            raise UserError(
                f"{path}, line {number}: {shown(line)!r} is not an id of 10 hex digits; correct or remove the line"
            )
        ids += line.lower().split()
    return frozenset(ids[1:] if published_split else ids)


def reason_to_drop(recipe: Recipe, removed: frozenset[str], options: Options) -> str | None:
    """Returns the first reason to drop a recipe, apart from its ingredients and photo files, or None."""
    if recipe.id.lower() in removed:
        return REMOVED
    if not recipe.images and not options.without_photos:
        return NO_PHOTO_LISTED
    return many_instructions(len(recipe.instructions), options)


def many_instructions(count: int, options: Options) -> str | None:
    """Returns the reason to drop a recipe with this number of instructions, or None."""
    most = options.max_instructions
    return f"{most + 1} instructions or more" if most and count > most else None


def many_ingredients(ingredient_ids: Sequence[int], options: Options) -> str | None:
    """Returns the reason to drop a recipe with these ingredient ids, which include the end mark, or None."""
    most = options.max_ingredients
    if not most or len(ingredient_ids) <= most + 1:
        return None
    return f"{most + 2} ingredient ids or more, including the end mark"
