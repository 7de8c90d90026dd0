"""Makes batches of images and recipes from the records of a split and puts them on the devices of a mesh."""

import collections
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

from adamine_jax.distributed.mesh import by_rows
from adamine_jax.input.damage import Damage
from adamine_jax.input.draws import Draws
from adamine_jax.input.features import Vectors
from adamine_jax.input.reading import Batch, BatchReader, Rows
from adamine_jax.input.record_index import RecordIndex
from adamine_jax.models import registry
from adamine_jax.recipes import crops
from adamine_jax.recipes.text_augmentation import LINE_OPTIONS, TextAugmentation

THREADS = 2
"""Number of batches read concurrently. Their rows are read by a pool with one thread per core."""
READ_AHEAD = 4
"""Number of batches to read ahead."""


def train_batches(
    index: RecordIndex,
    plan: np.ndarray,
    config,
    *,
    first_step: int,
    rows: slice,
    vectors: Vectors | None = None,
    damage: Damage | None = None,
    with_photo: int | None = None,
) -> Iterator[Batch]:
    """Yields this process's rows of the planned batches, with a random crop of a random photo of each recipe.

    Random choices depend only on (seed, step, row of the global batch), not on the number of processes or on where a
    run was interrupted. A row with a damaged record has `has_image` False and the background as class; a row of a
    recipe without photos has `has_image` False.

    Args:
        index: Record index of the train split.
        plan: (steps, B) record numbers of the global batches, of one or more epochs.
        config: The run's config; reads `seed`, `data` and `model`.
        first_step: Number of the first batch, counted from the start of training.
        rows: This process's rows of the global batch.
        vectors: Precomputed vectors of the split.
        damage: Counts the damaged records.
        with_photo: Number of leading records that must have a photo; None = all.

    Yields:
        Batches of host arrays; see `Batch`.

    Raises:
        UserError: Too many records are damaged.
    """
    data = config.data
    crop = _random_crops(config)
    options = {name: data[name] for name in ("drop_part", *LINE_OPTIONS)}
    change = TextAugmentation(registry.recipe_tower(config.model).text_parts(config.model.recipe), **options)
    fields = registry.recipe_fields(config.model)
    reader = BatchReader(
        index, crop, fields, vectors, damage, with_groups=True, change_text=change or None, with_photo=with_photo
    )
    draws = Draws(index, config.seed, data, with_photo)

    def rows_of(place: int) -> Rows:
        return draws(first_step + place, plan[place].astype(np.int64)).take(rows)

    def read(drawn: Rows) -> Batch:
        batch, batch["has_image"] = reader(drawn)
        # With shuffled photos, pairs count as matched: the control experiment trains on wrong pairs.
        photo_records = drawn.photo_records if data.mismatch else drawn.numbers
        is_own = drawn.numbers == photo_records
        batch["match"] = np.where(is_own, 1, -1).astype(np.int32)
        batch["image_class_id"] = np.where(is_own, batch["class_id"], index.class_id[photo_records]).astype(np.int32)
        return batch

    return _in_order(rows_of, read, len(plan), reader)


def evaluation_batches(
    index: RecordIndex,
    numbers: np.ndarray,
    config,
    *,
    batch_size: int,
    rows: slice,
    vectors: Vectors | None = None,
    times: int = 1,
    damage: Damage | None = None,
) -> Iterator[Batch]:
    """Yields every recipe once, in the given order, with the central crop of its first photo.

    Args:
        index: Record index of the split.
        numbers: (N,) record numbers.
        config: The run's config; reads `data` and `model`.
        batch_size: B, rows of a global batch. The last batch is padded with copies of the last recipe.
        rows: This process's rows of the global batch.
        vectors: Precomputed vectors of the split.
        times: Number of passes over the recipes.
        damage: Counts the damaged records.

    Yields:
        Batches of host arrays; see `Batch`. The first N rows of the concatenated global batches are the recipes;
        damaged ones are not `readable`.

    Raises:
        UserError: Too many records are damaged.
    """
    crop = _center_crops(config)
    reader = BatchReader(index, crop, registry.recipe_fields(config.model), vectors, damage)
    batches = _split(numbers.astype(np.int64), batch_size)[:, rows]
    zeros = np.zeros(batches.shape[1], np.int64)

    def rows_of(place: int) -> Rows:
        records = batches[place % len(batches)]
        return Rows(records, records, zeros, np.zeros((len(zeros), 3), np.float32))

    def read(rows: Rows) -> Batch:
        batch, batch["readable"] = reader(rows)
        return batch

    return _in_order(rows_of, read, times * len(batches), reader)


