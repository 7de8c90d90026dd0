"""Batches of photos and recipes, from the records of a split to the devices of a mesh."""

import collections
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from adamine_jax.base.errors import UserError
from adamine_jax.input.damage import Damage
from adamine_jax.input.draws import Draws, StepDraws
from adamine_jax.input.features import Vectors
from adamine_jax.input.reading import Batch, BatchReader, RecipeFields, Rows
from adamine_jax.input.records import RecordIndex
from adamine_jax.input.substitutes import substitute
from adamine_jax.recipes import crops as images

THREADS = 2
"""Batches that are being read at a time. The rows of each are read by other threads, one a core."""
READ_AHEAD = 4
"""Batches that are read, or being read, before they are asked for."""


def train_batches(
    index: RecordIndex,
    plan: np.ndarray,
    *,
    first_step: int,
    rows: slice,
    seed: int,
    data,
    recipe_fields: RecipeFields,
    vectors: Vectors | None = None,
    damage: Damage | None = None,
) -> Iterator[Batch]:
    """This process's rows of the planned batches, with a random photo of each recipe, randomly cropped.

    What is random depends on (seed, step, row of the global batch) alone: not on the number of processes, nor on
    where a run was interrupted. Damaged records are replaced, see `substitutes`.

    Args:
        index: of the train split.
        plan: (steps, B) record numbers of the global batches, of one epoch or several.
        first_step: number of the first of them, counted from the start of training.
        rows: this process's rows of the global batch.
        seed: of the run.
        data: `config.data`; reads `image_size`, `resize`, `flip`, `mismatch` and `shuffle_photos`.
        recipe_fields: makes the recipe tower's fields; see `models.registry.recipe_fields`.
        vectors: of the split.
        damage: takes the damaged records.

    Yields:
        Batches of host arrays; see `Batch`.

    Raises:
        UserError: too many records are damaged.
    """
    crop = images.random_crops(data.resize, data.image_size, data.flip)
    reader = BatchReader(index, crop, recipe_fields, vectors or Vectors(), Damage() if damage is None else damage)
    draws = Draws(index, seed, data, plan.shape[1])

    def read(place: int) -> Batch:
        drawn, numbers = draws.of_step(first_step + place), plan[place].astype(np.int64)
        lenders = drawn.lenders(numbers, slice(None))
        batch, has_recipe, has_photo = reader(drawn.rows(numbers[rows], lenders[rows], rows))
        if not (has_recipe & has_photo).all():
            numbers, lenders = _without_damage(index, reader, drawn, numbers, lenders)
            batch, has_recipe, has_photo = reader(drawn.rows(numbers[rows], lenders[rows], rows))
            if not (has_recipe & has_photo).all():
                raise UserError(f"{index.shards[0].parent}: records that can be read only sometimes; look at the disk")
        lenders = lenders[rows] if data.mismatch else batch["record"]
        is_own = batch["record"] == lenders
        batch["has_image"] = np.ones(len(lenders), bool)
        batch["match"] = np.where(is_own, 1, -1).astype(np.int32)
        batch["image_class_id"] = np.where(is_own, batch["class_id"], index.class_id[lenders]).astype(np.int32)
        return batch

    return _in_order(read, len(plan), reader)


