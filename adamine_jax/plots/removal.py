"""What an ingredient's absence does to what is found: a recipe with and without it, and the mean over all recipes."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.files import Item
from adamine_jax.gallery.store import Gallery
from adamine_jax.plots import style
from adamine_jax.plots.having import have, telling, usual_name
from adamine_jax.plots.items import drawn_rows, is_readable, name_of
from adamine_jax.plots.page import WIDTH, Page
from adamine_jax.plots.text import percent
from adamine_jax.plots.tiles import CAPTION, GAP, MARGIN, PLAIN, RIGHT, TITLE, draw_photo, signed
from adamine_jax.queries.changes import changed
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.texts import RecipeText

TOP, MEASURED = 5, 10
"""Photos that are shown, and among how many of the nearest the share is measured."""
MOST_RECIPES = 200
"""Recipes that the mean is over at most."""
_TEXT = 1.85
_SIDE = (WIDTH - 2 * MARGIN - _TEXT - TOP * GAP) / TOP
_HEAD = 0.17  # inches for the title of a row
_ROW = _HEAD + CAPTION + _SIDE + TITLE + 0.06


@dataclasses.dataclass(frozen=True)
class Answer:
    """A photo that was found.

    Attributes:
        item: its own.
        similarity: to the query.
        having: whether its recipe has the ingredient.
        right: whether it is the query's own photo.
    """

    item: Item
    similarity: float
    having: bool
    right: bool


@dataclasses.dataclass(frozen=True)
class Removal:
    """An ingredient taken away.

    Attributes:
        item: the recipe that is shown.
        name: of the ingredient.
        before: what is nearest to the recipe, best first.
        after: what is nearest to it without the ingredient.
        share_before: of the ten nearest photos, which part has it, the mean over recipes that have it; from 0 to 1.
        share_after: the same without the ingredient.
        recipes: over how many recipes the mean is.
        share: of all of the gallery, which part has it.
        searched: number of photos in the gallery.
    """

    item: Item
    name: str
    before: list[Answer]
    after: list[Answer]
    share_before: float
    share_after: float
    recipes: int
    share: float
    searched: int

    def __str__(self) -> str:
        having = round(self.share * self.searched)
        some = f"{self.recipes:,} of the {having:,}" if self.recipes < having else f"the {having:,}"
        of = f"over {some} {'recipes that have' if having > 1 else 'recipe that has'} {self.name}"
        return (
            f"{of}: {percent(self.share_before, 1)} of the {min(MEASURED, self.searched)} nearest photos are of "
            f"recipes with it, {percent(self.share_after, 1)} once it is taken away; of all {self.searched:,} photos, "
            f"{percent(self.share, 1)}"
        )


def choose(items: Sequence[Item], encoder: Encoder, row: int | None, name: str | None, seed: int) -> tuple[int, str]:
    """Chooses what was not given: a recipe, and an ingredient of it.

    Args:
        items: of the gallery.
        encoder: the model, which must know the ingredient.
        row: of the recipe; None = the first that has the ingredient, in an order that `seed` draws.
        name: of the ingredient; None = the first of `having.telling` that the recipe has.
        seed: see above.

    Returns:
        (row, name).

    Raises:
        UserError: the model does not know the ingredient, or there is no recipe that has one.
    """
    if name and not encoder.texts.knows(name):
        raise UserError(f"--without {name}: not among the words of the model, to which it makes no difference")
    name = name and usual_name(name)
    candidates = [name] if name else telling(items, encoder)
    for candidate in [row] if row is not None else drawn_rows(items, len(items), seed):
        for ingredient in candidates:
            if have([items[candidate]], ingredient)[0]:
                return candidate, ingredient
    missing = name or "ingredient that the model knows and 2 % to 25 % of the recipes have"
    if row is not None:
        lines = "; ".join(items[row].ingredients) or "none"
        raise UserError(f"recipe {items[row].id} has no {missing}; its ingredients: {lines}")
    raise UserError(f"no recipe of the gallery has {'an ' * (name is None)}{missing}")


def measure(gallery: Gallery, items: Sequence[Item], encoder: Encoder, row: int, name: str, seed: int) -> Removal:
    """Takes an ingredient away from a recipe, and from the others that have it.

    A recipe loses the lines and the mentions in its instructions (`changes.changed`); both versions are embedded from
    their texts. The mean is over all recipes of the gallery that have the ingredient and something else, over 200
    drawn ones where there are more. A recipe's own photo is among those that it is compared with. Photos that cannot
    be read are named on stderr and not shown.

    Args:
        gallery: that is searched.
        items: all of its items.
        encoder: the model that made the gallery.
        row: of the recipe to show, which has the ingredient.
        name: of the ingredient.
        seed: draws the recipes.

    Raises:
        UserError: the recipe has nothing else, or the model cannot read what is left.
    """
    having = have(items, name)
    if _without(items[row], name).is_empty:
        raise UserError(f"recipe {items[row].id} has nothing but {name}; take another one")
    encoder.check(_text(items[row]), f"recipe {items[row].id}")
    encoder.check(_without(items[row], name), f"recipe {items[row].id} without {name}")
    rows = [other for other in np.flatnonzero(having).tolist() if _can_read(encoder, _without(items[other], name))]
    drawn = drawn_rows([items[candidate] for candidate in rows], MOST_RECIPES, seed)
    rows = [row, *(rows[place] for place in drawn if rows[place] != row)][:MOST_RECIPES]
    shares, shown = [], []
    for texts in ([_text(items[r]) for r in rows], [_without(items[r], name) for r in rows]):
        hits = gallery.search(encoder.embed_recipes(texts), among="photos", top=MEASURED)
        shares.append(float(np.mean([np.mean([having[hit.row] for hit in found]) for found in hits])))
        readable = [hit for hit in hits[0] if is_readable(hit.item)][:TOP]
        shown.append([Answer(h.item, h.similarity, bool(having[h.row]), h.row == row) for h in readable])
    (before, after), (share_before, share_after) = shown, shares
    of_all = float(having.mean())
    return Removal(items[row], name, before, after, share_before, share_after, len(rows), of_all, searched=len(gallery))


def draw(removal: Removal, out_png: Path) -> list[Path]:
    """Draws the recipe and two rows of photos; a tick is on each photo whose recipe has the ingredient.

    Args:
        removal: to draw.
        out_png: where the PNG goes; the SVG goes beside it. Equal arguments give equal bytes.

    Returns:
        The two files.
    """
    with style.styled():
        page = Page(WIDTH, 0.06 + 2 * _ROW + 0.44)
        _draw_recipe(page, removal, 0.06)
        for title, answers, y in (
            (f"with {removal.name}", removal.before, 0.06),
            (f"without {removal.name}", removal.after, 0.06 + _ROW),
        ):
            x = MARGIN + _TEXT + GAP
            page.text(x, y, title, WIDTH - x - MARGIN, size=8, weight="bold")
            for place, answer in enumerate(answers, 1):
                caption = f"{place} · {signed(answer.similarity)}"
                page.text(x, y + _HEAD, caption, _SIDE, size=6.5, weight="bold" if answer.right else "normal")
                frame = RIGHT if answer.right else PLAIN
                draw_photo(page, x, y + _HEAD + CAPTION, _SIDE, answer.item, frame, answer.having)
                x += _SIDE + GAP
        y = 0.06 + 2 * _ROW
        caption = str(removal)
        y = page.text(MARGIN, y, f"{caption[0].upper()}{caption[1:]}.", WIDTH - 2 * MARGIN, lines=2)
        own = any(answer.right for answer in (*removal.before, *removal.after))
        ticks = (None, f"its recipe has {removal.name}")
        page.key(MARGIN, y + 0.04, "", ticks, *([(RIGHT, "the recipe's own photo")] if own else []))
        return page.save_both(out_png)


def _draw_recipe(page: Page, removal: Removal, y: float) -> None:
    kept = _without(removal.item, removal.name).ingredients
    y = page.text(MARGIN, y, name_of(removal.item), _TEXT - 0.05, size=8, lines=3, weight="bold") + 0.04
    for line in removal.item.ingredients[:10]:
        taken = line not in kept
        color, weight = (style.VERMILION, "bold") if taken else (style.BLACK, "normal")
        y = page.text(MARGIN, y, f"− {line}" if taken else line, _TEXT - 0.05, size=6.5, color=color, weight=weight)
    lines = max(1, int((0.06 + 2 * _ROW - 0.08 - y - 0.04) / 0.118))
    text = " ".join(removal.item.instructions)
    page.text(MARGIN, y + 0.04, text, _TEXT - 0.05, size=6.5, lines=lines, color=style.GREY)


def _text(item: Item) -> RecipeText:
    """What the model reads of it."""
    return RecipeText(ingredients=item.ingredients, instructions=item.instructions)


def _without(item: Item, name: str) -> RecipeText:
    return changed(_text(item), (), (name,))[0]


def _can_read(encoder: Encoder, text: RecipeText) -> bool:
    try:
        encoder.check(text, "")
    except UserError:
        return False
    return True
