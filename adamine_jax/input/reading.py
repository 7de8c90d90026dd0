"""Reads whole batches: the records of their rows, the texts, and a crop of one photo each.

A row that is damaged is reported, marked, and left empty.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from adamine_jax.input import images, text
from adamine_jax.input.damage import Damage, DamagedRecord
from adamine_jax.input.features import Vectors
from adamine_jax.input.host_tensorflow import REFUSALS, tf
from adamine_jax.input.records import RecordIndex, RecordReader

_ragged = functools.partial(tf.io.RaggedFeature, row_splits_dtype=tf.int64)

FEATURES = {
    "class_id": tf.io.FixedLenFeature([], tf.int64, default_value=0),
    "ingredient_ids": _ragged(tf.int64),
    "word_ids": _ragged(tf.int64),
    "sentence_lengths": _ragged(tf.int64),
    "images": _ragged(tf.string),
}

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

    def _parsed(self, numbers: np.ndarray, with_texts: bool = True) -> tuple[Batch, tf.RaggedTensor, np.ndarray]:
        """The texts of records and their photos, and which of the records are whole; the others are empty."""
        model = self._model if with_texts else None
        parse = _parser(model.max_sentences, model.max_words) if model is not None else _parser(0, 0)
        payloads, is_whole = np.full(len(numbers), b"", object), np.ones(len(numbers), bool)

        def leave_out(row: int, damaged: DamagedRecord) -> None:
            self._damage.report(damaged)
            payloads[row], is_whole[row] = b"", False

        for row, number in enumerate(numbers):
            try:
                payloads[row] = self._records.read(number)
            except DamagedRecord as damaged:
                leave_out(row, damaged)
        try:
            texts, photos = parse(tf.constant(payloads))
        except REFUSALS:
            for row in _faults(parse, tf.constant(payloads)):
                leave_out(row, self._index.damaged(numbers[row], "not the record of a recipe"))
            texts, photos = parse(tf.constant(payloads))
        return {name: _array(values) for name, values in texts.items()}, photos, is_whole

    def _crops(self, rows: Rows, photos: tf.RaggedTensor, is_whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, S, S, 3) uint8 crops of the chosen photos, and which of these can be decoded."""
        places = photos.row_starts().numpy() + rows.chosen
        has_photo = places < photos.row_limits().numpy()
        for number in rows.lenders[is_whole & ~has_photo]:
            self._damage.report(self._index.damaged(number, "has no photo"))
        jpegs = tf.gather(photos.flat_values, places[has_photo]).numpy()
        crops, is_decoded = self._crop(jpegs, rows.uniform[has_photo])
        there = np.flatnonzero(has_photo)
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


def _faults(parse: Callable, payloads: tf.Tensor) -> list[int]:
    """The rows that the parsing of whole batches refuses."""
    rows = []
    for row in range(len(payloads)):
        try:
            parse(payloads[row : row + 1])
        except REFUSALS:
            rows.append(row)
    return rows


def _array(tensor: tf.Tensor) -> np.ndarray:
    """A tensor's own memory, read-only: `numpy()` would copy 15 MB of photos."""
    return np.asarray(memoryview(tensor))


@functools.cache
def _parser(max_sentences: int, max_words: int) -> Callable[[Any], tuple[dict[str, tf.Tensor], tf.RaggedTensor]]:
    """Compiles the parsing of (B,) records into their padded texts, unless these are cut to nothing, and photos."""

    @tf.function(input_signature=(tf.TensorSpec((None,), tf.string),), autograph=False)
    def parse(payloads: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.RaggedTensor]:
        recipe = tf.io.parse_example(payloads, FEATURES)
        return _texts(recipe, max_sentences, max_words) if max_sentences else {}, recipe["images"]

    return parse.get_concrete_function()


def _texts(recipe: dict[str, Any], max_sentences: int, max_words: int) -> dict[str, tf.Tensor]:
    return {
        "ingredients": text.pad_ingredients(recipe["ingredient_ids"]),
        "words": text.pad_sentences(recipe["word_ids"], recipe["sentence_lengths"], max_sentences, max_words),
        "num_sentences": tf.minimum(tf.cast(recipe["sentence_lengths"].row_lengths(), tf.int32), max_sentences),
        "class_id": tf.cast(recipe["class_id"], tf.int32),
    }
