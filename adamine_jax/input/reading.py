"""Reads whole batches: the records of their rows, the texts, and a crop of one photo each.

A row that is damaged is reported, marked, and left empty.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from adamine_jax.base.cores import map_chunks
from adamine_jax.input.damage import Damage, DamagedRecord
from adamine_jax.input.examples import DecodeError, features_of
from adamine_jax.input.features import Vectors
from adamine_jax.input.records import RecordIndex, RecordReader
from adamine_jax.input.shards import MOST_CLASSES
from adamine_jax.recipes import crops as images
from adamine_jax.recipes.texts import EncodedRecipe, RecipeText

Batch = dict[str, np.ndarray]
"""`image` (B, S, S, 3) uint8, or (B, F) float32 features of photos; `class_id` (B,) int32; `record` (B,) int64, the
record numbers; and the fields that the recipe tower's `make_batch` makes. In training also `has_image` (B,) bool;
`match` (B,) int32, +1, or −1 where the photo is another recipe's; and `image_class_id` (B,) int32, the photo's class.
In evaluation `readable` (B,) bool, False where a row is empty because its record is damaged."""

RecipeFields = Callable[[Sequence[EncodedRecipe]], Batch]
"""Makes the fields of the recipe tower; see `models.registry.recipe_fields`."""


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
        recipe_fields: makes the recipe tower's fields; None = no recipes are wanted.
        vectors: of the split.
        damage: takes the damaged records.
    """

    def __init__(
        self,
        index: RecordIndex,
        crop: images.Crops,
        recipe_fields: RecipeFields | None,
        vectors: Vectors,
        damage: Damage,
    ):
        self._index, self._crop, self._vectors, self._damage = index, crop, vectors, damage
        self._recipe_fields = recipe_fields
        self._records = RecordReader(index)

    def __call__(self, rows: Rows) -> tuple[Batch, np.ndarray, np.ndarray]:
        """Reads a batch.

        Returns:
            (batch, (B,) whether the recipe can be read, (B,) whether the photo can). What cannot is zeros.

        Raises:
            UserError: too many records are damaged.
        """
        recipes, has_recipe = [EncodedRecipe()] * len(rows.numbers), np.zeros(len(rows.numbers), bool)
        class_id = np.zeros(len(recipes), np.int32)
        side = self._crop.size if self._vectors.photos is None else 0
        crops, has_photo = np.zeros((len(recipes), side, side, 3), np.uint8), np.zeros(len(recipes), bool)

        def read(chunk: range) -> None:
            # All of a row at once, while its photo is in the core's cache.
            for row in chunk:
                number, lender = rows.numbers[row], rows.lenders[row]
                features = self._features(number)
                if features is not None:
                    recipes[row], class_id[row] = self._recipe(features, number)
                    has_recipe[row] = True
                if side:
                    lent = features if lender == number else self._features(lender)
                    has_photo[row] = lent is not None and self._cut(rows, row, lent, crops[row])

        map_chunks(read, len(recipes))
        batch = {"record": rows.numbers, "class_id": class_id}
        if self._recipe_fields is not None:
            batch |= self._recipe_fields(recipes)
        if self._vectors.photos is not None:
            batch["image"], has_photo = self._vectors_of_photos(rows)
        else:
            batch["image"] = crops
        return batch, has_recipe, has_photo

    def close(self) -> None:
        """Closes the shards."""
        self._records.close()

    def _features(self, number: int) -> Mapping[str, Any] | None:
        """What a record holds; None: it is damaged, which is reported."""
        try:
            features = features_of(self._records.read(number))
            if not _is_recipe(features):
                raise DecodeError
            return features
        except DamagedRecord as error:
            damaged = error
        except DecodeError:
            damaged = self._index.damaged(number, "not the record of a recipe")
        self._damage.report(damaged)
        return None

    def _recipe(self, features: Mapping[str, Any], number: int) -> tuple[EncodedRecipe, int]:
        """A record as recipe towers get it, and its class."""
        names = ("ingredient_ids", "word_ids", "sentence_lengths")
        ids = (np.fromiter(features[name].int64_list.value, np.int64) for name in names)
        vectors = None if self._vectors.sentences is None else self._vectors.sentences(number)
        recipe = EncodedRecipe(*ids, sentence_vectors=vectors, text=functools.partial(_text, features))
        return recipe, next(iter(features["class_id"].int64_list.value), 0)

    def _cut(self, rows: Rows, row: int, features: Mapping[str, Any], crop: np.ndarray) -> bool:
        """Cuts a row's photo into `crop`, (S, S, 3); False: it cannot be, which is reported."""
        number, chosen, photos = rows.lenders[row], rows.chosen[row], features["images"].bytes_list.value
        if chosen >= len(photos):
            reason = "has no photo"
        elif self._crop.cut(photos[chosen], rows.uniform[row], crop):
            return True
        else:
            photo = self._index.photo_ids[self._index.first_photo[number] + chosen].decode()
            reason = f"its photo {photo} cannot be decoded"
        self._damage.report(self._index.damaged(number, reason))
        return False

    def _vectors_of_photos(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """(B, F) float32 features of the chosen photos, and which of these could be decoded when they were made."""
        photos = self._vectors.photos
        assert photos is not None
        features = photos(self._index.first_photo[rows.lenders] + rows.chosen, rows.uniform[:, 0])
        has_photo = np.asarray(~np.isnan(features).all(axis=1))
        for number in rows.lenders[~has_photo]:
            reason = f"a photo of it could not be decoded for {photos.source}"
            self._damage.report(self._index.damaged(number, reason))
        return _spread(features[has_photo], has_photo), has_photo


def _spread(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Puts values in the rows that are True, and zeros in the others."""
    if rows.all():
        return values
    spread = np.zeros((len(rows), *values.shape[1:]), values.dtype)
    spread[rows] = values
    return spread


def _is_recipe(features: Mapping[str, Any]) -> bool:
    """Whether its class can be one, and its sentences are those of its words."""
    if any(abs(class_id) > MOST_CLASSES for class_id in features["class_id"].int64_list.value):
        return False
    lengths = features["sentence_lengths"].int64_list.value
    return min(lengths, default=0) >= 0 and sum(lengths) == len(features["word_ids"].int64_list.value)


def _text(features: Mapping[str, Any]) -> RecipeText:
    def lines(name: str) -> tuple[str, ...]:
        return tuple(value.decode("utf-8", errors="replace") for value in features[name].bytes_list.value)

    return RecipeText(
        title=next(iter(lines("title")), ""),
        ingredients=lines("ingredients"),
        instructions=lines("instructions"),
        id=next(iter(lines("id")), ""),
    )
