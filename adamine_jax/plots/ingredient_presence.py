"""Finds the recipes of a gallery that contain an ingredient, and the ingredients worth drawing."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np

from adamine_jax.gallery.items import Item
from adamine_jax.queries import changes
from adamine_jax.queries.encoder import Encoder
from adamine_jax.recipes.ingredient_names import ingredient_names
from adamine_jax.recipes.mentions import stem
from adamine_jax.recipes.texts import RecipeText

SAMPLE_SIZE = 2000
"""Number of recipes whose ingredients are counted, enough to find the frequent ones."""
MIN_SHARE, MAX_SHARE = 0.02, 0.25
"""Limits on the share of recipes that contain a chosen ingredient. Rarer ones give no reliable statistics; more
frequent ones (salt, oil, sugar) are rarely visible in a photo."""


def contain_ingredient(items: Sequence[Item], name: str) -> np.ndarray:
    """Returns (N,) bool: whether an ingredient line of each recipe names the ingredient, as in `changes.changed`."""
    stems = [stem(word) for word in re.findall(r"\w+", name.lower())]

    def contains(item: Item) -> bool:
        text = unicodedata.normalize("NFC", "\n".join(item.ingredients).lower())
        # The exact test is a hundred times slower.
        return all(part in text for part in stems) and changes.has(RecipeText(ingredients=item.ingredients), name)

    return np.fromiter(map(contains, items), bool, len(items))


def visible_ingredients(items: Sequence[Item], encoder: Encoder) -> list[str]:
    """Returns the ingredients most likely to be visible in photos: those that titles mention most often.

    Candidates are in the model's vocabulary and in 2 % to 25 % of the recipes, at least two. A title counts only if its
    recipe contains the ingredient; ties are broken by the number of recipes. Of names that contain one another ("egg",
    "eggs", "egg yolk"), only the first is returned. In a large gallery, an evenly spaced sample of about 2,000 recipes
    is counted.
    """
    sample = items[:: max(1, len(items) // SAMPLE_SIZE)]
    names_by_item = [_certain_names(item) for item in sample]
    min_count, max_count = max(MIN_SHARE * len(sample), 2), MAX_SHARE * len(sample)
    name_counts = Counter(name for names in names_by_item for name in names)
    recipes, titles = {}, {}
    for name in (name for name, count in name_counts.items() if count >= min_count and encoder.texts.knows(name)):
        variants = {other for other in name_counts if _mentions(other, name)}
        containing = [item for item, names in zip(sample, names_by_item, strict=True) if variants & names]
        recipes[name] = len(containing)
        titles[name] = sum(_mentions(item.title.lower(), name) for item in containing)
    chosen: list[str] = []
    for name in sorted(recipes, key=lambda name: (-titles[name], -recipes[name], name)):
        if recipes[name] <= max_count and not any(_mentions(name, other) or _mentions(other, name) for other in chosen):
            chosen.append(name)
    return chosen


def usual_name(text: str) -> str:
    """Returns the name that ingredient lines use for what the user typed: "fresh dill" gives "dill"."""
    names = ingredient_names(text)
    return names[0][0] if len(names) == 1 and names[0][1] else text


def _certain_names(item: Item) -> set[str]:
    return {name for line in item.ingredients for name, is_certain in ingredient_names(line) if is_certain}


def _mentions(text: str, name: str) -> bool:
    """Returns whether a lower-case text names an ingredient."""
    return stem(name.split()[-1]) in text and changes.has(RecipeText(names=(text,)), name)
