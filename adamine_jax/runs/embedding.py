"""Embeds whole splits: every recipe that can be read and its first photo, in the order of the ids."""

from collections.abc import Callable, Generator, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import Progress
from adamine_jax.distributed import mesh as devices
from adamine_jax.input import pipeline
from adamine_jax.input.damage import Damage
from adamine_jax.input.features import Vectors, open_vectors
from adamine_jax.input.records import RecordIndex
from adamine_jax.models import registry
from adamine_jax.models.adamine import AdaMine, embed_recipes

EmbedStep = Callable[[Any, dict[str, jax.Array]], tuple[jax.Array, jax.Array, jax.Array]]


def make_embed_step(model: AdaMine, mesh: Mesh) -> EmbedStep:
    """Compiles both towers in evaluation mode: (variables, batch) → ((B, D) photos, (B, D) recipes, (B,) readable)."""

    def embed(variables, batch):
        image = model.apply(variables, batch["image"], train=False, method="embed_images")
        return image, embed_recipes(model, variables["params"], batch, mesh), batch["readable"]

    return jax.jit(embed, out_shardings=NamedSharding(mesh, PartitionSpec()))


def split_batches(
    index: RecordIndex,
    config,
    mesh: Mesh,
    damage: Damage,
    vectors: Vectors | None = None,
    times: int = 1,
    numbers: np.ndarray | None = None,
) -> Generator[dict[str, jax.Array], None, None]:
    """All records of a split in the order of their ids, as `pipeline.evaluation_batches` gives them, on the mesh.

    Args:
        index: of the split.
        config: of the run.
        mesh: to put them on.
        damage: takes the damaged records.
        vectors: of the split, if not those that the configuration names.
        times: how often to go through the split.
        numbers: (n,) of the records, if not all.
    """
    batch_size = _batch_size(index, config, mesh)
    batches = pipeline.evaluation_batches(
        index,
        index.sorted_by_id() if numbers is None else numbers,
        batch_size=batch_size,
        rows=devices.local_rows(batch_size),
        data=config.data,
        recipe_fields=registry.recipe_fields(config.model),
        vectors=vectors or open_vectors(config, index),
        times=times,
        damage=damage,
    )
    return pipeline.to_devices(batches, mesh)


class Embedded(NamedTuple):
    """Some of a split's records, embedded.

    Attributes:
        numbers: (n,) int64, of the records, those that cannot be read among them.
        readable: (n,) bool.
        image: (n, D) float32 unit rows; meaningless where a record is not readable.
        recipe: (n, D) likewise.
    """

    numbers: np.ndarray
    readable: np.ndarray
    image: np.ndarray
    recipe: np.ndarray


def embed_batches(
    embed_step: EmbedStep,
    variables: dict[str, Any],
    index: RecordIndex,
    numbers: np.ndarray,
    config,
    mesh: Mesh,
    description: str,
    damage: Damage,
    batches: Iterator[dict[str, jax.Array]] | None = None,
) -> Iterator[Embedded]:
    """Embeds records batch by batch, with the progress of whoever takes them; the arguments are `embed_split`'s.

    Args:
        numbers: (n,) of the records, in the order in which they are to come.
    """
    batches = split_batches(index, config, mesh, damage, numbers=numbers) if batches is None else batches
    batch_size = _batch_size(index, config, mesh)
    with Progress(description, len(index), "pair", initial=len(index) - len(numbers)) as progress:
        for start in range(0, len(numbers), batch_size):
            chosen = numbers[start : start + batch_size]
            image, recipe, readable = jax.device_get(embed_step(variables, next(batches)))
            count = len(chosen)
            yield Embedded(
                chosen, readable[:count], image[:count].astype(np.float32), recipe[:count].astype(np.float32)
            )
            progress.update(count)


def embed_split(
    embed_step: EmbedStep,
    variables: dict[str, Any],
    index: RecordIndex,
    config,
    mesh: Mesh,
    description: str,
    damage: Damage,
    batches: Iterator[dict[str, jax.Array]] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Embeds all records of a split that can be read; `damage` takes the others.

    Args:
        embed_step: of `make_embed_step`.
        variables: {'params', 'batch_stats'} of the model.
        index: of the split.
        config: of the run.
        mesh: that the step was compiled for.
        description: of the progress bar.
        damage: takes the damaged records.
        batches: of `split_batches`, which one pass over the split is taken from; None = new ones.

    Returns:
        (image (N, D), recipe (N, D), numbers (N,)): float32 unit rows, and the records that they belong to, in the
        order of the ids.

    Raises:
        UserError: none of the records can be read.
    """
    order = index.sorted_by_id()
    parts = list(embed_batches(embed_step, variables, index, order, config, mesh, description, damage, batches))
    numbers, readable, image, recipe = (np.concatenate(rows) for rows in zip(*parts, strict=True))
    if not readable.any():
        raise none_readable(index)
    return image[readable], recipe[readable], numbers[readable]


def none_readable(index: RecordIndex) -> UserError:
    """What to say of a split that is damaged all over."""
    return UserError(
        f"{index.shards[0].parent}: none of the {len(index)} records of {index.shards[0].name} … can be read; "
        "convert the data set again with --overwrite"
    )


def _batch_size(index: RecordIndex, config, mesh: Mesh) -> int:
    """A split smaller than a batch is not padded to all of it; powers of two let splits share a compiled step."""
    return devices.round_up(min(config.eval.batch_size, 1 << (len(index) - 1).bit_length()), mesh)
