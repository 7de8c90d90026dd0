"""Which recipes of a gallery have an ingredient, and which of their ingredients are worth a picture."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np

from adamine_jax.gallery.files import Item
from adamine_jax.queries import changes
from adamine_jax.queries.changes import stem
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.ingredient_names import ingredient_names
from adamine_jax.recipes.texts import RecipeText

MOST_COUNTED = 2000
"""Recipes whose ingredients are counted: enough to tell the frequent ones."""
LEAST_SHARE, MOST_SHARE = 0.02, 0.25
"""Of the recipes that have an ingredient which is chosen: of fewer little can be said, and what is in more than every
fourth dish (salt, oil, sugar) is seldom to be seen in it."""


def have(items: Sequence[Item], name: str) -> np.ndarray:
    """(N,) bool: whether an ingredient's line of the recipe names it, as `changes.changed` takes it away."""
    parts = [stem(part) for part in re.findall(r"\w+", name.lower())]

    def has(item: Item) -> bool:
        text = unicodedata.normalize("NFC", "\n".join(item.ingredients).lower())
        if not all(part in text for part in parts):  # to look closer takes a hundred times as long
            return False
        return changes.has(RecipeText(ingredients=item.ingredients), name)

    return np.fromiter(map(has, items), bool, len(items))


def telling(items: Sequence[Item], encoder: Encoder) -> list[str]:
    """The ingredients that are likely to be seen in photos: those that titles name most often.

    Only names that the model knows and that between 2 % and 25 % of the recipes have, at least two. A title counts
    where its recipe has the ingredient; of equally many, the name of more recipes comes first. Of names that contain
    one another ("egg", "eggs", "egg yolk") the first stands for all. A large gallery is counted in some 2,000
    recipes spread over it.

    Args:
        items: of the gallery.
        encoder: the model.
    """
    counted = items[:: max(1, len(items) // MOST_COUNTED)]
    names = [names_of(item) for item in counted]
    least, most = max(LEAST_SHARE * len(counted), 2), MOST_SHARE * len(counted)
    found = Counter(name for of_item in names for name in of_item)
    counts, titles = {}, {}
    for name in (name for name, count in found.items() if count >= least and encoder.texts.knows(name)):
        alike = {other for other in found if _names(other, name)}
        having = [item for item, of_item in zip(counted, names, strict=True) if not alike.isdisjoint(of_item)]
        counts[name], titles[name] = len(having), sum(_names(item.title.lower(), name) for item in having)
    chosen: list[str] = []
    for name in sorted(counts, key=lambda name: (-titles[name], -counts[name], name)):
        if counts[name] <= most and not any(_names(name, other) or _names(other, name) for other in chosen):
            chosen.append(name)
    return chosen


def usual_name(text: str) -> str:
    """An ingredient as a person writes it, under the name that lines of recipes have for it: "fresh dill" is dill."""
    names = ingredient_names(text)
    return names[0][0] if len(names) == 1 and names[0][1] else text


def names_of(item: Item) -> set[str]:
    """The names in an item's lines of ingredients of which the rule is sure."""
    return {name for line in item.ingredients for name, sure in ingredient_names(line) if sure}


def _names(text: str, name: str) -> bool:
    """Whether a text in small letters names an ingredient."""
    return stem(name.split()[-1]) in text and changes.has(RecipeText(names=(text,)), name)
