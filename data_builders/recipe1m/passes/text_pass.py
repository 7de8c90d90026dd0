"""What the text alone says about each record of layer 1, block by block: done by whichever process is free."""

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
from data_builders.recipe1m.passes.photo_places import Listed, find_photo
from data_builders.recipe1m.recipes import Recipe, Unusable


class Named(NamedTuple):
    """What a report says of a recipe."""

    id: str
    title: str
    partition: str


class Dropped(msgspec.Struct, tag=True, array_like=True, gc=False):
    """A recipe that is left out without a look at its photos."""

    id: str
    title: str
    partition: str
    reason: str


class Encoded(msgspec.Struct, tag=True, array_like=True, gc=False):
    """A recipe that passed the filter.

    Attributes:
        id, title, partition: as those of a `Recipe`.
        images: the photos that it lists, as many as are used.
        images_beyond: how many more it lists.
        record: JSON of what is stored of it, but for its photos and perhaps its class.
        ingredient_lines: how many it has.
        known_ingredients: how many of its ingredients the vocabulary has.
        sentence_lengths: words of each instruction.
        unknown_words: words of the instructions that the vocabulary lacks.
        names: how many ingredient names that are not empty were detected; None: its ingredients were not.
        unknown_names: those that the vocabulary lacks.
        text_digest: of its text, see `duplicates.text_digest`.
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


Fate = Encoded | Dropped | Unusable


class Decided(msgspec.Struct, array_like=True, gc=False):
    """What becomes of the records of a block, and the tokens of the titles that count for the classes, if they do."""

    fates: list[Fate]
    tokens: list[list[str]]

    def __reduce__(self) -> tuple[Callable[[bytes], "Decided"], tuple[bytes]]:
        # Measured: 0.4 of the time that pickle takes to write so many small things, and half of it to read them.
        return _decided, (msgspec.msgpack.encode(self),)


_DECIDED = msgspec.msgpack.Decoder(Decided)


def _decided(text: bytes) -> Decided:
    return _DECIDED.decode(text)


@dataclasses.dataclass(frozen=True)
class ReadWords:
    """What word2vec is to read: the records, of each the sentences, a line each, and the counts of all words.

    Attributes:
        layers: the download.
        split_names: see `words.training_sentences`.
    """

    layers: Layers
    split_names: bool

    def __call__(self, block: Block) -> tuple[list[Named | Unusable], list[str], collections.Counter[str]]:
        records, texts, counts = [], [], collections.Counter()
        for record in self.layers.read(block, _not_for_training):
            text = []
            if isinstance(record, Recipe):
                for sentence in words.training_sentences(
                    record.names, record.valid, record.instructions, split_names=self.split_names
                ):
                    counts.update(sentence)
                    if sentence:
                        text.append(" ".join(sentence) + "\n")
                record = Named(record.id, record.title, record.partition)
            records.append(record)
            texts.append("".join(text))
        return records, texts, counts


def _not_for_training(recipe: Recipe) -> Named | None:
    return None if recipe.partition == "train" else Named(recipe.id, recipe.title, recipe.partition)


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
        photos: the folder with the photos.
        images_per_recipe: so many of those that it lists, the first ones, are used.
    """

    layers: Layers
    ids: dict[str, int]
    unknown_id: int
    removed: frozenset[str]
    partitions: tuple[str, ...]
    without_photos: bool
    split_unknown: bool
    photos: Path
    images_per_recipe: int

    def __call__(self, block: Block) -> Decided:
        records = self.layers.read(block, self._dropped)
        fates = [self._fate(record) if isinstance(record, Recipe) else record for record in records]
        tokens = [
            title_tokens(fate.title) if not isinstance(fate, Unusable) and fate.partition == "train" else []
            for fate in fates
        ]
        return Decided(fates, tokens)

    def _dropped(self, recipe: Recipe) -> Dropped | None:
        """What becomes of a recipe that is left out, whatever its ingredients are."""
        reason = filters.NOT_ASKED_FOR if recipe.partition not in self.partitions else None
        reason = reason or filters.reason_to_drop(recipe, self.removed, self.without_photos)
        return Dropped(recipe.id, recipe.title, recipe.partition, reason) if reason else None

    def _fate(self, recipe: Recipe) -> Encoded | Dropped:
        ingredient_ids = words.ingredient_ids(recipe.names, self.ids)
        if reason := filters.many_ingredients(ingredient_ids):
            return Dropped(recipe.id, recipe.title, recipe.partition, reason)
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
        names = len(named) if recipe.names else None
        used = recipe.images[: self.images_per_recipe]
        images = [find_photo(self.photos, recipe.partition, image_id) for image_id in used]
        return encode(recipe, ingredient_ids, sentences, unknown_words, names, unknown_names, images)


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
    """A recipe as it waits for its photos.

    Args:
        recipe: its texts.
        ingredient_ids: the end mark is the last.
        sentences: the word ids of its instructions.
        unknown_words, names, unknown_names, images: see `Encoded`.
        **fields: of the record, in addition.
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
