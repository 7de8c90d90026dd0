"""Reads records: whole batches, with a crop of one photo per row, and single recipes as text and photo.

A damaged row of a batch is reported, marked as unreadable, and filled with zeros.
"""

import dataclasses
import functools
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from adamine_jax.base.cores import map_chunks
from adamine_jax.input.damage import Damage, DamagedRecord
from adamine_jax.input.features import Vectors
from adamine_jax.input.record_index import RecordIndex, RecordReader
from adamine_jax.input.tfrecords import MAX_CLASS_ID, NOT_A_RECIPE, DecodeError, parse_example
from adamine_jax.recipes.crops import Crops
from adamine_jax.recipes.texts import EncodedRecipe, RecipeText

Batch = dict[str, np.ndarray]
"""`image` (B, S, S, 3) uint8, or (B, F) float32 features of photos; `class_id` (B,) int32; `record` (B,) int64, the
record numbers; and the fields of the recipe tower's `make_batch`. In training also `has_image` (B,) bool, False if the
row is damaged; `match` (B,) int32, +1, or −1 if the photo is another recipe's; `image_class_id` (B,) int32, the class
of the photo; and `group` (B,) int32, a digest ≥ 0 of the recipe's text, −1 if the row is damaged. In evaluation
`readable` (B,) bool, False if the row is damaged."""

_NO_PHOTO = "has no photo"
_READ_AHEAD = 256
"""Number of single records that are requested ahead, if they are in an object store."""

RecipeFields = Callable[[Sequence[EncodedRecipe]], Batch]
"""Makes the fields of the recipe tower; see `models.registry.recipe_fields`."""


class Rows(NamedTuple):
    """The rows of a batch to read.

    Attributes:
        numbers: (B,) int64 record numbers.
        photo_records: (B,) int64, the records whose photos are used.
        photos: (B,) int64, which photo of the record.
        uniform: (B, 5) float32 from [0, 1), the random numbers of the crop, of which `crops.random_crops` needs the
            first three unless it draws areas.
        seeds: (B,) uint64, seeds of the changes of the text; None = no changes.
    """

    numbers: np.ndarray
    photo_records: np.ndarray
    photos: np.ndarray
    uniform: np.ndarray
    seeds: np.ndarray | None = None

    def take(self, rows: slice) -> "Rows":
        """Returns some of the rows."""
        seeds = None if self.seeds is None else self.seeds[rows]
        return Rows(self.numbers[rows], self.photo_records[rows], self.photos[rows], self.uniform[rows], seeds)