def _without_damage(
    index: RecordIndex, reader: BatchReader, drawn: StepDraws, numbers: np.ndarray, lenders: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(B,) records and (B,) lenders of a global batch, of which all rows are looked at, whosever they are."""

    def lender_of(row: int, number: int) -> int:
        return int(drawn.lenders(np.array([number]), slice(row, row + 1))[0])

    def can_be_read(row: int, number: int, lender: int) -> tuple[bool, bool]:
        _, has_recipe, has_photo = reader(drawn.rows(np.array([number]), np.array([lender]), slice(row, row + 1)))
        return bool(has_recipe[0]), bool(has_photo[0])

    _, has_recipe, has_photo = reader(drawn.rows(numbers, lenders, slice(None)))
    damaged = np.flatnonzero(~(has_recipe & has_photo))
    return substitute(numbers, lenders, index.class_id, damaged, lender_of, can_be_read)


def evaluation_batches(
    index: RecordIndex,
    numbers: np.ndarray,
    *,
    batch_size: int,
    rows: slice,
    data,
    recipe_fields: RecipeFields,
    vectors: Vectors | None = None,
    times: int = 1,
    damage: Damage | None = None,
) -> Iterator[Batch]:
    """Every recipe once, in the order given, with the central crop of its first photo; nothing is random.

    Args:
        index: of the split.
        numbers: (N,) record numbers.
        batch_size: B, rows of a global batch. The last one is filled up with repetitions of its last recipe.
        rows: this process's rows of the global batch.
        data: `config.data`; reads `image_size` and `resize`.
        recipe_fields: makes the recipe tower's fields; see `models.registry.recipe_fields`.
        vectors: of the split.
        times: goes through all of it so many times.
        damage: takes the damaged records.

    Yields:
        Batches of host arrays; see `Batch`. The first N rows of the global batches, put one after the other, are
        the recipes asked for; those that are damaged are not `readable`.

    Raises:
        UserError: too many records are damaged.
    """
    crop = images.center_crops(data.resize, data.image_size)
    reader = BatchReader(index, crop, recipe_fields, vectors or Vectors(), Damage() if damage is None else damage)
    batches = _cut(numbers.astype(np.int64), batch_size)[:, rows]
    zeros = np.zeros(batches.shape[1], np.int64)

    def read(place: int) -> Batch:
        records = batches[place % len(batches)]
        batch, has_recipe, has_photo = reader(Rows(records, records, zeros, np.zeros((len(zeros), 3), np.float32)))
        return batch | {"readable": has_recipe & has_photo}

    return _in_order(read, times * len(batches), reader)


def photo_batches(
    index: RecordIndex,
    photos: np.ndarray,
    draws: np.ndarray | None,
    *,
    batch_size: int,
    rows: slice,
    data,
    damage: Damage | None = None,
) -> Iterator[Batch]:
    """Crops of photos by their numbers.

    Args:
        index: of the split.
        photos: (N,) numbers of photos, as `RecordIndex.first_photo` counts them.
        draws: (N, 3) float32 from [0, 1), of the crop as `images.random_crops` takes them; None = central crops.
        batch_size: B; the last batch is filled up with repetitions.
        rows: this process's rows of a batch.
        data: `config.data`; reads `image_size`, `resize` and `flip`.
        damage: takes the damaged records.

    Yields:
        `image` (B, S, S, 3) uint8 and `readable` (B,) bool, False where it is zeros because it cannot be read.

    Raises:
        UserError: too many records are damaged.
    """
    crop = images.center_crops(data.resize, data.image_size)
    if draws is not None:
        crop = images.random_crops(data.resize, data.image_size, data.flip)
    reader = BatchReader(index, crop, None, Vectors(), Damage() if damage is None else damage)
    batches = _cut(np.arange(len(photos)), batch_size)[:, rows]
    numbers = np.searchsorted(index.first_photo, photos, side="right") - 1
    chosen = photos - index.first_photo[numbers]
    uniform = np.zeros((len(photos), 3), np.float32) if draws is None else draws

    def read(place: int) -> Batch:
        at = batches[place]
        batch, _, has_photo = reader(Rows(numbers[at], numbers[at], chosen[at], uniform[at]))
        return {"image": batch["image"], "readable": has_photo}

    return _in_order(read, len(batches), reader)


def _cut(numbers: np.ndarray, batch_size: int) -> np.ndarray:
    """(N,) → (batches, B), the last number repeated at the end."""
    batches = -(-len(numbers) // batch_size)
    return np.pad(numbers, (0, batches * batch_size - len(numbers)), mode="edge").reshape(batches, batch_size)


def _in_order(read: Callable[[int], Batch], count: int, reader: BatchReader) -> Generator[Batch, None, None]:
    """Yields `read(0)`, `read(1)`, …, computed ahead by threads, and closes the reader."""
    on_the_way = collections.deque()
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="input")
    try:
        for place in range(count):
            on_the_way.append(pool.submit(read, place))
            if len(on_the_way) > READ_AHEAD:
                yield on_the_way.popleft().result()
        while on_the_way:
            yield on_the_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        reader.close()


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
