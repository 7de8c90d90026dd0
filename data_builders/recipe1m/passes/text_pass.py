"""Processes the text of layer 1 block by block, in worker processes."""

import collections
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from adamine_jax.recipes import words
from data_builders.recipe1m import filters
from data_builders.recipe1m.classes import title_tokens
from data_builders.recipe1m.duplicates import text_digest
from data_builders.recipe1m.layers.json_blocks import Block
from data_builders.recipe1m.layers.reading import Layers
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.passes.photo_places import Listed, find_photo
from data_builders.recipe1m.recipes import Recipe, Unusable


class Label(NamedTuple):
    """The fields of a recipe that identify it in a report."""

    id: str
    title: str
    partition: str


class Dropped(msgspec.Struct, tag=True, array_like=True, gc=False):
    """A recipe that is dropped because of its text."""

    id: str
    title: str
    partition: str
    reason: str


class Encoded(msgspec.Struct, tag=True, array_like=True, gc=False):
    """A recipe that passed the text filters.

    Attributes:
        id, title, partition: As in `Recipe`.
        images: Listed photos that are used.
        images_beyond: Number of further listed photos.
        record: Fields of the record as JSON, except for photos and, usually, the class.
        ingredient_lines: Number of ingredient lines.
        known_ingredients: Number of ingredients that are in the vocabulary.
        sentence_lengths: Number of words of each instruction.
        unknown_words: Words of the instructions that are not in the vocabulary.
        names: Number of detected, non-empty ingredient names, or None if det_ingrs.json does not contain the recipe.
        unknown_names: Ingredient names that are not in the vocabulary.
        text_digest: Digest of the text, see `duplicates.text_digest`.
    """

    id: str
    title: str
    partition: str
    images: list[Listed]
    images_beyond: int
    record: bytes
    ingredient_lines: int
    known_ingredients: int
    sentence_lengths: list[int]
    unknown_words: list[str]
    names: int | None
    unknown_names: list[str]
    text_digest: int


Outcome = Encoded | Dropped | Unusable


class BlockOutcomes(msgspec.Struct, array_like=True, gc=False):
    """The outcome of each record of a block, and the title tokens of each that counts for the classes."""

    outcomes: list[Outcome]
    tokens: list[list[str]]

    def __reduce__(self) -> tuple[Callable[[bytes], "BlockOutcomes"], tuple[bytes]]:
        # Measured: 0.4 of pickle's time to encode so many small objects, and half of its time to decode them.
        return _decode_outcomes, (msgspec.msgpack.encode(self),)


_OUTCOMES = msgspec.msgpack.Decoder(BlockOutcomes)


def _decode_outcomes(data: bytes) -> BlockOutcomes:
    return _OUTCOMES.decode(data)


@dataclasses.dataclass(frozen=True)
class CollectSentences:
    """Collects the training sentences of word2vec.

    Returns the records of a block, the sentences of each as lines of text, and the counts of all words.
    """

    layers: Layers
    split_names: bool

    def __call__(self, block: Block) -> tuple[list[Label | Unusable], list[str], collections.Counter[str]]:
        records, texts, counts = [], [], collections.Counter()
        for record in self.layers.read(block, _label_unless_train):
            lines = []
            if isinstance(record, Recipe):
                for sentence in words.training_sentences(
                    record.names, record.valid, record.instructions, split_names=self.split_names
                ):
                    counts.update(sentence)
                    if sentence:
                        lines.append(" ".join(sentence) + "\n")
                record = Label(record.id, record.title, record.partition)
            records.append(record)
            texts.append("".join(lines))
        return records, texts, counts


def _label_unless_train(recipe: Recipe) -> Label | None:
    return None if recipe.partition == "train" else Label(recipe.id, recipe.title, recipe.partition)


