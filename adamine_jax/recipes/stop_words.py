"""English stop words, the 179 of NLTK's list, as the published class rule uses them."""

from importlib import resources

STOP_WORDS = frozenset(resources.files(__package__).joinpath("stop_words.txt").read_text(encoding="utf-8").split())
