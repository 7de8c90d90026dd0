"""What the text alone says about each record of layer 1, block by block: done by whichever process is free."""

import collections
import dataclasses
from typing import NamedTuple

from data_builders.recipe1m import filters, words
from data_builders.recipe1m.classes import title_tokens
from data_builders.recipe1m.json_blocks import Block
from data_builders.recipe1m.layers import Layers, Recipe, Unusable


class Named(NamedTuple):
    """A recipe that is left out: what a report says of it."""

    id: str
    title: str
    partition: str


class Dropped(NamedTuple):
    """A record that is left out without a look at its photos."""

    record: Named | Unusable
    reason: str


class Encoded(NamedTuple):
    """A recipe that passed the filter, its words as ids; `names` counts those that are not empty."""

    recipe: Recipe
    ingredient_ids: list[int]
    sentences: list[list[int]]
    unknown_words: list[str]
    names: int
    unknown_names: list[str]


class Decision(NamedTuple):
    """What becomes of a record, and the tokens of its title where it counts for the classes."""

    fate: Encoded | Dropped
    tokens: list[str]


@dataclasses.dataclass(frozen=True)
class ReadWords:
    """What word2vec is to read: for each record itself and its sentences, a line each; and the counts of all words.

    Attributes:
        layers: the download.
        split_names: see `words.training_sentences`.
    """

    layers: Layers
    split_names: bool

    def __call__(self, block: Block) -> tuple[list[tuple[Named | Unusable, str]], collections.Counter[str]]:
        lines, counts = [], collections.Counter()
        for record in self.layers.read(block):
            if isinstance(record, Unusable):
                lines.append((record, ""))
                continue
            text = []
            if record.partition == "train":
                for sentence in words.training_sentences(
                    record.names, record.valid, record.instructions, split_names=self.split_names
                ):
                    counts.update(sentence)
                    if sentence:
                        text.append(" ".join(sentence) + "\n")
            lines.append((Named(record.id, record.title, record.partition), "".join(text)))
        return lines, counts


@dataclasses.dataclass(frozen=True)
class Decide:
    """What becomes of each record of a block.

    Attributes:
        layers: the download.
        ids: word → id.
        unknown_id: of every other word.
        removed: ids that are left out.
        partitions: those that are converted.
        without_photos: recipes without photos stay, if the rest of the filter lets them.
        split_unknown: see `words.ingredient_ids`.
    """

    layers: Layers
    ids: dict[str, int]
    unknown_id: int
    removed: frozenset[str]
    partitions: tuple[str, ...]
    without_photos: bool
    split_unknown: bool

    def __call__(self, block: Block) -> list[Decision]:
        decisions = []
        for record in self.layers.read(block):
            if isinstance(record, Unusable):
                decisions.append(Decision(Dropped(record, record.reason), []))
                continue
            tokens = title_tokens(record.title) if record.partition == "train" else []
            decisions.append(Decision(self._fate(record), tokens))
        return decisions

    def _fate(self, recipe: Recipe) -> Encoded | Dropped:
        ingredient_ids = words.ingredient_ids(recipe.names, self.ids)
        reason = filters.NOT_ASKED_FOR if recipe.partition not in self.partitions else None
        reason = reason or filters.reason_to_drop(recipe, ingredient_ids, self.removed, self.without_photos)
        if reason:
            return Dropped(Named(recipe.id, recipe.title, recipe.partition), reason)
        if self.split_unknown:  # after the filter: the words of a name do not make a recipe longer
            ingredient_ids = words.ingredient_ids(recipe.names, self.ids, split_unknown=True)
        phrases = words.sure_phrases(recipe.names, recipe.valid)
        lines = [words.instruction_words(line, phrases) for line in recipe.instructions]
        sentences = [words.word_ids(line, self.ids, self.unknown_id) for line in lines]
        of_lines = zip(lines, sentences, strict=True)
        with_unknown = (line for line, sentence in of_lines if self.unknown_id in sentence)
        unknown_words = [word for line in with_unknown for word in line if word not in self.ids]
        named = [name for name in recipe.names if name.strip()]  # an empty one names nothing that could be known
        unknown_names = [name for name in named if words.ingredient_word(name) not in self.ids]
        return Encoded(recipe, ingredient_ids, sentences, unknown_words, len(named), unknown_names)
