"""Suggests names of ingredients while a person types."""

import collections
import functools

from adamine_jax.gallery.store import Store
from adamine_jax.recipes.ingredient_names import ingredient_names
from adamine_jax.recipes.text_encoder import TextEncoder
from adamine_jax.recipes.texts import RecipeText

MAX_ITEMS = 3000
"""Maximum number of items whose ingredients are counted, evenly spaced over the gallery."""


@functools.lru_cache(maxsize=1 << 16)
def names_of(line: str) -> tuple[str, ...]:
    """Returns the names of the ingredients in a line that are detected with certainty."""
    return tuple(name for name, sure in ingredient_names(line) if sure)


class Names:
    """Ingredients of a gallery that the model knows, most frequent first.

    For a gallery of photos, these are the words of the vocabulary in alphabetical order.

    Args:
        gallery: Gallery whose ingredients are suggested.
        texts: Text encoder of the model.
        words: Vocabulary of the model.
    """

    def __init__(self, gallery: Store, texts: TextEncoder, words: tuple[str, ...]):
        items = gallery.items(gallery.sample(MAX_ITEMS)).values()
        counts = collections.Counter(name for item in items for line in item.ingredients for name in names_of(line))
        unknown = set(texts.unknown_names(RecipeText(names=tuple(counts))))
        known = [
            name for name, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])) if name not in unknown
        ]
        self._names = known or sorted(word.replace("_", " ") for word in words)

    def beginning(self, text: str, top: int) -> list[str]:
        """Returns up to `top` names that begin with a text, followed by those in which a later word does."""
        text = " ".join(text.lower().split())
        first = [name for name in self._names if name.startswith(text)]
        later = [name for name in self._names if f" {text}" in name and not name.startswith(text)]
        return (first + later)[:top]
