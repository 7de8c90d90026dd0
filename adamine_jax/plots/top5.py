"""Draws queries with their five most similar candidates, the correct match framed."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.items import BACKGROUND, Item
from adamine_jax.plots import style
from adamine_jax.plots.gallery_items import square_pixels, title_of
from adamine_jax.plots.page import CAPTION, DPI, GAP, MARGIN, MATCH, PLAIN, TITLE, Page, signed
from adamine_jax.recipes.ingredient_names import ingredient_names
from adamine_jax.retrieval.ranks import ranks

TOP = 5
_MISSED_GAP = 0.15  # gap before a match that is not among the top five; lengths are in inches
_HEAD, _FOOT = 0.28, 0.2
_MODEL_NAME = 0.16  # width of the column of model names
_SAME_CLASS = {"color": style.SKY, "line": 1.8}
_MISSED = {"color": style.VERMILION, "line": 2.2, "dash": (0, (3, 1.5))}


class Model(NamedTuple):
    """A model's embeddings of the items of a gallery.

    Attributes:
        name: Name shown beside its row; not shown for a single model.
        image: (N, D) embeddings of the photos.
        recipe: (N, D) embeddings of the recipes.
    """

    name: str
    image: np.ndarray
    recipe: np.ndarray


class _Answers(NamedTuple):
    """Answers to a query: rows of the top candidates, similarities of all candidates, and the rank of the match."""

    query: int
    top: list[int]
    similarities: np.ndarray
    rank: float

    @property
    def missed(self) -> bool:
        """Whether the match, which has the row of the query, is not among the top candidates."""
        return self.query not in self.top


class _RecipeToPhoto:
    """Layout with recipes as queries and photos as answers; sizes are in inches."""

    query_width, answer_width = 1.5, 0.82
    row_height = CAPTION + answer_width + TITLE + 0.06
    query_title, answers_title = "Query recipe", "Most similar photos"

    def draw_query(self, page: Page, x: float, y: float, height: float, item: Item) -> None:
        width = self.query_width - 0.04
        lines = max(6, int((height - 0.33) / 0.118))  # of 6.5 points
        ingredient_lines = round(lines * 0.6)
        y = page.text(x, y, title_of(item), width, size=7.5, lines=2, weight="bold") + 0.02
        y = page.text(x, y, "; ".join(item.ingredients), width, size=6.5, lines=ingredient_lines) + 0.02
        instructions = " ".join(item.instructions)
        page.text(x, y, instructions, width, size=6.5, lines=lines - ingredient_lines, color=style.GREY)

    def draw_answer(self, page: Page, x: float, y: float, item: Item, frame: dict) -> None:
        page.recipe_photo(x, y, self.answer_width, item, frame)


class _PhotoToRecipe:
    """Layout with photos as queries and cards of recipes as answers; sizes are in inches."""

    query_width, answer_width = 0.95, 0.91
    card_height, strip_height = 1.45, 0.52  # of a card and of the photo at its top
    row_height = CAPTION + card_height + 0.12
    query_title, answers_title = "Query photo", "Most similar recipes"

    def draw_query(self, page: Page, x: float, y: float, height: float, item: Item) -> None:
        side = self.query_width
        page.photo(x, y + CAPTION - 0.03, side, side, square_pixels(item, round(side * DPI)))

    def draw_answer(self, page: Page, x: float, y: float, item: Item, frame: dict) -> None:
        width = self.answer_width
        page.frame(x, y, width, self.card_height, fill="#fafafa", layer=0.5, **frame)
        pixels = square_pixels(item, round(width * DPI))
        cut = round(len(pixels) * (1 - self.strip_height / width) / 2)
        page.photo(x, y, width, self.strip_height, pixels[cut : len(pixels) - cut])
        bottom, x, width = y + self.card_height, x + 0.04, width - 0.06
        y = page.text(x, y + self.strip_height + 0.03, title_of(item), width, size=6.5, lines=2, weight="bold") + 0.02
        max_lines = int((bottom - y) / (6.2 * 1.3 / 72))
        # Names without quantities, since a card is narrow; headings among the ingredient lines have no names.
        names = [", ".join(name for name, _ in ingredient_names(line)) for line in item.ingredients]
        for line in ([name for name in names if name] or item.ingredients)[:max_lines]:
            y = page.text(x, y, line, width, size=6.2)


_Layout = _RecipeToPhoto | _PhotoToRecipe


def top5_recipe_to_photo(
    items: Sequence[Item], models: Sequence[Model], query_rows: Sequence[int], out_png: Path
) -> list[Path]:
    """Draws query recipes and, in a row for each model, the five photos most similar to them.

    The correct photo has a green frame, photos of other recipes of the same class a thin blue one. A correct photo
    that is not among the five is drawn at the end of the row in a dashed frame, with its rank. Returns the paths of the
    PNG and the SVG.

    Args:
        items: The N items of the gallery.
        models: Models to compare, from top to bottom.
        query_rows: Rows of the queries, from top to bottom.
        out_png: Path of the PNG; the SVG is written beside it. Equal arguments give equal bytes.

    Raises:
        UserError: The numbers of rows differ, a query row does not exist, an embedding is not finite, or a photo
            cannot be read.
    """
    answers = [_retrieve(items, model.recipe, model.image, query_rows) for model in models]
    return _draw(_RecipeToPhoto(), items, answers, [model.name for model in models], out_png)


def top5_photo_to_recipe(
    items: Sequence[Item], models: Sequence[Model], query_rows: Sequence[int], out_png: Path
) -> list[Path]:
    """Draws query photos and cards of the five recipes most similar to them, each with the recipe's own photo.

    Arguments, frames and errors are those of `top5_recipe_to_photo`.
    """
    answers = [_retrieve(items, model.image, model.recipe, query_rows) for model in models]
    return _draw(_PhotoToRecipe(), items, answers, [model.name for model in models], out_png)


def _retrieve(
    items: Sequence[Item], queries: np.ndarray, candidates: np.ndarray, query_rows: Sequence[int]
) -> list[_Answers]:
    if not len(items) == len(queries) == len(candidates):
        raise UserError(
            f"{len(items)} items, {len(queries)} query and {len(candidates)} candidate embeddings: must be equal"
        )
    rows = np.asarray(query_rows, dtype=int)
    if rows.size == 0 or rows.min() < 0 or rows.max() >= len(items):
        raise UserError(f"query rows {rows.tolist()}: expected at least one, each from 0 to {len(items) - 1}")
    queries = np.asarray(queries[rows], np.float32)
    match_ranks = ranks(queries, candidates, rows)
    similarities = queries @ np.asarray(candidates, np.float32).T
    return [
        _Answers(int(row), np.argsort(-scores, kind="stable")[:TOP].tolist(), scores, float(rank))
        for row, scores, rank in zip(rows, similarities, match_ranks, strict=True)
    ]


def _draw(
    layout: _Layout, items: Sequence[Item], answers: list[list[_Answers]], models: list[str], out_png: Path
) -> list[Path]:
    """Draws `answers[model][query]`."""
    num_answers = min(TOP, len(items))
    first_answer = MARGIN + layout.query_width + 1.5 * GAP + (_MODEL_NAME if len(models) > 1 else 0)
    step = layout.answer_width + GAP
    missed = first_answer + num_answers * step - GAP + _MISSED_GAP
    any_missed = any(answer.missed for model_answers in answers for answer in model_answers)
    width = (missed + layout.answer_width if any_missed else missed - _MISSED_GAP) + MARGIN
    query_height = len(models) * layout.row_height
    bottom = _HEAD + len(answers[0]) * query_height
    with style.styled():
        page = Page(width, bottom + _FOOT)
        page.text(MARGIN, 0.07, layout.query_title, layout.query_width, size=8, weight="bold")
        title = f"{layout.answers_title} among {len(items):,}"
        page.text(first_answer, 0.07, title, num_answers * step, size=8, weight="bold")
        if any_missed:
            page.text(missed, 0.07, "Match", layout.answer_width + 0.05, size=8, weight="bold")
        for number, query_answers in enumerate(zip(*answers, strict=True)):
            top = _HEAD + number * query_height
            if number:
                page.rule(top - 0.03)
            layout.draw_query(page, MARGIN, top + 0.03, query_height - 0.1, items[query_answers[0].query])
            for row, (answer, model) in enumerate(zip(query_answers, models, strict=True)):
                y = top + row * layout.row_height
                if len(models) > 1:
                    page.vertical_text(first_answer - 0.17, y + CAPTION, model, layout.row_height - CAPTION - 0.1)
                _draw_answers(page, layout, items, answer, (first_answer, missed), y)
        frames = [(MATCH, "match"), (_SAME_CLASS, "same class")]
        frames += [(_MISSED, "match that is not among the five")] if any_missed else []
        page.key(MARGIN, bottom + 0.02, "rank · cosine similarity", *frames)
        return page.save_both(out_png)


def _draw_answers(
    page: Page, layout: _Layout, items: Sequence[Item], answer: _Answers, positions: tuple[float, float], y: float
) -> None:
    """Draws the top answers from the first x of `positions` on, and a match that is not among them at the second x."""
    x, missed = positions
    for place, row in enumerate(answer.top, 1):
        is_match = row == answer.query
        caption = f"{place} · {signed(answer.similarities[row])}" + (" ✓" if is_match else "")
        page.text(x, y + 0.01, caption, layout.answer_width, size=6.5, weight="bold" if is_match else "normal")
        layout.draw_answer(page, x, y + CAPTION, items[row], _frame(items, answer.query, row))
        x += layout.answer_width + GAP
    if answer.missed:
        caption = f"rank {answer.rank:g} · {signed(answer.similarities[answer.query])}"
        page.text(missed, y + 0.01, caption, layout.answer_width + 0.05, size=6.5, weight="bold")
        layout.draw_answer(page, missed, y + CAPTION, items[answer.query], _MISSED)


def _frame(items: Sequence[Item], query: int, row: int) -> dict:
    if row == query:
        return MATCH
    same = items[row].class_name == items[query].class_name
    return _SAME_CLASS if same and items[row].class_name not in ("", BACKGROUND) else PLAIN
