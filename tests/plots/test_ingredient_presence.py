"""Which recipes contain an ingredient, and which ingredients are chosen, checked against hand-written lists."""

import numpy as np
import pytest

from adamine_jax.gallery.items import Item
from adamine_jax.plots.ingredient_presence import contain_ingredient, usual_name, visible_ingredients
from adamine_jax.queries.changes import changed
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.text_encoder import TextEncoder
from adamine_jax.recipes.texts import RecipeText
from tests.tiny_gallery import Words

LINES = [
    ("2 large eggs , beaten", "1 cup bread flour"),
    ("3 egg yolks", "Salt"),
    ("1 eggplant, diced",),
    ("2 chicken breasts", "chicken broth"),
    ("Juice of 2 lemons",),
    (),
    ("½ crème fraîche",),
    ("EGG",),
    ("1 ripe strawberry", "2 tomatoes"),
    ("500 g strawberries", "1 tomato"),
]
ITEMS = [Item(str(row), "", ingredients=lines) for row, lines in enumerate(LINES)]


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("egg", [0, 1, 7]),
        ("eggs", [0, 1, 7]),
        ("egg yolk", [1]),
        ("Chicken", [3]),
        ("chicken breast", [3]),
        ("lemon juice", [4]),
        ("flour", [0]),
        ("salt", [1]),
        ("crème fraîche", [6]),
        ("leek", []),
        ("strawberries", [8, 9]),
        ("strawberry", [8, 9]),
        ("tomatoes", [8, 9]),
    ],
)
def test_a_recipe_contains_what_would_be_removed_from_it(name, rows):
    found = contain_ingredient(ITEMS, name)
    assert np.flatnonzero(found).tolist() == rows
    for item, has in zip(ITEMS, found, strict=True):
        text = RecipeText(ingredients=item.ingredients)
        assert (changed(text, (), (name,))[0] != text) == has


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("fresh strawberries", "strawberries"),
        ("Mushrooms", "mushrooms"),
        ("chicken breast", "chicken breast"),
        ("salt and pepper", "salt and pepper"),
        ("12", "12"),
    ],
)
def test_the_usual_name_of_an_ingredient(text, name):
    assert usual_name(text) == name


def test_which_names_the_model_knows():
    encoder = Encoder.__new__(Encoder)
    encoder.texts = TextEncoder(["black_pepper", "salt"])
    seen = ("black pepper", "fresh black pepper", "pepper", "12", "For the sauce:", "Salt", "salt and pepper")
    assert [encoder.texts.knows(text) for text in seen] == [True, True, False, False, False, True, False]


def recipes(*kinds):
    """(number, title, ingredients) → items."""
    return [
        Item(f"{kind}-{number}", title, ingredients=tuple(lines))
        for kind, (count, title, lines) in enumerate(kinds)
        for number in range(count)
    ]


def known(*words):
    return Words({word: np.eye(4)[0] for word in words})


def test_ingredients_that_titles_name_come_first():
    items = recipes(
        (30, "Dinner", ["salt", "rice"]),  # salt is in all recipes, rice in nearly a third
        (20, "Plain", ["salt", "leek"]),
        (5, "Beetroot Soup", ["salt", "2 beetroots"]),
        (8, "Egg on Toast", ["1 egg", "salt"]),
        (9, "Toast", ["2 eggs", "salt"]),
        (9, "Leek of the woods", ["salt", "dill"]),  # its title names a leek that it does not contain
        (1, "Truffle Truffle", ["salt", "truffle"]),  # one recipe is too few
        (18, "Soup", ["salt", "soup"]),
    )
    every = known("salt", "rice", "leek", "beetroots", "egg", "eggs", "dill", "truffle")
    assert visible_ingredients(items, every) == ["egg", "beetroots", "leek", "dill"]
    assert visible_ingredients(items, known("salt", "eggs", "leek")) == ["eggs", "leek"], (
        "only words that the model knows"
    )
    assert visible_ingredients(items[:1], every) == []


def test_names_that_contain_one_another_are_counted_together():
    items = recipes((15, "A", ["1 egg"]), (15, "B", ["2 eggs"]), (70, "C", ["leek"]))
    assert visible_ingredients(items, known("egg", "eggs")) == [], "30 % contain an egg under either name"


def test_a_large_gallery_is_sampled_evenly():
    items = recipes((4000, "A", ["leek"]), (600, "B", ["dill"]), (600, "B", ["beetroots"]))
    assert sorted(visible_ingredients(items, known("leek", "dill", "beetroots"))) == ["beetroots", "dill"]
