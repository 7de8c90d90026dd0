"""Draws the photos retrieved for a recipe with and without an ingredient, and averages the effect over all recipes."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.folder.store import Gallery
from adamine_jax.gallery.items import Item
from adamine_jax.plots import style
from adamine_jax.plots.gallery_items import has_readable_photo, sample_rows, title_of
from adamine_jax.plots.ingredient_presence import contain_ingredient, usual_name, visible_ingredients
from adamine_jax.plots.page import CAPTION, GAP, MARGIN, MATCH, PLAIN, TITLE, WIDTH, Page, signed
from adamine_jax.plots.text import percent
from adamine_jax.queries.changes import changed
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.texts import RecipeText

TOP, MEASURED = 5, 10
"""Number of photos shown, and number of nearest photos in which recipes with the ingredient are counted."""
MAX_RECIPES = 200
"""Maximum number of recipes averaged over."""
_TOP_EDGE = 0.06  # lengths are in inches
_TEXT_WIDTH = 1.85
_SIDE = (WIDTH - 2 * MARGIN - _TEXT_WIDTH - TOP * GAP) / TOP
_HEAD = 0.17  # height of the title of a row
_ROW = _HEAD + CAPTION + _SIDE + TITLE + 0.06


@dataclasses.dataclass(frozen=True)
class Answer:
    """A retrieved photo.

    Attributes:
        item: Item of the photo.
        similarity: Cosine similarity to the query.
        contains: Whether the photo's recipe contains the ingredient.
        is_match: Whether it is the photo of the query recipe.
    """

    item: Item
    similarity: float
    contains: bool
    is_match: bool


@dataclasses.dataclass(frozen=True)
class Removal:
    """The effect of removing an ingredient.

    Attributes:
        item: Recipe shown.
        name: Name of the ingredient.
        before: Photos nearest to the recipe, best first.
        after: Photos nearest to the recipe without the ingredient.
        precision_before: Share of the nearest photos whose recipes contain the ingredient, from 0 to 1, averaged over
            query recipes that contain it.
        precision_after: The same after removing the ingredient from the queries.
        num_recipes: Number of query recipes averaged over.
        base_rate: Share of all recipes that contain the ingredient.
        num_photos: Number of photos in the gallery.
    """

    item: Item
    name: str
    before: list[Answer]
    after: list[Answer]
    precision_before: float
    precision_after: float
    num_recipes: int
    base_rate: float
    num_photos: int

    def __str__(self) -> str:
        total = round(self.base_rate * self.num_photos)
        recipes = f"{self.num_recipes:,} of the {total:,}" if self.num_recipes < total else f"the {total:,}"
        return (
            f"mean over {recipes} recipe{'s' * (total > 1)} with {self.name}: {percent(self.precision_before, 1)} of "
            f"the {min(MEASURED, self.num_photos)} nearest photos belong to recipes with it, "
            f"{percent(self.precision_after, 1)} after removing it ({percent(self.base_rate, 1)} of all "
            f"{self.num_photos:,} photos)"
        )


def choose(items: Sequence[Item], encoder: Encoder, row: int | None, name: str | None, seed: int) -> tuple[int, str]:
    """Returns the row of the recipe and the name of the ingredient, choosing those that are None.

    The default recipe is the first one with the ingredient in an order drawn from `seed`; the default ingredient is the
    first of `visible_ingredients` in the recipe.

    Raises:
        UserError: The ingredient is not in the vocabulary, or no recipe contains a suitable one.
    """
    if name and not encoder.texts.knows(name):
        raise UserError(f"--without {name}: not in the vocabulary of the model, so removing it has no effect")
    name = name and usual_name(name)
    candidates = [name] if name else visible_ingredients(items, encoder)
    for candidate_row in [row] if row is not None else sample_rows(items, len(items), seed):
        for candidate in candidates:
            if contain_ingredient([items[candidate_row]], candidate)[0]:
                return candidate_row, candidate
    missing = name or "ingredient that is in the model's vocabulary and in 2 % to 25 % of the recipes"
    if row is not None:
        lines = "; ".join(items[row].ingredients) or "none"
        raise UserError(f"recipe {items[row].id} has no {missing}; its ingredients: {lines}")
    raise UserError(f"no recipe in the gallery has {'an ' * (name is None)}{missing}")


def measure(gallery: Gallery, items: Sequence[Item], encoder: Encoder, row: int, name: str, seed: int) -> Removal:
    """Removes an ingredient from the recipe in `row` and from the other recipes that contain it.

    Its lines and its mentions in the instructions are removed (`changes.changed`), and both versions are embedded from
    their texts. The averages are over all recipes that contain the ingredient and something else, or over a random
    `MAX_RECIPES` of them. A recipe's own photo is among the candidates. Photos that cannot be read are not shown; a
    warning goes to stderr.

    Raises:
        UserError: The recipe has no other ingredient, or the model cannot embed what is left.
    """
    contains = contain_ingredient(items, name)
    if _without(items[row], name).is_empty:
        raise UserError(f"recipe {items[row].id} consists of {name} alone; choose another one")
    encoder.check(_text(items[row]), f"recipe {items[row].id}")
    encoder.check(_without(items[row], name), f"recipe {items[row].id} without {name}")
    rows = [
        other for other in np.flatnonzero(contains).tolist() if _is_embeddable(encoder, _without(items[other], name))
    ]
    order = sample_rows([items[candidate] for candidate in rows], MAX_RECIPES, seed)
    rows = [row, *(rows[place] for place in order if rows[place] != row)][:MAX_RECIPES]
    precisions, shown = [], []
    for texts in ([_text(items[r]) for r in rows], [_without(items[r], name) for r in rows]):
        hits = gallery.search(encoder.embed_recipes(texts), among="photos", top=MEASURED)
        precisions.append(float(np.mean([np.mean([contains[hit.row] for hit in found]) for found in hits])))
        readable = [hit for hit in hits[0] if has_readable_photo(hit.item)][:TOP]
        shown.append([Answer(h.item, h.similarity, bool(contains[h.row]), h.row == row) for h in readable])
    (before, after), (precision_before, precision_after) = shown, precisions
    base_rate = float(contains.mean())
    return Removal(
        items[row], name, before, after, precision_before, precision_after, len(rows), base_rate, len(gallery)
    )


def draw(removal: Removal, out_png: Path) -> list[Path]:
    """Draws the recipe and two rows of photos, with a tick on each photo whose recipe contains the ingredient.

    Returns the paths of the PNG and of the SVG beside it. Equal arguments give equal bytes.
    """
    with style.styled():
        page = Page(WIDTH, _TOP_EDGE + 2 * _ROW + 0.44)
        _draw_recipe(page, removal)
        for title, answers, y in (
            (f"with {removal.name}", removal.before, _TOP_EDGE),
            (f"without {removal.name}", removal.after, _TOP_EDGE + _ROW),
        ):
            x = MARGIN + _TEXT_WIDTH + GAP
            page.text(x, y, title, WIDTH - x - MARGIN, size=8, weight="bold")
            for place, answer in enumerate(answers, 1):
                caption = f"{place} · {signed(answer.similarity)}"
                page.text(x, y + _HEAD, caption, _SIDE, size=6.5, weight="bold" if answer.is_match else "normal")
                frame = MATCH if answer.is_match else PLAIN
                page.recipe_photo(x, y + _HEAD + CAPTION, _SIDE, answer.item, frame, answer.contains)
                x += _SIDE + GAP
        y = _TOP_EDGE + 2 * _ROW
        caption = str(removal)
        y = page.text(MARGIN, y, f"{caption[0].upper()}{caption[1:]}.", WIDTH - 2 * MARGIN, lines=2)
        has_match = any(answer.is_match for answer in (*removal.before, *removal.after))
        ticks = (None, f"the photo's recipe contains {removal.name}")
        page.key(MARGIN, y + 0.04, "", ticks, *([(MATCH, "the recipe's own photo")] if has_match else []))
        return page.save_both(out_png)


def _draw_recipe(page: Page, removal: Removal) -> None:
    kept = _without(removal.item, removal.name).ingredients
    width = _TEXT_WIDTH - 0.05
    y = page.text(MARGIN, _TOP_EDGE, title_of(removal.item), width, size=8, lines=3, weight="bold") + 0.04
    for line in removal.item.ingredients[:10]:
        removed = line not in kept
        color, weight = (style.VERMILION, "bold") if removed else (style.BLACK, "normal")
        y = page.text(MARGIN, y, f"− {line}" if removed else line, width, size=6.5, color=color, weight=weight)
    lines = max(1, int((_TOP_EDGE + 2 * _ROW - 0.08 - y - 0.04) / 0.118))
    instructions = " ".join(removal.item.instructions)
    page.text(MARGIN, y + 0.04, instructions, width, size=6.5, lines=lines, color=style.GREY)


def _text(item: Item) -> RecipeText:
    return RecipeText(ingredients=item.ingredients, instructions=item.instructions)


def _without(item: Item, name: str) -> RecipeText:
    return changed(_text(item), (), (name,))[0]


def _is_embeddable(encoder: Encoder, text: RecipeText) -> bool:
    try:
        encoder.check(text, "")
    except UserError:
        return False
    return True
