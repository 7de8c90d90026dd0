"""English stop words, the 179 of NLTK's list, as the published class rule uses them."""

from importlib import resources

_FILE = resources.files("adamine_jax.recipes").joinpath("stop_words.txt")
STOP_WORDS = frozenset(_FILE.read_text(encoding="utf-8").split())