class BatchReader:
    """Reads batches. Thread-safe.

    Args:
        index: Record index of the split.
        crop: Crops and resizes photos.
        recipe_fields: Makes the fields of the recipe tower; None reads photos only.
        vectors: Precomputed vectors of the split.
        damage: Counts the damaged records.
        with_groups: Whether batches have the field `group`.
        change_text: Changes recipes, given those of the record and the row's seed; None = no changes.
        with_photo: Number of leading records that must have a photo; None = all.
    """

    def __init__(
        self,
        index: RecordIndex,
        crop: Crops,
        recipe_fields: RecipeFields | None = None,
        vectors: Vectors | None = None,
        damage: Damage | None = None,
        with_groups: bool = False,
        change_text: Callable[[EncodedRecipe, int], EncodedRecipe] | None = None,
        with_photo: int | None = None,
    ):
        self._with_photo = len(index) if with_photo is None else with_photo
        self._change_text = change_text
        self._with_groups = with_groups
        self._index, self._crop, self._recipe_fields = index, crop, recipe_fields
        self._vectors = Vectors() if vectors is None else vectors
        self._damage = Damage() if damage is None else damage
        self._records = RecordReader(index)

    def __call__(self, rows: Rows) -> tuple[Batch, np.ndarray]:
        """Reads a batch.

        Returns:
            (batch, (B,) bool, whether recipe and photo could be read).

        Raises:
            UserError: Too many records are damaged.
        """
        recipes, readable = [EncodedRecipe()] * len(rows.numbers), np.zeros(len(rows.numbers), bool)
        class_id = np.zeros(len(recipes), np.int32)
        group = np.full(len(recipes), -1, np.int32)
        size = self._crop.size if self._vectors.photos is None else 0
        crops = np.zeros((len(recipes), size, size, 3), np.uint8)

        def read(chunk: range) -> None:
            # One row at a time, so that its photo stays in the core's cache.
            for row in chunk:
                number, photo_record = rows.numbers[row], rows.photo_records[row]
                fields = self._read(number)
                if fields is not None:
                    recipes[row], class_id[row] = self._recipe(fields, number)
                    if self._change_text is not None and rows.seeds is not None:
                        recipes[row] = self._change_text(recipes[row], int(rows.seeds[row]))
                    group[row] = _text_digest(fields) if self._with_groups else -1
                photo_fields = fields if photo_record == number or not size else self._read(photo_record)
                if fields is not None and photo_fields is not None and number < self._with_photo:
                    readable[row] = not size or self._cut(rows, row, photo_fields, crops[row])

        map_chunks(read, len(recipes))
        batch = {"record": rows.numbers, "class_id": class_id, "image": crops}
        if self._with_groups:
            batch["group"] = group
        if self._recipe_fields is not None:
            batch |= self._recipe_fields(recipes)
        if self._vectors.photos is not None:
            batch["image"], has_features = self._photo_features(rows)
            readable &= has_features
        return batch, readable

    def read_ahead(self, rows: Rows) -> None:
        """Requests the records of these rows from the object store that they are in, if they are in one."""
        others = rows.photo_records[rows.photo_records != rows.numbers]
        self._records.read_ahead(np.concatenate([rows.numbers, others if self._vectors.photos is None else others[:0]]))

    def close(self) -> None:
        """Closes the shards."""
        self._records.close()

    def _read(self, number: int) -> Mapping[str, Any] | None:
        return _read_fields(self._records, self._index, number, self._damage)

    def _recipe(self, fields: Mapping[str, Any], number: int) -> tuple[EncodedRecipe, int]:
        """Returns the recipe of a record in the form that recipe towers read, and its class."""
        vectors = None if self._vectors.sentences is None else self._vectors.sentences(number)
        given = None if self._vectors.recipes is None else self._vectors.recipes(number)
        tokens = None if self._vectors.tokens is None else self._vectors.tokens(number)
        recipe = dataclasses.replace(_encoded(fields), sentence_vectors=vectors, vectors=given, tokens=tokens)
        return recipe, next(iter(fields["class_id"].int64_list.value), 0)

    def _cut(self, rows: Rows, row: int, fields: Mapping[str, Any], crop: np.ndarray) -> bool:
        """Writes the crop of a row's photo to `crop`, (S, S, 3). Returns False if it is damaged, which is reported."""
        number, photo, photos = rows.photo_records[row], rows.photos[row], fields["images"].bytes_list.value
        if photo >= len(photos):
            reason = _NO_PHOTO
        elif self._crop.cut(photos[photo], rows.uniform[row], crop):
            return True
        else:
            photo_id = self._index.photo_ids[self._index.first_photo[number] + photo].decode()
            reason = f"photo {photo_id} cannot be decoded"
        self._damage.report(self._index.damaged(number, reason))
        return False

    def _photo_features(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Returns (B, F) float32 features of the photos, zeros if missing, and (B,) bool, which are not missing."""
        photos, first = self._vectors.photos, self._index.first_photo
        assert photos is not None
        has_photo = rows.photos < first[rows.photo_records + 1] - first[rows.photo_records]
        features = np.full((len(has_photo), photos.values.shape[1]), np.nan, np.float32)
        chosen = first[rows.photo_records] + rows.photos
        features[has_photo] = photos(chosen[has_photo], rows.uniform[has_photo, 0])
        is_missing = np.isnan(features).all(axis=1)
        undecoded = f"a photo has no features in {photos.source}, because it could not be decoded"
        for number, has_any in zip(rows.photo_records[is_missing], has_photo[is_missing], strict=True):
            if number >= self._with_photo:
                continue
            self._damage.report(self._index.damaged(number, undecoded if has_any else _NO_PHOTO))
        features[is_missing] = 0
        return features, np.asarray(~is_missing)


def _read_fields(records: RecordReader, index: RecordIndex, number: int, damage: Damage) -> Mapping[str, Any] | None:
    """Returns the fields of a record; None if it is damaged, which is reported."""
    try:
        fields = parse_example(records.read(number))
        if not _is_recipe(fields):
            raise DecodeError
        return fields
    except DamagedRecord as error:
        damaged = error
    except DecodeError:
        damaged = index.damaged(number, NOT_A_RECIPE)
    damage.report(damaged)
    return None


def _text_digest(fields: Mapping[str, Any]) -> int:
    """A checksum below 2³¹ of the title, the ingredients and the instructions."""
    lines = (line for name in ("title", "ingredients", "instructions") for line in fields[name].bytes_list.value)
    return zlib.crc32(b"\n".join(lines).lower()) >> 1


def _is_recipe(fields: Mapping[str, Any]) -> bool:
    """Whether the class is in range and the sentence lengths add up to the number of words."""
    if any(abs(class_id) > MAX_CLASS_ID for class_id in fields["class_id"].int64_list.value):
        return False
    lengths = fields["sentence_lengths"].int64_list.value
    return min(lengths, default=0) >= 0 and sum(lengths) == len(fields["word_ids"].int64_list.value)


@dataclasses.dataclass(frozen=True)
class StoredRecipe:
    """The text, class and first photo of a recipe.

    Attributes:
        text: Title, ingredient lines, instructions and id.
        class_id: Class, 0 = background.
        photo: The first photo, a JPEG file; None without photos.
    """

    text: RecipeText
    class_id: int
    photo: bytes | None


def read_recipes(index: RecordIndex, numbers: np.ndarray, damage: Damage) -> Iterator[StoredRecipe | None]:
    """Yields the recipes of the records with these numbers, in order; None for a damaged one, which is reported."""
    for fields in _read_all(index, numbers, damage):
        if fields is None:
            yield None
            continue
        class_id = next(iter(fields["class_id"].int64_list.value), 0)
        photo = next(iter(fields["images"].bytes_list.value), None)
        yield StoredRecipe(recipe_text(fields), class_id, photo)


def read_encoded(index: RecordIndex, numbers: np.ndarray, damage: Damage) -> Iterator[EncodedRecipe]:
    """Yields the recipes of the records with these numbers, without given vectors; skips and reports damaged ones."""
    return (_encoded(fields) for fields in _read_all(index, numbers, damage) if fields is not None)


def read_groups(index: RecordIndex, numbers: np.ndarray, damage: Damage) -> np.ndarray:
    """Returns (n,) int32 digests of the texts of these records, as `Batch` has in `group`."""
    found = _read_all(index, numbers, damage)
    return np.array([-1 if fields is None else _text_digest(fields) for fields in found], np.int32)


def _read_all(index: RecordIndex, numbers: np.ndarray, damage: Damage) -> Iterator[Mapping[str, Any] | None]:
    reader = RecordReader(index)
    try:
        for first in range(0, len(numbers), _READ_AHEAD):
            reader.read_ahead(numbers[first + _READ_AHEAD * (first > 0) : first + 2 * _READ_AHEAD])
            for number in numbers[first : first + _READ_AHEAD]:
                yield _read_fields(reader, index, number, damage)
    finally:
        reader.close()


def _encoded(fields: Mapping[str, Any]) -> EncodedRecipe:
    names = ("ingredient_ids", "word_ids", "sentence_lengths")
    ids = (np.fromiter(fields[name].int64_list.value, np.int64) for name in names)
    return EncodedRecipe(*ids, text=functools.partial(recipe_text, fields))


def recipe_text(fields) -> RecipeText:
    """Returns the text of a record, given its fields."""

    def lines(name: str) -> tuple[str, ...]:
        return tuple(value.decode("utf-8", errors="replace") for value in fields[name].bytes_list.value)

    return RecipeText(
        title=next(iter(lines("title")), ""),
        ingredients=lines("ingredients"),
        instructions=lines("instructions"),
        id=next(iter(lines("id")), ""),
    )
