"""What a model retrieves, to be looked at: queries and their five most similar answers, the right one framed."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from adamine_jax.errors import UserError
from adamine_jax.gallery import Item
from adamine_jax.plots import style
from adamine_jax.plots.items import square_pixels
from adamine_jax.plots.page import DPI, Page
from adamine_jax.retrieval.ranks import ranks

TOP = 5
BACKGROUND = "background"
_MARGIN, _GAP = 0.2, 0.12
_CAPTION = 0.2  # inches above an answer, for its place and similarity
_HEAD, _FOOT = 0.42, 0.3
_RIGHT = {"color": style.GREEN, "line": 3.5}
_SAME_CLASS = {"color": style.SKY, "line": 2.2}
_APART = {"color": style.VERMILION, "line": 2.5, "dash": (0, (3, 1.5))}
_WRONG = {"color": style.LIGHT_GREY, "line": 0.8}


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
    """Sizes of a picture in inches, and how its query and one of its answers are drawn into their boxes."""

    query_width: float
    answer_width: float
    row_height: float
    query_title: str
    answers_title: str
    draw_query: Callable[[Page, float, float, Item], None]
    draw_answer: Callable[[Page, float, float, Item, dict], None]


def top5_recipe_to_photo(
    items: Sequence[Item],
    image_embeddings: np.ndarray,
    recipe_embeddings: np.ndarray,
    query_rows: Sequence[int],
    out: Path,
) -> Path:
    """A row for each query recipe: its text, then the five photos most similar to it.

    The right photo has a green frame, photos of other recipes of the same class a thin blue one. A right photo that is
    not among the five stands apart at the end of the row, in a dashed frame and with its rank.

    Args:
        items: the N items of the gallery.
        image_embeddings: (N, D), row i is the photo of `items[i]`.
        recipe_embeddings: (N, D), row i is the text of `items[i]`.
        query_rows: rows of the recipes to show, top to bottom.
        out: .png or .svg; equal arguments give equal bytes.

    Returns:
        `out`.

    Raises:
        UserError: numbers of rows differ, a query row does not exist, an embedding is not finite, or a shown photo
            cannot be read (its id is named).
    """
    answers = _retrieve(items, recipe_embeddings, image_embeddings, query_rows)
    return _draw(_RECIPE_TO_PHOTO, items, answers, out)


def top5_photo_to_recipe(
    items: Sequence[Item],
    image_embeddings: np.ndarray,
    recipe_embeddings: np.ndarray,
    query_rows: Sequence[int],
    out: Path,
) -> Path:
    """A row for each query photo: the photo, then cards of the five recipes most similar to it.

    Arguments, frames and errors are those of `top5_recipe_to_photo`; a card also shows the recipe's own photo.
    """
    answers = _retrieve(items, image_embeddings, recipe_embeddings, query_rows)
    return _draw(_PHOTO_TO_RECIPE, items, answers, out)


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


def _draw(layout: _Layout, items: Sequence[Item], answers: list[_Answers], out: Path) -> Path:
    shown = min(TOP, len(items))
    first_answer = _MARGIN + layout.query_width + 2 * _GAP
    step = layout.answer_width + _GAP
    apart = first_answer + shown * step + 2 * _GAP
    any_missed = any(answer.missed for answer in answers)
    width = (apart + layout.answer_width if any_missed else apart - 3 * _GAP) + _MARGIN
    with style.styled():
        page = Page(width, _HEAD + len(answers) * layout.row_height + _FOOT)
        page.text(_MARGIN, 0.15, layout.query_title, layout.query_width, size=9.5, weight="bold")
        title = f"{layout.answers_title}, of {len(items):,}"
        page.text(first_answer, 0.15, title, shown * step, size=9.5, weight="bold")
        if any_missed:
            page.text(apart, 0.15, "Right answer", layout.answer_width, size=9.5, weight="bold")
        for number, answer in enumerate(answers):
            y = _HEAD + number * layout.row_height
            layout.draw_query(page, _MARGIN, y + _CAPTION, items[answer.query])
            for place, row in enumerate(answer.top, 1):
                x = first_answer + (place - 1) * step
                right = row == answer.query
                caption = f"{place} · {_signed(answer.similarities[row])}" + (" ✓" if right else "")
                page.text(x, y + 0.03, caption, layout.answer_width, weight="bold" if right else "normal")
                layout.draw_answer(page, x, y + _CAPTION, items[row], _frame(items, answer.query, row))
            if answer.missed:
                caption = f"rank {answer.rank:g} · {_signed(answer.similarities[answer.query])}"
                page.text(apart, y + 0.03, caption, layout.answer_width, weight="bold")
                layout.draw_answer(page, apart, y + _CAPTION, items[answer.query], _APART)
        _draw_key(page, _HEAD + len(answers) * layout.row_height + 0.05, any_missed)
        return page.save(out)


def _title(item: Item) -> str:
    return item.title.strip() or "(untitled)"


def _signed(similarity: float) -> str:
    return f"{similarity:z.2f}".replace("-", "−")


def _frame(items: Sequence[Item], query: int, row: int) -> dict:
    if row == query:
        return _RIGHT
    same = items[row].class_name == items[query].class_name
    return _SAME_CLASS if same and items[row].class_name not in ("", BACKGROUND) else _WRONG


def _draw_key(page: Page, y: float, any_missed: bool) -> None:
    """One line that says what captions and frames mean."""
    captions = "place · cosine similarity"
    page.text(_MARGIN, y, captions, 3, size=7.5)
    x = _MARGIN + _letters(captions)
    for frame, meaning in [
        (_RIGHT, "right answer"),
        (_SAME_CLASS, "same class"),
        *([(_APART, "right answer, not among the five")] if any_missed else []),
    ]:
        page.frame(x, y + 0.015, 0.2, 0.1, **frame)
        page.text(x + 0.3, y, meaning, 3, size=7.5)
        x += 0.3 + _letters(meaning)


def _letters(text: str) -> float:
    """Inches enough for `text` at 7.5 points, and a space behind."""
    return 0.062 * len(text) + 0.25


def _draw_recipe_text(page: Page, x: float, y: float, item: Item) -> None:
    width = _RECIPE_TO_PHOTO.query_width - 0.1
    y = page.text(x, y - 0.03, _title(item), width, size=10, lines=2, weight="bold") + 0.04
    y = page.text(x, y, "; ".join(item.ingredients), width, size=7.5, lines=4) + 0.04
    page.text(x, y, " ".join(item.instructions), width, size=7.5, lines=3, color=style.GREY)


def _draw_photo_answer(page: Page, x: float, y: float, item: Item, frame: dict) -> None:
    side = _RECIPE_TO_PHOTO.answer_width
    _draw_photo(page, x, y, side, item)
    page.frame(x, y, side, side, **frame)
    page.text(x, y + side + 0.09, _title(item), side, size=7, lines=2, color=style.GREY)


def _draw_photo_query(page: Page, x: float, y: float, item: Item) -> None:
    _draw_photo(page, x, y, _PHOTO_TO_RECIPE.query_width, item)


def _draw_card(page: Page, x: float, y: float, item: Item, frame: dict) -> None:
    width, height, thumbnail = _PHOTO_TO_RECIPE.answer_width, _CARD_HEIGHT, 0.6
    page.frame(x, y, width, height, fill="#fafafa", layer=0.5, **frame)
    inner = x + 0.08
    _draw_photo(page, inner, y + 0.08, thumbnail, item)
    title_x = inner + thumbnail + 0.08
    page.text(title_x, y + 0.06, _title(item), x + width - title_x - 0.03, size=7.8, lines=4, weight="bold")
    y_line = y + 0.08 + thumbnail + 0.07
    fitting = int((y + height - y_line) / (7 * 1.3 / 72))
    for ingredient in item.ingredients[:fitting]:
        y_line = page.text(inner, y_line, ingredient, width - 0.14, size=7)


def _draw_photo(page: Page, x: float, y: float, side: float, item: Item) -> None:
    page.photo(x, y, side, side, square_pixels(item, round(side * DPI)))


_CARD_HEIGHT = 1.62
_RECIPE_TO_PHOTO = _Layout(
    query_width=2.7,
    answer_width=1.25,
    row_height=_CAPTION + 1.25 + 0.48,
    query_title="Query: a recipe",
    answers_title="Most similar photos",
    draw_query=_draw_recipe_text,
    draw_answer=_draw_photo_answer,
)
_PHOTO_TO_RECIPE = _Layout(
    query_width=_CARD_HEIGHT,
    answer_width=1.7,
    row_height=_CAPTION + _CARD_HEIGHT + 0.25,
    query_title="Query: a photo",
    answers_title="Most similar recipes",
    draw_query=_draw_photo_query,
    draw_answer=_draw_card,
)
