"""Recipes as queries and for galleries, from files of any format that can be imported."""

from collections.abc import Callable, Iterator
from pathlib import Path

from adamine_jax.base.errors import UserError
from adamine_jax.formats.json_files import parse_json, recipes_in
from adamine_jax.formats.opening import decoded, read_bytes
from adamine_jax.formats.pages import page_recipes
from adamine_jax.formats.registry import format_of, read_source
from adamine_jax.formats.report import SkippingReport, StrictReport
from adamine_jax.recipes.given import recipe_of, text_of
from adamine_jax.recipes.texts import RecipeText

MAX_BYTES = 64 << 20
"""Maximum size of a recipe, such as a web page."""


def read_recipe(path: Path) -> RecipeText:
    """Reads a file that contains one recipe, whole or partial.

    Raises:
        UserError: The file cannot be read, or does not contain one recipe.
    """
    try:
        if format_of(path) not in ("json", "jsonl", ""):
            found = [text_of(entry) for entry in read_source(path, StrictReport())]
            return _only(found, str(path))
        return parsed(decoded(read_bytes(path, MAX_BYTES)), str(path))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); give a file with one recipe") from None
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def read_recipes(
    path: Path, say: Callable[[str], object] = print, unpacked: Path | None = None
) -> Iterator[RecipeText]:
    """Reads the recipes of a file or a folder, whole or partial.

    Args:
        path: File or folder.
        say: Receives a line about each file and record of a folder that is skipped.
        unpacked: Folder for the photos of archives; None = they are not needed.

    Raises:
        UserError: The file, or all files of the folder, cannot be read or contain no recipe.
    """
    report = SkippingReport(say) if path.is_dir() else StrictReport()
    report.unpacked = unpacked
    for entry in read_source(path, report, "" if path.is_dir() or format_of(path) else "jsonl"):
        try:
            recipe = text_of(entry)
        except UserError as error:
            report.drop(entry.where, str(error).removeprefix(f"{entry.where}: "))
            continue
        yield recipe


def parsed(text: str, where: str) -> RecipeText:
    """Returns the recipe of a JSON text or of the HTML of a web page.

    Raises:
        UserError: It is neither, or does not contain one recipe.
    """
    if text.lstrip()[:1] == "<":
        return _only([recipe_of(recipe, where) for recipe in page_recipes(text)], where)
    try:
        document = parse_json(text.strip())
    except ValueError as error:
        raise UserError(f"{where}: {error}; expected one recipe as a JSON object, or a web page") from None
    if found := recipes_in(document):
        return _only([recipe_of(recipe, where) for recipe in found], where)
    return recipe_of(document, where)


def _only(recipes: list[RecipeText], where: str) -> RecipeText:
    if len(recipes) != 1:
        raise UserError(
            f"{where}: contains {len(recipes) or 'no'} recipe{'s' if recipes else ''}; expected exactly one"
        )
    return recipes[0]