@dataclasses.dataclass(frozen=True)
class FilterAndEncode:
    """Decides on each record of a block and encodes the recipes that pass the text filters.

    Attributes:
        layers: Layers of the download.
        ids: Id of each word.
        unknown_id: Id of all other words.
        removed: Ids of the recipes to drop.
        photos: Folder of the photos.
        options: Options of the conversion.
    """

    layers: Layers
    ids: dict[str, int]
    unknown_id: int
    removed: frozenset[str]
    photos: Path
    options: Options

    def __call__(self, block: Block) -> BlockOutcomes:
        records = self.layers.read(block, self._drop)
        outcomes = [self._encode(record) if isinstance(record, Recipe) else record for record in records]
        tokens = [
            title_tokens(outcome.title) if not isinstance(outcome, Unusable) and outcome.partition == "train" else []
            for outcome in outcomes
        ]
        return BlockOutcomes(outcomes, tokens)

    def _drop(self, recipe: Recipe) -> Dropped | None:
        """Applies the filters that do not depend on the ingredients."""
        if recipe.partition not in self.options.wanted_partitions:
            reason = filters.NOT_ASKED_FOR
        else:
            reason = filters.reason_to_drop(recipe, self.removed, self.options)
        return Dropped(recipe.id, recipe.title, recipe.partition, reason) if reason else None

    def _encode(self, recipe: Recipe) -> Encoded | Dropped:
        ingredient_ids = words.ingredient_ids(recipe.names, self.ids)
        if reason := filters.many_ingredients(ingredient_ids, self.options):
            return Dropped(recipe.id, recipe.title, recipe.partition, reason)
        if self.options.splits_unknown_ingredients:  # after the filter, which counts known names only
            ingredient_ids = words.ingredient_ids(recipe.names, self.ids, split_unknown=True)
        phrases = words.sure_phrases(recipe.names, recipe.valid)
        lines = [words.instruction_words(line, phrases) for line in recipe.instructions]
        sentences = [words.word_ids(line, self.ids, self.unknown_id) for line in lines]
        with_unknown = (line for line, ids in zip(lines, sentences, strict=True) if self.unknown_id in ids)
        unknown_words = [word for line in with_unknown for word in line if word not in self.ids]
        names = [name for name in recipe.names if name.strip()]
        unknown_names = [name for name in names if words.ingredient_word(name) not in self.ids]
        images = [
            find_photo(self.photos, recipe.partition, image_id)
            for image_id in recipe.images[: self.options.images_per_recipe]
        ]
        name_count = len(names) if recipe.names else None
        return encode(recipe, ingredient_ids, sentences, unknown_words, name_count, unknown_names, images)


def encode(
    recipe: Recipe,
    ingredient_ids: Sequence[int],
    sentences: Sequence[Sequence[int]],
    unknown_words: list[str],
    names: int | None,
    unknown_names: list[str],
    images: Sequence[Listed] = (),
    **fields: Any,
) -> Encoded:
    """Encodes a recipe.

    Args:
        recipe: Recipe to encode.
        ingredient_ids: Ingredient ids, of which the last is the end mark.
        sentences: Word ids of each instruction.
        unknown_words, names, unknown_names, images: See `Encoded`.
        **fields: Additional fields of the record.
    """
    lengths = [len(sentence) for sentence in sentences]
    record = {
        "id": recipe.id,
        "title": recipe.title,
        "url": recipe.url,
        "ingredients": recipe.ingredients,
        "instructions": recipe.instructions,
        "ingredient_names": recipe.names,
        "ingredient_ids": ingredient_ids,
        "word_ids": [word for sentence in sentences for word in sentence],
        "sentence_lengths": lengths,
        **fields,
    }
    return Encoded(
        recipe.id,
        recipe.title,
        recipe.partition,
        list(images),
        len(recipe.images) - len(images),
        msgspec.json.encode(record),
        len(recipe.ingredients),
        len(ingredient_ids) - 1,
        lengths,
        unknown_words,
        names,
        unknown_names,
        text_digest(recipe.title, recipe.ingredients, recipe.instructions),
    )
