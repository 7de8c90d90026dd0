"""Names of ingredients for what a person begins to type."""

import collections
import functools

import numpy as np

from adamine_jax.gallery.store import Gallery
from adamine_jax.recipes.ingredient_names import ingredient_names
from adamine_jax.recipes.text_encoder import TextEncoder
from adamine_jax.recipes.texts import RecipeText

MOST_ITEMS = 3000
"""Of a gallery that are looked at for names, spread over it."""


@functools.lru_cache(maxsize=1 << 16)
def names_of(line: str) -> tuple[str, ...]:
    """The names of the ingredients in a line that the rule for them is sure of."""
    return tuple(name for name, sure in ingredient_names(line) if sure)


class Names:
    """The ingredients of a gallery that the model knows, the most frequent first.

    A gallery without recipes has none; there the vocabulary's words are taken.

    Args:
        gallery: whose recipes name them.
        texts: knows the vocabulary.
        words: of the vocabulary.
    """

    def __init__(self, gallery: Gallery, texts: TextEncoder, words: tuple[str, ...]):
        rows = np.unique(np.linspace(0, len(gallery) - 1, min(len(gallery), MOST_ITEMS)).astype(int))
        counts = collections.Counter(
            name for row in rows for line in gallery.item(row).ingredients for name in names_of(line)
        )
        unknown = set(texts.unknown_names(RecipeText(names=tuple(counts))))
        known = [
            name for name, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])) if name not in unknown
        ]
        self._names = known or sorted(word.replace("_", " ") for word in words)

    def beginning(self, text: str, top: int) -> list[str]:
        """Names that begin with a text, then those in which a later word does."""
        text = " ".join(text.lower().split())
        first = [name for name in self._names if name.startswith(text)]
        later = [name for name in self._names if f" {text}" in name and not name.startswith(text)]
        return (first + later)[:top]
