"""Batches of photos and recipes, from the records of a split to the devices of a mesh."""

import collections
import functools
import os
from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
import tensorflow as tf
from jax.sharding import NamedSharding, PartitionSpec

from adamine_jax.errors import UserError
from adamine_jax.input import images, text
from adamine_jax.input.features import Vectors
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
recipe's, and `image_class_id` (B,) int32, the photo's class."""


def train_batches(
    index: RecordIndex,
    plan: np.ndarray,
    *,
    first_step: int,
    rows: slice,
    seed: int,
    data,
    model,
    vectors: Vectors | None = None,
) -> Iterator[Batch]:
    """This process's rows of the planned batches, with a random photo of each recipe, randomly cropped.

    What is random depends on (seed, step, row of the global batch) alone: not on the number of processes, nor on
    where a run was interrupted.

    Args:
        index: of the train split.
        plan: (steps, B) record numbers of the global batches, of one epoch or several.
        first_step: number of the first of them, counted from the start of training.
        rows: this process's rows of the global batch.
        seed: of the run.
        data: `config.data`; reads `image_size`, `resize`, `flip`, `mismatch` and `shuffle_photos`.
        model: `config.model`; reads `max_sentences` and `max_words`.
        vectors: of the split.

    Yields:
        Batches of host arrays; see `Batch`.
    """
    batch_size = plan.shape[1]
    lender_of = _lenders(index, seed, data)
    first_photo = tf.constant(index.first_photo)

    def draw(numbers: tf.Tensor, step: tf.Tensor) -> _Rows:
        key = tf.stack([tf.cast(seed, tf.int64), step])
        uniform = tf.random.stateless_uniform((batch_size, 4), seed=key)[rows]
        lenders = numbers if lender_of is None else tf.gather(tf.constant(lender_of), numbers)
        if data.mismatch:
            whether, which = (tf.random.experimental.stateless_fold_in(key, number) for number in (1, 2))
            is_mismatched = tf.random.stateless_uniform((batch_size,), whether)[rows] < data.mismatch
            ahead = tf.random.stateless_uniform((batch_size,), which, 1, len(index), tf.int64)[rows]
            lenders = tf.where(is_mismatched, (numbers + ahead) % len(index), lenders)  # never the recipe itself
        photos = tf.cast(tf.gather(first_photo, lenders + 1) - tf.gather(first_photo, lenders), tf.float32)
        return _Rows(numbers, lenders, tf.cast(uniform[:, 0] * photos, tf.int64), uniform[:, 1:])

    def crop(jpeg: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        return images.random_crop(jpeg, uniform, resize=data.resize, size=data.image_size, flip=data.flip)

    steps = np.arange(first_step, first_step + len(plan), dtype=np.int64)
    batches = tf.data.Dataset.from_tensor_slices((plan[:, rows].astype(np.int64), steps)).map(draw)
    lent = bool(data.mismatch) or data.shuffle_photos
    for batch in _read(index, batches, crop, model, vectors or Vectors(), lent):
        lenders = batch.pop("lender")
        is_own = batch["record"] == lenders if data.mismatch else np.ones(len(lenders), bool)
        batch["match"] = np.where(is_own, 1, -1).astype(np.int32)
        batch["image_class_id"] = np.where(is_own, batch["class_id"], index.class_id[lenders]).astype(np.int32)
        yield batch


def evaluation_batches(
    index: RecordIndex,
    numbers: np.ndarray,
    *,
    batch_size: int,
    rows: slice,
    data,
    model,
    vectors: Vectors | None = None,
    times: int = 1,
) -> Iterator[Batch]:
    """Every recipe once, in the order given, with the central crop of its first photo; nothing is random.

    Args:
        index: of the split.
        numbers: (N,) record numbers.
        batch_size: B, rows of a global batch. The last one is filled up with repetitions of its last recipe.
        rows: this process's rows of the global batch.
        data: `config.data`; reads `image_size` and `resize`.
        model: `config.model`; reads `max_sentences` and `max_words`.
        vectors: of the split.
        times: goes through all of it so many times: setting up costs more than a small split.

    Yields:
        Batches of host arrays; see `Batch`. The first N rows of the global batches, put one after the other, are
        the recipes asked for.
    """
    steps = -(-len(numbers) // batch_size)
    padded = np.pad(numbers, (0, steps * batch_size - len(numbers)), mode="edge").reshape(steps, batch_size)
    numbers = padded[:, rows].astype(np.int64)
    zeros = np.zeros(numbers.shape, np.int64)

    def crop(jpeg: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        return images.center_crop(jpeg, resize=data.resize, size=data.image_size)

    batches = tf.data.Dataset.from_tensor_slices(
        _Rows(numbers, numbers, zeros, np.zeros((*numbers.shape, 3), np.float32))
    ).repeat(times)
    for batch in _read(index, batches, crop, model, vectors or Vectors()):
        del batch["lender"]
        yield batch


def photo_batches(
    index: RecordIndex, photos: np.ndarray, draws: np.ndarray | None, *, batch_size: int, rows: slice, data
) -> Iterator[np.ndarray]:
    """Crops of photos by their numbers.

    Args:
        index: of the split.
        photos: (N,) numbers of photos, as `RecordIndex.first_photo` counts them.
        draws: (N, 3) float32 from [0, 1), of the crop as `images.random_crop` takes them; None = central crops.
        batch_size: B; the last batch is filled up with repetitions.
        rows: this process's rows of a batch.
        data: `config.data`; reads `image_size`, `resize` and `flip`.

    Yields:
        (B, S, S, 3) uint8.
    """
    steps = -(-len(photos) // batch_size)
    places = np.minimum(np.arange(steps * batch_size), len(photos) - 1).reshape(steps, batch_size)[:, rows]
    numbers = np.searchsorted(index.first_photo, photos, side="right") - 1
    chosen = photos - index.first_photo[numbers]
    uniform = np.zeros((len(photos), 3), np.float32) if draws is None else draws

    def crop(jpeg: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        if draws is None:
            return images.center_crop(jpeg, resize=data.resize, size=data.image_size)
        return images.random_crop(jpeg, uniform, resize=data.resize, size=data.image_size, flip=data.flip)

    batches = tf.data.Dataset.from_tensor_slices(
        _Rows(numbers[places], numbers[places], chosen[places], uniform[places])
    )
    for batch in _read(index, batches, crop, None, Vectors()):
        yield batch["image"]


class _Rows(NamedTuple):
    """Rows of a batch that are to be read.

    Attributes:
        numbers: (B,) int64, of the records.
        lenders: (B,) int64, the records whose photos they get.
        chosen: (B,) int64, which of these photos.
        uniform: (B, 3) float32 from [0, 1), for the crop.
    """

    numbers: Any
    lenders: Any
    chosen: Any
    uniform: Any


def _lenders(index: RecordIndex, seed: int, data) -> np.ndarray | None:
    """With `data.shuffle_photos`, (N,) the record that lends each record its photos: the control experiment."""
    return np.random.default_rng([seed, len(index)]).permutation(len(index)) if data.shuffle_photos else None


def _read(
    index: RecordIndex, batches: tf.data.Dataset, crop, model, vectors: Vectors, lent: bool = False
) -> Iterator[Batch]:
    """Reads, parses, decodes and crops batches of `_Rows`.

    The photos are those of the lenders, which are the records themselves unless `lent`. Without a `model` no texts
    are parsed.
    """
    reader = RecordReader(index)
    errors: list[UserError] = []

    def read(numbers: np.ndarray) -> np.ndarray:
        try:
            return np.array(reader(numbers), dtype=object)
        except UserError as error:
            errors.append(error)  # TensorFlow would hand on a traceback as text
            raise

    def payloads_of(numbers: tf.Tensor) -> tf.Tensor:
        return tf.ensure_shape(tf.numpy_function(read, [numbers], tf.string), numbers.shape)

    def parse(rows: _Rows) -> dict[str, tf.Tensor] | tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        recipe = tf.io.parse_example(payloads_of(rows.numbers), FEATURES)
        batch = {"record": rows.numbers, "lender": rows.lenders}
        if model is not None:
            batch |= _texts(recipe, model)
        if vectors.photos is not None:
            return batch | {"chosen": rows.chosen, "crop": rows.uniform[:, 0]}
        photos = recipe["images"]
        if lent:
            photos = tf.io.parse_example(payloads_of(rows.lenders), FEATURES)["images"]
        return batch, tf.gather(photos.flat_values, photos.row_starts() + rows.chosen), rows.uniform

    def decode(batch: dict[str, tf.Tensor], jpeg: tf.Tensor, uniform: tf.Tensor) -> dict[str, tf.Tensor]:
        return batch | {"image": crop(jpeg, uniform)}

    parse, decode = (tf.autograph.experimental.do_not_convert(step) for step in (parse, decode))
    dataset = batches.map(parse, num_parallel_calls=2)
    if vectors.photos is None:
        rows = batches.element_spec.numbers.shape[0]
        dataset = dataset.unbatch().map(decode, num_parallel_calls=os.cpu_count()).batch(rows, drop_remainder=True)
    dataset = dataset.prefetch(2).with_options(_untuned())
    try:
        for batch in dataset.as_numpy_iterator():
            if vectors.photos is not None:
                batch["image"] = vectors.photos(
                    index.first_photo[batch["lender"]] + batch.pop("chosen"), batch.pop("crop")
                )
            if vectors.sentences is not None:
                batch |= vectors.sentences(batch["record"], model.max_sentences)
            yield batch
    except tf.errors.OpError as error:
        if errors:
            raise errors[0] from None
        raise UserError(
            f"a photo cannot be decoded ({error.message.splitlines()[0]}); convert the data set again"
        ) from None
    finally:
        del dataset
        reader.close()


def _untuned() -> tf.data.Options:
    """Without autotuning: at its end a data set would wait for the tuner, which sleeps up to a minute at a time."""
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def _texts(recipe: dict[str, tf.RaggedTensor | tf.Tensor], model) -> dict[str, tf.Tensor]:
    return {
        "ingredients": text.pad_ingredients(recipe["ingredient_ids"]),
        "words": text.pad_sentences(
            recipe["word_ids"], recipe["sentence_lengths"], model.max_sentences, model.max_words
        ),
        "num_sentences": tf.minimum(tf.cast(recipe["sentence_lengths"].row_lengths(), tf.int32), model.max_sentences),
        "class_id": tf.cast(recipe["class_id"], tf.int32),
    }


def to_devices(
    batches: Iterator[Batch], mesh: jax.sharding.Mesh, ahead: int = 2
) -> Generator[dict[str, jax.Array], None, None]:
    """Puts host batches on the devices of a mesh, split along their rows, a few steps ahead of their use.

    Args:
        batches: this process's rows of each global batch.
        mesh: with the axis 'data'.
        ahead: batches on the way while one is being used.

    Yields:
        Global arrays sharded over 'data'.
    """
    sharding = NamedSharding(mesh, PartitionSpec("data"))
    on_the_way = collections.deque()
    for batch in batches:
        on_the_way.append(
            {name: jax.make_array_from_process_local_data(sharding, rows) for name, rows in batch.items()}
        )
        if len(on_the_way) > ahead:
            yield on_the_way.popleft()
    yield from on_the_way
