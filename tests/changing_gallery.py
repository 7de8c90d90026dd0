"""Galleries of items that a number determines, and what is in one."""

import dataclasses
import random

import numpy as np

from adamine_jax.gallery import opening
from adamine_jax.gallery.items import MODALITIES, Item
from tests.tiny_gallery import photo_of

DIM = 8
ABOUT = {"model": "m", "step": 1, "source": {}}
FOODS = [
    "tomatoes",
    "olive oil",
    "cherry tomato",
    "peanuts",
    "nut",
    "berries",
    "egg",
    "eggplant",
    "Crème fraîche",
    "oil",
]
CLASSES = ["soup", "Cake", "background"]


def vector(number):
    row = np.random.default_rng(number).normal(size=(1, DIM)).astype(np.float32)
    return row / np.linalg.norm(row)


def item(number, **fields):
    rng = random.Random(number)
    lines = tuple(f"{rng.randint(1, 9)} cups {food}, chopped" for food in rng.sample(FOODS, rng.randint(0, 4)))
    whole = Item(
        id=f"id {number}",
        title=f"Dish {number} of {rng.choice(FOODS)}",
        class_name=rng.choice(CLASSES),
        ingredients=lines,
        instructions=("Stir it and then boil it for an hour.",),
        photo=photo_of(number % 60),
        language=rng.choice(["en", "de"]),
        tags=(("cuisine", rng.choice(["Thai", "French"])), ("minutes", str(rng.randint(1, 3)))),
    )
    return dataclasses.replace(whole, **fields)


def embeddings(numbers):
    rows = np.concatenate([vector(number) for number in numbers])
    return {"image": rows, "recipe": -rows}


def write(place, numbers, dtype="float32"):
    with opening.writer(place, ABOUT, MODALITIES, DIM, dtype) as writer:
        writer.write(embeddings(numbers), [item(number) for number in numbers])
        writer.finish()
    return place


def state(place):
    """The number of each item, by its id, and whether everything belongs together."""
    gallery = opening.opened(place)
    gallery.verify()
    found = {}
    for row in gallery.rows:
        stored, recipe = gallery.item(row), gallery.embedding("recipe", row)
        (number,) = [n for n in range(100) if np.allclose(-vector(n)[0], recipe, atol=2e-3)]
        expected = item(number, id=stored.id)
        assert (stored.title, stored.ingredients, sorted(stored.tags)) == (
            expected.title,
            expected.ingredients,
            sorted(expected.tags),
        )
        assert gallery.photo(row) == expected.photo
        found[stored.id] = number
    for text in (f"Dish {number}" for number in found.values()):
        assert gallery.search_words(text, top=1)
    return found


def numbered(*numbers):
    return {f"id {number}": number for number in numbers}
