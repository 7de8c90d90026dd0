"""Batches of photos and recipes, from the records of a split to the devices of a mesh."""

import collections
import functools
from collections.abc import Iterator

import jax
import numpy as np
import tensorflow as tf
from jax.sharding import NamedSharding, PartitionSpec

from adamine_jax.errors import UserError
from adamine_jax.input import images, text
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
"""`image` (B, S, S, 3) uint8, `ingredients` (B, 20) int32, `words` (B, S, W) int32, `num_sentences` (B,) int32 ≤ S,
`class_id` (B,) int32, `record` (B,) int64: the record numbers. In training also `match` (B,) int32, +1, or −1 where the
photo is another recipe's, and `image_class_id` (B,) int32, the photo's class."""


def train_batches(
    index: RecordIndex, plan: np.ndarray, *, first_step: int, rows: slice, seed: int, data, model
) -> Iterator[Batch]:
    """This process's rows of the planned batches, with a random photo of each recipe, randomly cropped.

    What is random depends on (seed, step, row of the global batch) alone: not on the number of processes, nor on
    where a run was interrupted.

    Args:
        index: of the train split.
        plan: (steps, B) record numbers of the global batches that are left of this epoch.
        first_step: number of the first of them, counted from the start of training.
        rows: this process's rows of the global batch.
        seed: of the run.
        data: `config.data`; reads `image_size`, `resize`, `flip`, `mismatch` and `shuffle_photos`.
        model: `config.model`; reads `max_sentences` and `max_words`.

    Yields:
        Batches of host arrays; see `Batch`.
    """
    batch_size = plan.shape[1]
    lender_of = _lenders(index, seed, data)

    def draw(numbers: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        key = tf.stack([tf.cast(seed, tf.int64), step])
        uniform = tf.random.stateless_uniform((batch_size, 4), seed=key)[rows]
        lenders = numbers if lender_of is None else tf.gather(tf.constant(lender_of), numbers)
        if data.mismatch:
            whether, which = (tf.random.experimental.stateless_fold_in(key, number) for number in (1, 2))
            is_mismatched = tf.random.stateless_uniform((batch_size,), whether)[rows] < data.mismatch
            ahead = tf.random.stateless_uniform((batch_size,), which, 1, len(index), tf.int64)[rows]
            lenders = tf.where(is_mismatched, (numbers + ahead) % len(index), lenders)  # never the recipe itself
        return numbers, lenders, uniform

    def crop(jpeg: tf.Tensor, uniform: tf.Tensor) -> tf.Tensor:
        return images.random_crop(jpeg, uniform[1:], resize=data.resize, size=data.image_size, flip=data.flip)

    steps = np.arange(first_step, first_step + len(plan), dtype=np.int64)
    batches = tf.data.Dataset.from_tensor_slices((plan[:, rows].astype(np.int64), steps)).map(draw)
    lent = bool(data.mismatch) or data.shuffle_photos
    for batch in _read(index, batches, crop, model, lent):
        lenders = batch.pop("lender")
        is_own = batch["record"] == lenders if data.mismatch else np.ones(len(lenders), bool)
        batch["match"] = np.where(is_own, 1, -1).astype(np.int32)
        batch["image_class_id"] = np.where(is_own, batch["class_id"], index.class_id[lenders]).astype(np.int32)
        yield batch


def evaluation_batches(
    index: RecordIndex, numbers: np.ndarray, *, batch_size: int, rows: slice, data, model
) -> Iterator[Batch]:
    """Every recipe once, in the order given, with the central crop of its first photo; nothing is random.

    Args:
        index: of the split.
        numbers: (N,) record numbers.
        batch_size: B, rows of a global batch. The last one is filled up with repetitions of its last recipe.
        rows: this process's rows of the global batch.
        data: `config.data`; reads `image_size` and `resize`.
        model: `config.model`; reads `max_sentences` and `max_words`.

    Yields:
        Batches of host arrays; see `Batch`. The first N rows of the global batches, put one after the other, are
        the recipes asked for.
    """
    steps = -(-len(numbers) // batch_size)
    padded = np.pad(numbers, (0, steps * batch_size - len(numbers)), mode="edge").reshape(steps, batch_size)
    first_photo = np.zeros((steps, padded[:, rows].shape[1], 4), np.float32)

    def crop(jpeg: tf.Tensor, _: tf.Tensor) -> tf.Tensor:
        return images.center_crop(jpeg, resize=data.resize, size=data.image_size)

    numbers = padded[:, rows].astype(np.int64)
    batches = tf.data.Dataset.from_tensor_slices((numbers, numbers, first_photo))
    for batch in _read(index, batches, crop, model):
        del batch["lender"]
        yield batch


def _lenders(index: RecordIndex, seed: int, data) -> np.ndarray | None:
    """With `data.shuffle_photos`, (N,) the record that lends each record its photos: the control experiment."""
    return np.random.default_rng([seed, len(index)]).permutation(len(index)) if data.shuffle_photos else None


def _read(index: RecordIndex, batches: tf.data.Dataset, crop, model, lent: bool = False) -> Iterator[Batch]:
    """Reads, parses, decodes and crops batches of ((B,) record numbers, (B,) lenders, (B, 4) uniform draws).

    The photos are those of the lenders, which are the records themselves unless `lent`.
    """
    reader = RecordReader(index)
    errors: list[UserError] = []

    def read(numbers: np.ndarray) -> np.ndarray:
        try:
            return np.array(reader(numbers), dtype=object)
        except UserError as error:
            errors.append(error)  # TensorFlow would hand on a traceback as text
            raise

    def parse(
        numbers: tf.Tensor, lenders: tf.Tensor, uniform: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        payloads = tf.ensure_shape(tf.numpy_function(read, [numbers], tf.string), numbers.shape)
        recipe = tf.io.parse_example(payloads, FEATURES)
        photos = recipe["images"]
        if lent:
            payloads = tf.ensure_shape(tf.numpy_function(read, [lenders], tf.string), numbers.shape)
            photos = tf.io.parse_example(payloads, FEATURES)["images"]
        count = tf.cast(photos.row_lengths(), tf.float32)
        chosen = tf.cast(uniform[:, 0] * count, tf.int64)
        jpegs = tf.gather(photos.flat_values, photos.row_starts() + chosen)
        batch = {
            "ingredients": text.pad_ingredients(recipe["ingredient_ids"]),
            "words": text.pad_sentences(
                recipe["word_ids"], recipe["sentence_lengths"], model.max_sentences, model.max_words
            ),
            "num_sentences": tf.minimum(
                tf.cast(recipe["sentence_lengths"].row_lengths(), tf.int32), model.max_sentences
            ),
            "class_id": tf.cast(recipe["class_id"], tf.int32),
            "record": numbers,
            "lender": lenders,
        }
        return batch, jpegs, uniform

    def decode(batch: dict[str, tf.Tensor], jpeg: tf.Tensor, uniform: tf.Tensor) -> dict[str, tf.Tensor]:
        return batch | {"image": crop(jpeg, uniform)}

    rows = batches.element_spec[0].shape[0]
    dataset = (
        batches.map(parse, num_parallel_calls=2)
        .unbatch()
        .map(decode, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(rows, drop_remainder=True)
        .prefetch(2)
    )
    try:
        yield from dataset.as_numpy_iterator()
    except tf.errors.OpError as error:
        if errors:
            raise errors[0] from None
        raise UserError(
            f"a photo cannot be decoded ({error.message.splitlines()[0]}); convert the data set again"
        ) from None
    finally:
        del dataset
        reader.close()


def to_devices(batches: Iterator[Batch], mesh: jax.sharding.Mesh, ahead: int = 2) -> Iterator[dict[str, jax.Array]]:
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