def photo_batches(
    index: RecordIndex,
    photos: np.ndarray,
    draws: np.ndarray | None,
    config,
    *,
    batch_size: int,
    rows: slice,
    damage: Damage | None = None,
) -> Iterator[Batch]:
    """Yields crops of photos.

    Args:
        index: Record index of the split.
        photos: (N,) indices of photos, counted as in `RecordIndex.first_photo`.
        draws: (N, 3) float32 from [0, 1), the random numbers of `recipes.crops.random_crops`; None = central crops.
        config: The run's config; reads `data` and `model.image`.
        batch_size: B; the last batch is padded with copies of the last photo.
        rows: This process's rows of a batch.
        damage: Counts the damaged records.

    Yields:
        `image` (B, S, S, 3) uint8 and `readable` (B,) bool, False if the photo is damaged and its crop is zero.

    Raises:
        UserError: Too many records are damaged.
    """
    crop = _center_crops(config) if draws is None else _random_crops(config)
    reader = BatchReader(index, crop, damage=damage)
    batches = _split(np.arange(len(photos)), batch_size)[:, rows]
    numbers = np.searchsorted(index.first_photo, photos, side="right") - 1
    chosen = photos - index.first_photo[numbers]
    uniform = np.zeros((len(photos), 3), np.float32) if draws is None else draws

    def rows_of(place: int) -> Rows:
        items = batches[place]
        return Rows(numbers[items], numbers[items], chosen[items], uniform[items])

    def read(rows: Rows) -> Batch:
        batch, readable = reader(rows)
        return {"image": batch["image"], "readable": readable}

    return _in_order(rows_of, read, len(batches), reader)


def _random_crops(config) -> crops.Crops:
    data = config.data
    return crops.random_crops(data.resize, data.image_size, data.flip, registry.resizing(config.model), data.crop_area)


def _center_crops(config) -> crops.Crops:
    return crops.center_crops(config.data.resize, config.data.image_size, registry.resizing(config.model))


def _split(numbers: np.ndarray, batch_size: int) -> np.ndarray:
    """Splits (N,) into (batches, B), padded with the last number."""
    batches = -(-len(numbers) // batch_size)
    return np.pad(numbers, (0, batches * batch_size - len(numbers)), mode="edge").reshape(batches, batch_size)


def _in_order(
    rows_of: Callable[[int], Rows], read: Callable[[Rows], Batch], count: int, reader: BatchReader
) -> Generator[Batch, None, None]:
    """Yields `read(rows_of(0))`, …, computed ahead in threads, and closes the reader at the end.

    Records of an object store are requested before `read` needs them.
    """
    pending = collections.deque()
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="input")
    try:
        for place in range(count):
            rows = rows_of(place)
            reader.read_ahead(rows)
            pending.append(pool.submit(read, rows))
            if len(pending) > READ_AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        reader.close()


def to_devices(
    batches: Iterator[Batch], mesh: jax.sharding.Mesh, ahead: int = 2
) -> Generator[dict[str, jax.Array], None, None]:
    """Transfers host batches to the devices of a mesh ahead of their use, sharded along their rows.

    Args:
        batches: This process's rows of each global batch.
        mesh: A mesh of `make_mesh`.
        ahead: Number of batches to transfer ahead.

    Yields:
        Global arrays, their rows sharded over all devices.
    """
    sharding = by_rows(mesh)
    pending = collections.deque()
    for batch in batches:
        pending.append({name: jax.make_array_from_process_local_data(sharding, rows) for name, rows in batch.items()})
        if len(pending) > ahead:
            yield pending.popleft()
    yield from pending
