"""Removal of an ingredient: results and means checked against loops, and what is drawn."""

import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.items import Item
from adamine_jax.plots import removal
from adamine_jax.recipes.texts import RecipeText
from tests.plots.recording import record
from tests.tiny_gallery import Words, color_of, photo_of, write_gallery

BASES = ("rice", "noodles", "bread")
COUNT = 24


@pytest.fixture
def encoder():
    rng = np.random.default_rng(1)
    return Words({word: rng.normal(size=8) for word in (*BASES, "egg", "eggs", "fry", "leek")})


def lines_of(row):
    """Every fourth recipe contains eggs; the last one nothing else."""
    lines = (BASES[row % 3],) if row < COUNT - 4 else ()
    return (*lines, "2 eggs, beaten") if row % 4 == 3 or row == COUNT - 4 else (*lines, "salt")


@pytest.fixture
def opened(tmp_path, encoder):
    """(gallery, items): the embedding of a photo is near that of its recipe."""
    rng = np.random.default_rng(2)
    steps = ("Fry the eggs.", "Serve.")
    items = [
        Item(f"{(5 * row) % COUNT:010x}", f"Dish {row}", "soup", lines_of(row), steps, photo_of(row))
        for row in range(COUNT)
    ]
    text = np.array([encoder.sum(" ".join((*item.ingredients, "fry"))) for item in items])
    image = text + 0.3 * rng.normal(size=text.shape)
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    gallery = write_gallery(tmp_path / "gallery", items, image, text, ["soup"])
    return gallery, [gallery.item(row) for row in range(COUNT)]


def nearest(gallery, words, encoder, count):
    query = encoder.sum(" ".join(words))
    scores = [(-float(np.dot(row, query)), number) for number, row in enumerate(gallery.embeddings("image"))]
    return [number for _, number in sorted(scores)[:count]]


def has_eggs(row):
    return any("egg" in line for line in lines_of(row))


def test_results_and_means(opened, encoder):
    gallery, items = opened
    measured = removal.measure(gallery, items, encoder, 7, "egg", seed=0)
    with_it = [*lines_of(7), "Fry the eggs.", "Serve."]
    without = [BASES[7 % 3], "Fry the .", "Serve."]
    for answers, words in ((measured.before, with_it), (measured.after, without)):
        expected = nearest(gallery, words, encoder, 5)
        assert [answer.item.id for answer in answers] == [items[row].id for row in expected]
        assert [answer.contains for answer in answers] == [has_eggs(row) for row in expected]
        assert [answer.is_match for answer in answers] == [row == 7 for row in expected]

    before, after = [], []
    owners = [row for row in range(COUNT) if has_eggs(row)]
    for row in owners:
        text = [*lines_of(row), "Fry the eggs."]
        before += [has_eggs(found) for found in nearest(gallery, text, encoder, 10)]
        after += [
            has_eggs(f) for f in nearest(gallery, [t for t in (*lines_of(row), "fry") if "egg" not in t], encoder, 10)
        ]
    assert measured.num_recipes == len(owners) == 7
    assert measured.precision_before == pytest.approx(np.mean(before))
    assert measured.precision_after == pytest.approx(np.mean(after))
    assert measured.precision_before > measured.precision_after, "otherwise the test proves little"
    assert measured.base_rate == 7 / COUNT
    line = str(measured)
    assert line.startswith("mean over the 7 recipes with egg: ")
    assert [f"{100 * share:.1f} %" in line for share in (np.mean(before), np.mean(after), 7 / 24)] == [True] * 3


def test_many_recipes_are_sampled_including_the_one_shown(opened, encoder, monkeypatch):
    monkeypatch.setattr(removal, "MAX_RECIPES", 3)
    asked = []
    for seed in (0, 0, 1, 2, 3):
        encoder.asked.clear()
        measured = removal.measure(*opened, encoder, 7, "eggs", seed)
        assert measured.num_recipes == 3
        assert str(measured).startswith("mean over 3 of the 7 recipes with eggs: ")
        assert len(set(encoder.asked)) <= 6
        assert encoder.asked[0] == RecipeText(ingredients=lines_of(7), instructions=("Fry the eggs.", "Serve."))
        assert encoder.asked[3] == RecipeText(ingredients=lines_of(7)[:1], instructions=("Fry the .", "Serve."))
        asked.append(list(encoder.asked))
    assert asked[0] == asked[1]
    assert any(other != asked[0] for other in asked[2:])


