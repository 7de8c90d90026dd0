"""From a recipe's texts to its words, and from words to ids.

Ids: 0 padding, 1 the end of an ingredient list (`</i>`), word k of the vocabulary is k + 2, unknown words are V + 2.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence

END_ID = 1
FIRST_WORD_ID = 2

_PUNCTUATION = [(mark, f" {mark} ") for mark in ',.;()?!&%:*"']


def ingredient_word(name: str) -> str:
    """An ingredient name as the one word that stands for it: "olive oil" -> "olive_oil"."""
    return name.replace(" ", "_")


def sure_phrases(names: Sequence[str], valid: Sequence[bool]) -> list[tuple[str, str]]:
    """The names of several words that the detector was sure of, each with its one word."""
    pairs = zip(names, valid, strict=True)
    return [(name, ingredient_word(name)) for name, sure in pairs if sure and " " in name.strip()]


def instruction_words(line: str, phrases: Iterable[tuple[str, str]]) -> list[str]:
    """The words of one instruction.

    Each of `sure_phrases` becomes its one word wherever it appears in the line, in the order of the ingredient list
    and by plain replacement; case is kept, punctuation marks are words of their own.
    """
    for name, word in phrases:
        line = line.replace(name, word)
    for mark, apart in _PUNCTUATION:
        line = line.replace(mark, apart)
    return line.split()


def training_sentences(
    names: Sequence[str], valid: Sequence[bool], instructions: Sequence[str], *, split_names: bool = False
) -> list[list[str]]:
    """What word2vec reads of a recipe: its ingredients as one sentence, then each instruction.

    So an ingredient's word gets its vector both from the company of other ingredients and from its use in the text.
    Names with white space other than the blank could never be one word of a text file, and are left out.

    Args:
        names: detected names.
        valid: whether the detector was sure of each.
        instructions: their texts.
        split_names: the words of a name of several follow it, see `ingredient_ids`.
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
    """Ids of the ingredients the vocabulary knows, each once, in order of first appearance; `END_ID` ends the list.

    Args:
        names: detected names, whether the detector was sure or not.
        ids: word -> id.
        split_unknown: reads a name that is unknown as its words ("key lime juice" as "key", "lime", "juice"), of
            which those that are known count; else it is left out.
    """
    known = []
    for name in names:
        word_id = ids.get(ingredient_word(name))
        known += [ids.get(word) for word in name.split()] if split_unknown and word_id is None else [word_id]
    return [*dict.fromkeys(word_id for word_id in known if word_id is not None), END_ID]


def word_ids(words: Sequence[str], ids: Mapping[str, int], unknown_id: int) -> list[int]:
    """Ids of the words of a sentence."""
    return list(map(ids.get, words, itertools.repeat(unknown_id)))
