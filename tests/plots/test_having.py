"""Which recipes have an ingredient, and which ingredients are chosen, beside lists made by hand."""

import numpy as np
import pytest

from adamine_jax.gallery.files import Item
from adamine_jax.plots import having
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
def test_a_recipe_has_what_would_be_taken_from_it(name, rows):
    found = having.have(ITEMS, name)
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
def test_an_ingredient_has_the_name_that_lines_have_for_it(text, name):
    assert having.usual_name(text) == name


def test_what_the_model_sees():
    encoder = Encoder.__new__(Encoder)
    encoder.texts = TextEncoder(["black_pepper", "salt"])
    seen = ("black pepper", "fresh black pepper", "pepper", "12", "For the sauce:", "Salt", "salt and pepper")
    assert [encoder.texts.knows(text) for text in seen] == [True, True, False, False, False, True, False]


def recipes(*kinds):
    """(how many, title, ingredients) → items."""
    return [
        Item(f"{kind}-{number}", title, ingredients=tuple(lines))
        for kind, (count, title, lines) in enumerate(kinds)
        for number in range(count)
    ]


def known(*words):
    return Words({word: np.eye(4)[0] for word in words})


def test_ingredients_that_titles_name_come_first():
    items = recipes(
        (30, "Dinner", ["salt", "rice"]),  # salt is everywhere, rice in nearly a third
        (20, "Plain", ["salt", "leek"]),
        (5, "Beetroot Soup", ["salt", "2 beetroots"]),
        (8, "Egg on Toast", ["1 egg", "salt"]),
        (9, "Toast", ["2 eggs", "salt"]),
        (9, "Leek of the woods", ["salt", "dill"]),  # its title names a leek, but it has none
        (1, "Truffle Truffle", ["salt", "truffle"]),  # one recipe is too few
        (18, "Soup", ["salt", "soup"]),
    )
    every = known("salt", "rice", "leek", "beetroots", "egg", "eggs", "dill", "truffle")
    assert having.telling(items, every) == ["egg", "beetroots", "leek", "dill"]
    assert having.telling(items, known("salt", "eggs", "leek")) == ["eggs", "leek"], "words that the model knows"
    assert having.telling(items[:1], every) == []


def test_names_that_contain_one_another_are_counted_together():
    items = recipes((15, "A", ["1 egg"]), (15, "B", ["2 eggs"]), (70, "C", ["leek"]))
    assert having.telling(items, known("egg", "eggs")) == [], "30 % have an egg, 15 % call it so"


def test_a_large_gallery_is_counted_all_over():
    items = recipes((4000, "A", ["leek"]), (600, "B", ["dill"]), (600, "B", ["beetroots"]))
    assert sorted(having.telling(items, known("leek", "dill", "beetroots"))) == ["beetroots", "dill"]