def test_a_recipe_of_the_ingredient_alone_is_skipped(opened, encoder):
    gallery, items = opened
    items = [*items[:-1], Item(items[-1].id, "Egg", "soup", ("1 egg",), (), items[-1].photo)]
    assert removal.measure(gallery, items, encoder, 7, "egg", 0).num_recipes == 6
    with pytest.raises(UserError, match=f"recipe {items[-1].id} consists of egg alone"):
        removal.measure(gallery, items, encoder, COUNT - 1, "egg", 0)


def test_recipe_and_ingredient_are_chosen_by_default(opened, encoder):
    items = opened[1]
    by_id = sorted(range(COUNT), key=lambda row: items[row].id)
    drawn = [by_id[place] for place in np.random.default_rng(4).choice(COUNT, COUNT, replace=False)]
    row, name = removal.choose(items, encoder, None, "egg", seed=4)
    assert (row, name) == (next(row for row in drawn if has_eggs(row)), "egg")
    rice_and_eggs = Words({"rice": np.ones(1), "eggs": np.ones(1)})  # each in 7 of 24 recipes
    with pytest.raises(
        UserError, match="no recipe in the gallery has an ingredient that is in the model's vocabulary and in 2 % to"
    ):
        removal.choose(items, rice_and_eggs, None, None, seed=4)
    dishes = [Item(str(n), "Leek pie" if n < 2 else "Pie", ingredients=("egg", "leek")[n // 2 :][:2]) for n in range(3)]
    dishes += [Item(str(n + 3), "Stew", ingredients=("rice",)) for n in range(9)]
    assert removal.choose(dishes, encoder, 0, None, seed=0) == (0, "leek"), "titles mention it"
    assert removal.choose(dishes, encoder, None, None, seed=0)[1] == "leek"


def test_errors_for_unsuitable_ingredients(opened, encoder):
    items = opened[1]
    with pytest.raises(UserError, match="--without kale: not in the vocabulary of the model"):
        removal.choose(items, encoder, None, "kale", 0)
    with pytest.raises(UserError, match="no recipe in the gallery has leek"):
        removal.choose(items, encoder, None, "leek", 0)
    with pytest.raises(UserError, match=f"recipe {items[0].id} has no egg; its ingredients: rice; salt"):
        removal.choose(items, encoder, 0, "egg", 0)


def test_two_rows_of_photos_with_ticks_and_a_framed_match(opened, encoder, tmp_path, monkeypatch):
    gallery, items = opened
    measured = removal.measure(gallery, items, encoder, 7, "egg", seed=0)
    photos, ticks, frames, texts = record(monkeypatch)
    files = removal.draw(measured, tmp_path / "removal.png")

    answers = [*measured.before, *measured.after]
    rows = {item.id: row for row, item in enumerate(items)}
    assert [color for *_, color in photos] == [color_of(rows[answer.item.id]) for answer in answers]
    assert len({y for _, y, *_ in photos[:5]}) == len({y for _, y, *_ in photos[5:]}) == 1
    assert photos[5][1] > photos[0][1] + photos[0][2], "below the others"
    for (x, y, side, _), answer in zip(photos, answers, strict=True):
        assert sum(x < at_x < x + side and y < at_y < y + side for at_x, at_y in ticks) == answer.contains
        assert [line > 2 for at_x, at_y, line in frames if (at_x, at_y) == (x, y)] == [answer.is_match]
    assert {"with egg", "without egg", "rice" if 7 % 3 == 0 else BASES[7 % 3], "− 2 eggs, beaten"} <= set(texts)
    assert any(f"{100 * measured.precision_after:.1f} % after removing it" in text for text in texts)
    again = removal.draw(measured, tmp_path / "again.png")
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in files]
