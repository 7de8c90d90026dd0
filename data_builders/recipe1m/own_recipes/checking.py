"""`import --check`: what would be imported, without writing it."""

import contextlib
import re
import tempfile
from collections import Counter
from pathlib import Path

from adamine_jax.recipes.fields import Draft
from adamine_jax.recipes.languages import names_in
from data_builders.recipe1m.layers.formatting import shown
from data_builders.recipe1m.own_recipes.importing import ImportOptions, languages_of, new_report, read_drafts
from data_builders.recipe1m.own_recipes.journal import parallel_map

_CHECKED = 3  # recipes that are shown


def checked(options: ImportOptions) -> str:
    """Reads the records and returns the first recipes and what would be left out, as text for a terminal.

    Raises:
        UserError: The input cannot be read, or contains no recipe.
    """
    with tempfile.TemporaryDirectory() as name:
        report = new_report(Path(name), None, options)
        with contextlib.closing(report):
            drafts = read_drafts(options, report, parallel_map(options.workers, Path(name)))
            for recipe in drafts:
                report.recipes[recipe.partition] += 1
    languages = dict(zip(map(id, drafts), languages_of(drafts), strict=True))
    lines = [line for recipe in _samples(drafts) for line in _shown(recipe, languages[id(recipe)])]
    kinds = ", ".join(f"{count} from {kind}" for kind, count in Counter(map(_kind, drafts)).most_common(5))
    with_photo = sum(bool(recipe.photos or recipe.photos_beside) for recipe in drafts)
    found = f"{len(drafts)} recipes could be imported ({kinds}), {with_photo} with a photo"
    return "\n".join([*lines, f"{found}. Neither photos nor repeated recipes were looked for.", *report.left_out()])


def _samples(drafts: list[Draft]) -> list[Draft]:
    """Returns the first recipe of each kind of file, and further ones."""
    first = {_kind(recipe): recipe for recipe in reversed(drafts)}
    others = [recipe for recipe in drafts if first[_kind(recipe)] is not recipe]
    return [*reversed(first.values()), *others][:_CHECKED]


def _kind(recipe: Draft) -> str:
    """Returns the suffix of the file that a recipe was read from, or the file's name if it has none."""
    suffixes = re.findall(r"\.\w{1,15}(?=\.gz|$|[:, ])", recipe.where)
    known = [suffix.lower() for suffix in suffixes if suffix != ".gz"]
    return known[-1] if known else re.sub(r":\d+$", "", recipe.where)


def _shown(recipe: Draft, language: str) -> list[str]:
    """Returns the lines that show a recipe in a terminal, with the names that are found in its ingredient lines."""
    ingredients = recipe.ingredients
    if recipe.names is None:
        names = (", ".join(name for name, _ in names_in(line, language)) for line in ingredients)
        ingredients = [
            f"{shown(line, 60)} → {shown(name or 'no name', 36)}" for line, name in zip(ingredients, names, strict=True)
        ]
    parts = {
        "ingredients": ingredients,
        "instructions": recipe.instructions,
        "photos": recipe.photos or recipe.photos_beside,
    }
    lines = [f"{recipe.where}: {shown(recipe.title)}{f' [{shown(recipe.class_name)}]' if recipe.class_name else ''}"]
    for part, texts in parts.items():
        lines += [f"  {part}: {len(texts)}", *(f"    {shown(text, 100)}" for text in texts)]
    return [*lines, ""]
