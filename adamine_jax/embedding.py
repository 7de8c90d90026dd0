"""Embeds whole splits: every recipe that can be read and its first photo, in the order of the ids."""

import itertools
from collections.abc import Callable, Generator, Iterator
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from adamine_jax import devices
from adamine_jax.errors import UserError
from adamine_jax.input import pipeline
from adamine_jax.input.damage import Damage
from adamine_jax.input.features import Vectors, open_vectors
from adamine_jax.input.records import RecordIndex
from adamine_jax.models.adamine import AdaMine, embed_recipes
from adamine_jax.progress import Progress

EmbedStep = Callable[[Any, dict[str, jax.Array]], tuple[jax.Array, jax.Array, jax.Array]]


def make_embed_step(model: AdaMine, mesh: Mesh) -> EmbedStep:
    """Compiles both towers in evaluation mode: (variables, batch) → ((B, D) photos, (B, D) recipes, (B,) readable)."""

    def embed(variables, batch):
        image = model.apply(variables, batch["image"], train=False, method="embed_images")
        return image, embed_recipes(model, variables["params"], batch, mesh), batch["readable"]

    return jax.jit(embed, out_shardings=NamedSharding(mesh, PartitionSpec()))


def split_batches(
    index: RecordIndex, config, mesh: Mesh, damage: Damage, vectors: Vectors | None = None, times: int = 1
) -> Generator[dict[str, jax.Array], None, None]:
    """All records of a split in the order of their ids, as `pipeline.evaluation_batches` gives them, on the mesh.

    Args:
        index: of the split.
        config: of the run.
        mesh: to put them on.
        damage: takes the damaged records.
        vectors: of the split, if not those that the configuration names.
        times: how often to go through the split.
    """
    numbers = index.sorted_by_id()
    batch_size = _batch_size(index, config, mesh)
    batches = pipeline.evaluation_batches(
        index,
        numbers,
        batch_size=batch_size,
        rows=devices.local_rows(batch_size),
        data=config.data,
        model=config.model,
        vectors=vectors or open_vectors(config, index),
        times=times,
        damage=damage,
    )
    return pipeline.to_devices(batches, mesh)


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
    batches = split_batches(index, config, mesh, damage) if batches is None else batches
    batch_size = _batch_size(index, config, mesh)
    parts = []
    with Progress(description, len(index), "pair") as progress:
        for batch in itertools.islice(batches, -(-len(index) // batch_size)):
            parts.append(jax.device_get(embed_step(variables, batch)))
            progress.update(min(batch_size, len(index) - batch_size * (len(parts) - 1)))
    image, recipe, readable = (np.concatenate(rows)[: len(index)] for rows in zip(*parts, strict=True))
    if not readable.any():
        raise UserError(
            f"{index.shards[0].parent}: none of the {len(index)} records of {index.shards[0].name} … can be read; "
            "convert the data set again with --overwrite"
        )
    return image[readable].astype(np.float32), recipe[readable].astype(np.float32), index.sorted_by_id()[readable]


def _batch_size(index: RecordIndex, config, mesh: Mesh) -> int:
    """A split smaller than a batch is not padded to all of it; powers of two let splits share a compiled step."""
    return devices.round_up(min(config.eval.batch_size, 1 << (len(index) - 1).bit_length()), mesh)
