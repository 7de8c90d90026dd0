"""Reads whole batches: the records of their rows, the texts, and a crop of one photo each.

A row that is damaged is reported, marked, and left empty.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from adamine_jax.input import images, text
from adamine_jax.input.damage import Damage, DamagedRecord
from adamine_jax.input.examples import DecodeError, features_of
from adamine_jax.input.features import Vectors
from adamine_jax.input.records import RecordIndex, RecordReader

Batch = dict[str, np.ndarray]
"""`image` (B, S, S, 3) uint8, or (B, F) float32 features of photos; `ingredients` (B, 20) int32, `words` (B, S, W)
int32, `num_sentences` (B,) int32 ≤ S, `class_id` (B,) int32, `record` (B,) int64: the record numbers. Where given
`sentence_vectors` (B, S, D) float32. In training also `match` (B,) int32, +1, or −1 where the photo is another
recipe's, and `image_class_id` (B,) int32, the photo's class; in evaluation `readable` (B,) bool, False where a row is
empty because its record is damaged."""


class Rows(NamedTuple):
    """Rows of a batch that are to be read.

    Attributes:
        numbers: (B,) int64, of the records.
        lenders: (B,) int64, the records whose photos they get.
        chosen: (B,) int64, which of these photos.
        uniform: (B, 3) float32 from [0, 1), for the crop.
    """

    numbers: np.ndarray
    lenders: np.ndarray
    chosen: np.ndarray
    uniform: np.ndarray


class BatchReader:
    """Reads batches, from any thread.

    Args:
        index: of the split.
        crop: of `images`.
        model: `config.model`; reads `max_sentences` and `max_words`. None = no texts are wanted.
        vectors: of the split.
        damage: takes the damaged records.
    """

    def __init__(self, index: RecordIndex, crop: images.Crops, model: Any, vectors: Vectors, damage: Damage):
        self._index, self._crop, self._model, self._vectors, self._damage = index, crop, model, vectors, damage
        self._records = RecordReader(index)

    def __call__(self, rows: Rows) -> tuple[Batch, np.ndarray, np.ndarray]:
        """Reads a batch.

        Returns:
            (batch, (B,) whether the recipe can be read, (B,) whether the photo can). What cannot is zeros.

        Raises:
            UserError: too many records are damaged.
        """
        texts, photos, has_recipe = self._parsed(rows.numbers)
        batch = {"record": rows.numbers} | texts
        if self._vectors.photos is not None:
            batch["image"], has_photo = self._features(rows)
        else:
            is_whole = has_recipe
            if not np.array_equal(rows.numbers, rows.lenders):
                _, photos, is_whole = self._parsed(rows.lenders, with_texts=False)
            batch["image"], has_photo = self._crops(rows, photos, is_whole)
        if self._vectors.sentences is not None:
            batch |= self._vectors.sentences(rows.numbers, self._model.max_sentences)
        return batch, has_recipe, has_photo

    def close(self) -> None:
        """Closes the shards."""
        self._records.close()

    def _parsed(self, numbers: np.ndarray, with_texts: bool = True) -> tuple[Batch, list[Sequence[bytes]], np.ndarray]:
        """The texts of records and their photos, and which of the records are whole; the others are empty."""
        recipes, is_whole = [_NOTHING] * len(numbers), np.ones(len(numbers), bool)
        for row, number in enumerate(numbers):
            try:
                recipes[row] = _recipe(self._index, number, self._records.read(number))
            except DamagedRecord as damaged:
                self._damage.report(damaged)
                is_whole[row] = False
        texts = _texts(recipes, self._model) if with_texts and self._model is not None else {}
        return texts, [recipe.photos for recipe in recipes], is_whole

    def _crops(self, rows: Rows, photos: list[Sequence[bytes]], is_whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, S, S, 3) uint8 crops of the chosen photos, and which of these can be decoded."""
        has_photo = np.array([chosen < len(own) for own, chosen in zip(photos, rows.chosen, strict=True)])
        for number in rows.lenders[is_whole & ~has_photo]:
            self._damage.report(self._index.damaged(number, "has no photo"))
        there = np.flatnonzero(has_photo)
        jpegs = [photos[row][rows.chosen[row]] for row in there]
        crops, is_decoded = self._crop(jpegs, rows.uniform[has_photo])
        for row in there[~is_decoded]:
            number = rows.lenders[row]
            photo = self._index.photo_ids[self._index.first_photo[number] + rows.chosen[row]].decode()
            self._damage.report(self._index.damaged(number, f"its photo {photo} cannot be decoded"))
        crops = _spread(crops, has_photo)
        has_photo[there] = is_decoded
        return crops, has_photo

    def _features(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """(B, F) float32 features of the chosen photos, and which of these could be decoded when they were made."""
        features = self._vectors.photos(self._index.first_photo[rows.lenders] + rows.chosen, rows.uniform[:, 0])
        has_photo = ~np.isnan(features).all(axis=1)
        for number in rows.lenders[~has_photo]:
            reason = f"a photo of it could not be decoded for {self._vectors.photos.source}"
            self._damage.report(self._index.damaged(number, reason))
        return _spread(features[has_photo], has_photo), has_photo


def _spread(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Puts values in the rows that are True, and zeros in the others."""
    if rows.all():
        return values
    spread = np.zeros((len(rows), *values.shape[1:]), values.dtype)
    spread[rows] = values
    return spread


class _Recipe(NamedTuple):
    """What batches hold of a record."""

    class_id: int
    ingredient_ids: np.ndarray
    word_ids: np.ndarray
    sentence_lengths: np.ndarray
    photos: Sequence[bytes]


_NOTHING = _Recipe(0, *[np.zeros(0, np.int64)] * 3, ())


def _recipe(index: RecordIndex, number: int, payload: bytes) -> _Recipe:
    """The recipe of a record.

    Raises:
        DamagedRecord: it is none, whatever its checksum says.
    """
    try:
        features = features_of(payload)
        ids, words, lengths = (
            np.fromiter(features[name].int64_list.value, np.int64)
            for name in ("ingredient_ids", "word_ids", "sentence_lengths")
        )
        class_id = next(iter(features["class_id"].int64_list.value), 0)
        photos = features["images"].bytes_list.value
    except DecodeError:
        raise index.damaged(number, "not the record of a recipe") from None
    if lengths.sum() != len(words) or not ((0 <= lengths) & (lengths <= len(words))).all():
        raise index.damaged(number, "not the record of a recipe")
    return _Recipe(class_id, ids, words, lengths, photos)


def _texts(recipes: Sequence[_Recipe], model: Any) -> Batch:
    lengths = [recipe.sentence_lengths for recipe in recipes]
    words = [recipe.word_ids for recipe in recipes]
    return {
        "ingredients": text.pad_ingredients([recipe.ingredient_ids for recipe in recipes]),
        "words": text.pad_sentences(words, lengths, model.max_sentences, model.max_words),
        "num_sentences": np.minimum([len(sentences) for sentences in lengths], model.max_sentences).astype(np.int32),
        "class_id": np.array([recipe.class_id for recipe in recipes], np.int32),
    }
