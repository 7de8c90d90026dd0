"""What a model retrieves, to be looked at: queries and their five most similar answers, the right one framed."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.files import BACKGROUND, Item
from adamine_jax.plots import style
from adamine_jax.plots.items import name_of, square_pixels
from adamine_jax.plots.page import DPI, Page
from adamine_jax.plots.tiles import CAPTION, GAP, MARGIN, PLAIN, RIGHT, TITLE, draw_photo, signed
from adamine_jax.recipes.ingredient_names import ingredient_names
from adamine_jax.retrieval.ranks import ranks

TOP = 5
_APART_GAP = 0.15  # inches before the right answer that stands apart
_HEAD, _FOOT = 0.28, 0.2
_LABEL = 0.16  # inches for the name of a model, where there are several
_SAME_CLASS = {"color": style.SKY, "line": 1.8}
_APART = {"color": style.VERMILION, "line": 2.2, "dash": (0, (3, 1.5))}


class Model(NamedTuple):
    """What one model makes of the items.

    Attributes:
        name: for the picture.
        image: (N, D) embeddings, row i is the photo of item i.
        recipe: (N, D) embeddings, row i is the text of item i.
    """

    name: str
    image: np.ndarray
    recipe: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Answers:
    """What one query retrieved: candidate rows, best first, all similarities, and the right candidate's rank."""

    query: int
    top: list[int]
    similarities: np.ndarray
    rank: float

    @property
    def missed(self) -> bool:
        """Whether the right answer, which has the query's own row, is not among the top."""
        return self.query not in self.top


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Sizes of a picture in inches, and how its query and one of its answers are drawn into their boxes.

    `draw_query` takes the height of the box too, which grows with the number of models.
    """

    query_width: float
    answer_width: float
    row_height: float
    query_title: str
    answers_title: str
    draw_query: Callable[[Page, float, float, float, Item], None]
    draw_answer: Callable[[Page, float, float, Item, dict], None]


def top5_recipe_to_photo(
    items: Sequence[Item],
    image_embeddings: np.ndarray,
    recipe_embeddings: np.ndarray,
    query_rows: Sequence[int],
    out_png: Path,
) -> list[Path]:
    """A row for each query recipe: its text, then the five photos most similar to it.

    The right photo has a green frame, photos of other recipes of the same class a thin blue one. A right photo that is
    not among the five stands apart at the end of the row, in a dashed frame and with its rank.

    Args:
        items: the N items of the gallery.
        image_embeddings: (N, D), row i is the photo of `items[i]`.
        recipe_embeddings: (N, D), row i is the text of `items[i]`.
        query_rows: rows of the recipes to show, top to bottom.
        out_png: where the PNG goes; the SVG goes beside it. Equal arguments give equal bytes.

    Returns:
        The two files.

    Raises:
        UserError: numbers of rows differ, a query row does not exist, an embedding is not finite, or a shown photo
            cannot be read (its id is named).
    """
    return top5_of_models(items, [Model("", image_embeddings, recipe_embeddings)], query_rows, out_png)


def top5_of_models(
    items: Sequence[Item], models: Sequence[Model], query_rows: Sequence[int], out_png: Path
) -> list[Path]:
    """As `top5_recipe_to_photo`, with a row for each model beside each query recipe, which is the paper's picture.

    Args:
        items: the N items that all models have embedded.
        models: whose answers are shown, top to bottom.
        query_rows: rows of the recipes to show.
        out_png: where the PNG goes; the SVG goes beside it.
    """
    answers = [_retrieve(items, model.recipe, model.image, query_rows) for model in models]
    return _draw(_RECIPE_TO_PHOTO, items, answers, [model.name for model in models], out_png)


def top5_photo_to_recipe(
    items: Sequence[Item],
    image_embeddings: np.ndarray,
    recipe_embeddings: np.ndarray,
    query_rows: Sequence[int],
    out_png: Path,
) -> list[Path]:
    """A row for each query photo: the photo, then cards of the five recipes most similar to it.

    Arguments, frames and errors are those of `top5_recipe_to_photo`; a card also shows the recipe's own photo.
    """
    answers = _retrieve(items, image_embeddings, recipe_embeddings, query_rows)
    return _draw(_PHOTO_TO_RECIPE, items, [answers], [""], out_png)


def _retrieve(
    items: Sequence[Item], queries: np.ndarray, candidates: np.ndarray, query_rows: Sequence[int]
) -> list[_Answers]:
    if not len(items) == len(queries) == len(candidates):
        raise UserError(
            f"{len(items)} items, {len(queries)} query and {len(candidates)} candidate embeddings: "
            "expected one of each for every item"
        )
    rows = np.asarray(query_rows, dtype=int)
    if rows.size == 0 or rows.min() < 0 or rows.max() >= len(items):
        raise UserError(f"query rows {rows.tolist()}: expected at least one, each from 0 to {len(items) - 1}")
    chosen = np.asarray(queries[rows], np.float32)
    places = ranks(chosen, candidates, rows)
    similarities = chosen @ np.asarray(candidates, np.float32).T
    return [
        _Answers(int(row), np.argsort(-scores, kind="stable")[:TOP].tolist(), scores, float(place))
        for row, scores, place in zip(rows, similarities, places, strict=True)
    ]


def _draw(
    layout: _Layout, items: Sequence[Item], answers: list[list[_Answers]], models: list[str], out_png: Path
) -> list[Path]:
    """Draws the answers that each model gives to each query: `answers[model][query]`."""
    shown = min(TOP, len(items))
    label = _LABEL if len(models) > 1 else 0
    first_answer = MARGIN + layout.query_width + 1.5 * GAP + label
    step = layout.answer_width + GAP
    apart = first_answer + shown * step - GAP + _APART_GAP
    any_missed = any(answer.missed for of_model in answers for answer in of_model)
    width = (apart + layout.answer_width if any_missed else apart - _APART_GAP) + MARGIN
    query_height = len(models) * layout.row_height
    bottom = _HEAD + len(answers[0]) * query_height
    with style.styled():
        page = Page(width, bottom + _FOOT)
        page.text(MARGIN, 0.07, layout.query_title, layout.query_width, size=8, weight="bold")
        title = f"{layout.answers_title}, of {len(items):,}"
        page.text(first_answer, 0.07, title, shown * step, size=8, weight="bold")
        if any_missed:
            page.text(apart, 0.07, "Right answer", layout.answer_width + 0.05, size=8, weight="bold")
        for number, of_query in enumerate(zip(*answers, strict=True)):
            top = _HEAD + number * query_height
            if number:
                page.line(MARGIN, top - 0.03, width - 2 * MARGIN)
            layout.draw_query(page, MARGIN, top + 0.03, query_height - 0.1, items[of_query[0].query])
            for row, (answer, model) in enumerate(zip(of_query, models, strict=True)):
                y = top + row * layout.row_height
                page.upwards(first_answer - 0.17, y + CAPTION, model, layout.row_height - CAPTION - 0.1)
                _draw_answers(page, layout, items, answer, (first_answer, apart), y)
        _draw_key(page, bottom + 0.02, any_missed)
        return page.save_both(out_png)


def _draw_answers(
    page: Page, layout: _Layout, items: Sequence[Item], answer: _Answers, places: tuple[float, float], y: float
) -> None:
    """Draws the five, from the first of `places` on, and a right answer that is missed at the second."""
    x, apart = places
    for place, row in enumerate(answer.top, 1):
        right = row == answer.query
        caption = f"{place} · {signed(answer.similarities[row])}" + (" ✓" if right else "")
        page.text(x, y + 0.01, caption, layout.answer_width, size=6.5, weight="bold" if right else "normal")
        layout.draw_answer(page, x, y + CAPTION, items[row], _frame(items, answer.query, row))
        x += layout.answer_width + GAP
    if answer.missed:
        caption = f"rank {answer.rank:g} · {signed(answer.similarities[answer.query])}"
        page.text(apart, y + 0.01, caption, layout.answer_width + 0.05, size=6.5, weight="bold")
        layout.draw_answer(page, apart, y + CAPTION, items[answer.query], _APART)


def _frame(items: Sequence[Item], query: int, row: int) -> dict:
    if row == query:
        return RIGHT
    same = items[row].class_name == items[query].class_name
    return _SAME_CLASS if same and items[row].class_name not in ("", BACKGROUND) else PLAIN


def _draw_key(page: Page, y: float, any_missed: bool) -> None:
    """One line that says what captions and frames mean."""
    page.key(
        MARGIN,
        y,
        "place · cosine similarity",
        (RIGHT, "right answer"),
        (_SAME_CLASS, "same class"),
        *([(_APART, "right answer, not among the five")] if any_missed else []),
    )


def _draw_recipe_text(page: Page, x: float, y: float, height: float, item: Item) -> None:
    width = _RECIPE_TO_PHOTO.query_width - 0.04
    lines = max(6, int((height - 0.33) / 0.118))  # of 6.5 points
    of_ingredients = round(lines * 0.6)
    y = page.text(x, y, name_of(item), width, size=7.5, lines=2, weight="bold") + 0.02
    y = page.text(x, y, "; ".join(item.ingredients), width, size=6.5, lines=of_ingredients) + 0.02
    instructions = " ".join(item.instructions)
    page.text(x, y, instructions, width, size=6.5, lines=lines - of_ingredients, color=style.GREY)


def _draw_photo_answer(page: Page, x: float, y: float, item: Item, frame: dict) -> None:
    draw_photo(page, x, y, _RECIPE_TO_PHOTO.answer_width, item, frame)


def _draw_photo_query(page: Page, x: float, y: float, height: float, item: Item) -> None:
    side = _PHOTO_TO_RECIPE.query_width
    page.photo(x, y + CAPTION - 0.03, side, side, square_pixels(item, round(side * DPI)))


def _draw_card(page: Page, x: float, y: float, item: Item, frame: dict) -> None:
    width = _PHOTO_TO_RECIPE.answer_width
    page.frame(x, y, width, _CARD_HEIGHT, fill="#fafafa", layer=0.5, **frame)
    pixels = square_pixels(item, round(width * DPI))
    cut = round(len(pixels) * (1 - _STRIP / width) / 2)
    page.photo(x, y, width, _STRIP, pixels[cut : len(pixels) - cut])
    inner = x + 0.04
    y_line = page.text(inner, y + _STRIP + 0.03, name_of(item), width - 0.06, size=6.5, lines=2, weight="bold") + 0.02
    fitting = int((y + _CARD_HEIGHT - y_line) / (6.2 * 1.3 / 72))
    # Names alone, so that little is cut off; headings among the lines have none.
    names = [", ".join(name for name, _ in ingredient_names(line)) for line in item.ingredients]
    for line in ([name for name in names if name] or item.ingredients)[:fitting]:
        y_line = page.text(inner, y_line, line, width - 0.06, size=6.2)


_CARD_HEIGHT, _STRIP = 1.45, 0.52  # of a card and of the photo on its upper edge
_RECIPE_TO_PHOTO = _Layout(
    query_width=1.5,
    answer_width=0.82,
    row_height=CAPTION + 0.82 + TITLE + 0.06,
    query_title="Query recipe",
    answers_title="Most similar photos",
    draw_query=_draw_recipe_text,
    draw_answer=_draw_photo_answer,
)
_PHOTO_TO_RECIPE = _Layout(
    query_width=0.95,
    answer_width=0.91,
    row_height=CAPTION + _CARD_HEIGHT + 0.12,
    query_title="Query photo",
    answers_title="Most similar recipes",
    draw_query=_draw_photo_query,
    draw_answer=_draw_card,
)
