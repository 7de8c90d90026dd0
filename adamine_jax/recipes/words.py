"""Splits recipes into words, and maps words to ids.

Ids: 0 is padding, 1 the end of an ingredient list (`</i>`), k + 2 word k of the vocabulary, V + 2 any unknown word.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

END_ID = 1
FIRST_WORD_ID = 2

STOP_WORDS = frozenset(
    resources.files("adamine_jax.recipes").joinpath("stop_words.txt").read_text(encoding="utf-8").split()
)
"""The 179 English stop words of NLTK, which the published class rule uses."""

_PUNCTUATION = [(mark, f" {mark} ") for mark in ',.;()?!&%:*"']


def ingredient_word(name: str) -> str:
    """Returns the single word that represents an ingredient name: "olive oil" -> "olive_oil"."""
    return name.replace(" ", "_")


def sure_phrases(names: Sequence[str], valid: Sequence[bool]) -> list[tuple[str, str]]:
    """Returns the multi-word names that the detector was sure of, each with its `ingredient_word`."""
    pairs = zip(names, valid, strict=True)
    return [(name, ingredient_word(name)) for name, sure in pairs if sure and " " in name.strip()]


def instruction_words(line: str, phrases: Iterable[tuple[str, str]]) -> list[str]:
    """Splits one instruction into words.

    Each of `sure_phrases` is replaced by its single word wherever it appears in the line, in the order of the
    ingredient list. Case is kept, and punctuation marks are words.
    """
    for name, word in phrases:
        line = line.replace(name, word)
    for mark, spaced in _PUNCTUATION:
        line = line.replace(mark, spaced)
    return line.split()


def training_sentences(
    names: Sequence[str], valid: Sequence[bool], instructions: Sequence[str], *, split_names: bool = False
) -> list[list[str]]:
    """Returns the sentences of a recipe that word2vec reads: the ingredients as one sentence, then each instruction.

    An ingredient's vector therefore reflects both the ingredients it is combined with and its use in instructions.
    Names with white space other than the space are skipped: they cannot be one word of a text file.

    Args:
        names: Detected ingredient names.
        valid: Whether the detector was sure of each name.
        instructions: Lines of text.
        split_names: Whether a multi-word name is followed by its words; see `ingredient_ids`.
    """
    ingredients = []
    for name in names:
        if len((word := ingredient_word(name)).split()) == 1:
            ingredients.append(word)
        if split_names and len(parts := name.split()) > 1:
            ingredients += parts
    phrases = sure_phrases(names, valid)
    return [ingredients, *(instruction_words(line, phrases) for line in instructions)]


def ingredient_ids(names: Sequence[str], ids: Mapping[str, int], *, split_unknown: bool = False) -> list[int]:
    """Returns the distinct ids of the known ingredients in order of first appearance, followed by `END_ID`.

    Args:
        names: Detected ingredient names, including those that the detector was not sure of.
        ids: Word -> id.
        split_unknown: Whether an unknown name is read as its known words ("key lime juice" as "key", "lime", "juice");
            otherwise it is skipped.
    """
    found = []
    for name in names:
        word_id = ids.get(ingredient_word(name))
        found += [ids.get(word) for word in name.split()] if split_unknown and word_id is None else [word_id]
    return [*dict.fromkeys(word_id for word_id in found if word_id is not None), END_ID]


def word_ids(words: Sequence[str], ids: Mapping[str, int], unknown_id: int) -> list[int]:
    """Returns the ids of the words of a sentence."""
    return list(map(ids.get, words, itertools.repeat(unknown_id)))
