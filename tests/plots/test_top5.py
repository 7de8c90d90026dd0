"""Top-5 figures of single-colour photos: the colour inside a frame identifies the photo."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.items import Item
from adamine_jax.plots import style
from adamine_jax.plots.page import DPI, Page
from adamine_jax.plots.top5 import Model, top5_photo_to_recipe, top5_recipe_to_photo

PICTURES = [top5_recipe_to_photo, top5_photo_to_recipe]


def color_of(row):
    return np.array([20 + 25 * row, 250 - 20 * row, 60], np.uint8)


def make_items(n=8, **changes):
    fields = {"class_name": "background", "ingredients": ["flour", "sugar"], "instructions": ["Mix.", "Bake."]}
    fields |= changes
    return [
        Item(id=f"{row:010x}", title=f"Dish {row}", photo=np.tile(color_of(row), (40, 60, 1)), **fields)
        for row in range(n)
    ]


def embeddings_that_rank(order):
    """(queries, candidates) for which every query ranks the candidates in this order."""
    n = len(order)
    angles = np.empty(n)
    angles[order] = 0.1 + 0.2 * np.arange(n)
    candidates = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    queries = np.tile([1.0, 0.0], (n, 1))
    return queries.astype(np.float32), candidates.astype(np.float32)


def draw(picture, items, order, query, out):
    queries, candidates = embeddings_that_rank(order)
    image, recipe = (candidates, queries) if picture is top5_recipe_to_photo else (queries, candidates)
    png, _ = picture(items, [Model("", image, recipe)], [query], out)
    return png


def framed(path, color):
    """Pixels inside the frame of this color above the key, and the centre of the frame from 0 (left) to 1."""
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    above_key = pixels[: int(len(pixels) - 0.25 * DPI)]
    wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
    rows, columns = np.nonzero(np.all(np.abs(above_key.astype(int) - wanted) <= 2, axis=-1))
    if len(rows) < 200:
        return None, None
    inside = above_key[rows.min() : rows.max(), columns.min() : columns.max()]
    return inside, (columns.min() + columns.max()) / 2 / pixels.shape[1]


def shows(pixels, row):
    return np.sum(np.all(np.abs(pixels.astype(int) - color_of(row)) <= 2, axis=-1)) > 1000


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("place", [1, 3, 5])
def test_the_match_is_framed(picture, place, tmp_path):
    order = [1, 2, 3, 4, 5, 6, 7]
    order.insert(place - 1, 0)
    path = draw(picture, make_items(), np.array(order), 0, tmp_path / "top5.png")
    inside, middle = framed(path, style.GREEN)
    assert shows(inside, 0)
    assert not any(shows(inside, row) for row in range(1, 8))
    assert framed(path, style.VERMILION) == (None, None)
    # Five answers share the part of the page beside the query.
    left = 0.30 if picture is top5_recipe_to_photo else 0.18
    assert middle == pytest.approx(left + (1 - left) * (place - 0.5) / 5, abs=0.04)


@pytest.mark.parametrize("picture", PICTURES)
def test_a_missed_match_is_at_the_end(picture, tmp_path):
    path = draw(picture, make_items(), np.array([1, 2, 3, 4, 5, 6, 0, 7]), 0, tmp_path / "top5.png")
    inside, middle = framed(path, style.VERMILION)
    assert shows(inside, 0)
    assert middle > 0.85
    assert framed(path, style.GREEN) == (None, None)


@pytest.mark.parametrize("picture", PICTURES)
def test_only_a_real_class_is_marked_as_the_same(picture, tmp_path):
    order = np.arange(8)
    same = draw(picture, make_items(class_name="cake"), order, 0, tmp_path / "same.png")
    inside, _ = framed(same, style.SKY)
    assert shows(inside, 1)
    assert not shows(inside, 0)
    for name in ("background", ""):
        none = draw(picture, make_items(class_name=name), order, 0, tmp_path / "none.png")
        assert framed(none, style.SKY) == (None, None)


@pytest.mark.parametrize("picture", PICTURES)
def test_captions_show_place_similarity_and_rank_with_ties(picture, tmp_path, monkeypatch):
    texts = []
    original = Page.text

    def note(page, x, y, text, *rest, **options):
        texts.append(text)
        return original(page, x, y, text, *rest, **options)

    monkeypatch.setattr(Page, "text", note)
    same = np.tile(np.float32([0.6, 0.8]), (8, 1))
    picture(make_items(), [Model("", same, same)], [7], tmp_path / "tie.png")
    assert "1 · 1.00" in texts
    assert "rank 4.5 · 1.00" in texts, "of eight equal answers, the match ranks in the middle"


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize(
    "title",
    ["costs $5 \\frac{, not $6", "🍕 麻婆豆腐 \\frac{1}{2}", "", "w" * 300, "سلطة حمص", "nul\0 and\nnewline \ud83c"],
)
def test_any_title_can_be_drawn(picture, title, tmp_path):
    items = [Item(f"{row}", title, title, [title] * 9, [title], np.zeros((4, 4), np.uint8)) for row in range(6)]
    path = draw(picture, items, np.arange(6), 2, tmp_path / "top5.png")
    assert path.stat().st_size > 5_000


@pytest.mark.parametrize("picture", PICTURES)
def test_a_gallery_of_one(picture, tmp_path):
    path = draw(picture, make_items(1), np.arange(1), 0, tmp_path / "top5.png")
    assert shows(framed(path, style.GREEN)[0], 0)


@pytest.mark.parametrize("picture", PICTURES)
def test_equal_arguments_give_equal_bytes(picture, tmp_path):
    for name in "ab":
        draw(picture, make_items(), np.arange(8), 6, tmp_path / name / "top5.png")
    for suffix in ("png", "svg"):
        first, second = ((tmp_path / name / f"top5.{suffix}").read_bytes() for name in "ab")
        assert first == second
    assert len(list((tmp_path / "a").iterdir())) == 2, "no temporary files remain"


def test_a_row_for_each_model(tmp_path, monkeypatch):
    """Three models rank the match of the same query first, third, and below the top five."""
    photos, labels = [], []
    original = Page.photo, Page.vertical_text

    def photo(page, x, y, width, height, pixels):
        photos.append((y, x, tuple(pixels[0, 0].tolist())))
        original[0](page, x, y, width, height, pixels)

    def vertical_text(page, x, y, text, height):
        labels.append((y, text))
        original[1](page, x, y, text, height)

    monkeypatch.setattr(Page, "photo", photo)
    monkeypatch.setattr(Page, "vertical_text", vertical_text)
    orders = {"first": [0, 1, 2, 3, 4, 5, 6, 7], "third": [7, 6, 0, 5, 4, 3, 2, 1], "missed": [1, 2, 3, 4, 5, 6, 7, 0]}
    models = []
    for name, order in orders.items():
        queries, candidates = embeddings_that_rank(np.array(order))
        models.append(Model(name, candidates, queries))
    path, _ = top5_recipe_to_photo(make_items(), models, [0, 3], tmp_path / "models.png")

    assert [label for _, label in labels] == [*orders, *orders]
    rows = sorted({y for y, *_ in photos})
    assert len(rows) == 6, "two queries, three models"
    assert [y for y, _ in labels] == sorted(y for y, _ in labels)
    for number, y in enumerate(rows):
        order = list(orders.values())[number % 3]
        query = (0, 3)[number // 3]
        expected = order[:5] if query in order[:5] else [*order[:5], query]
        shown = [color for _, _, color in sorted(photo for photo in photos if photo[0] == y)]
        assert shown == [tuple(color_of(row).tolist()) for row in expected]

    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    green = np.all(np.abs(pixels - [0, 0x9E, 0x73]) <= 2, axis=-1)
    places = {}
    for number, y in enumerate(rows):  # which photos of each row have a green frame
        across = np.flatnonzero(green[round((y + 0.4) * DPI)]) / DPI
        row = sorted(photo for photo in photos if photo[0] == y)
        places[number] = [place for place, (_, x, _) in enumerate(row, 1) if (np.abs(across - x) < 0.04).any()]
    assert places == {0: [1], 1: [3], 2: [], 3: [4], 4: [], 5: [3]}


def test_a_photo_may_be_bytes_or_a_file(tmp_path):
    items = make_items()
    encoded = io.BytesIO()
    Image.fromarray(items[0].photo).save(encoded, "png")
    (tmp_path / "photo.png").write_bytes(encoded.getvalue())
    pictures = []
    for photo in (items[0].photo, encoded.getvalue(), tmp_path / "photo.png"):
        changed = [Item(items[0].id, "Dish 0", "background", [], [], photo), *items[1:]]
        path = draw(top5_recipe_to_photo, changed, np.arange(8), 0, tmp_path / "top5.png")
        pictures.append(path.read_bytes())
    assert pictures[0] == pictures[1] == pictures[2]


@pytest.mark.parametrize("photo", [b"not a photo", b"", np.zeros((2, 2, 3))])
def test_an_unreadable_photo_is_named(photo, tmp_path):
    items = [Item("00000000ff", "Dish", "background", [], [], photo), *make_items()[1:]]
    with pytest.raises(UserError, match="the photo of recipe 00000000ff cannot be read"):
        draw(top5_recipe_to_photo, items, np.arange(8), 0, tmp_path / "top5.png")
    assert list(tmp_path.iterdir()) == []


def test_a_photo_that_is_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    items = [Item("00000000ff", "Dish", "background", [], [], tmp_path / "pipe"), *make_items()[1:]]
    with pytest.raises(UserError, match=r"recipe 00000000ff .* cannot be read: missing, or not a regular file"):
        draw(top5_recipe_to_photo, items, np.arange(8), 0, tmp_path / "top5.png")


def test_mismatched_arguments_are_errors(tmp_path):
    models = [Model("", *2 * [np.eye(8, dtype=np.float32)])]
    with pytest.raises(UserError, match="7 items, 8 query and 8 candidate embeddings"):
        top5_recipe_to_photo(make_items(7), models, [0], tmp_path / "top5.png")
    for wrong in ([], [8], [-1]):
        with pytest.raises(UserError, match="expected at least one, each from 0 to 7"):
            top5_recipe_to_photo(make_items(), models, wrong, tmp_path / "top5.png")
