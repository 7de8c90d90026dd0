"""Embeds whole splits: every recipe and its first photo, nothing dropped, in the order of the ids."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from adamine_jax import devices
from adamine_jax.input import pipeline
from adamine_jax.input.records import RecordIndex
from adamine_jax.models.adamine import AdaMine, embed_recipes
from adamine_jax.progress import Progress

EmbedStep = Callable[[Any, dict[str, jax.Array]], tuple[jax.Array, jax.Array]]


def make_embed_step(model: AdaMine, mesh: Mesh) -> EmbedStep:
    """Compiles both towers in evaluation mode: (variables, batch) → ((B, D) photos, (B, D) recipes)."""

    def embed(variables, batch):
        image = model.apply(variables, batch["image"], train=False, method="embed_images")
        return image, embed_recipes(model, variables["params"], batch, mesh)

    return jax.jit(embed, out_shardings=NamedSharding(mesh, PartitionSpec()))


def embed_split(
    embed_step: EmbedStep, variables: dict[str, Any], index: RecordIndex, config, mesh: Mesh, description: str
) -> tuple[np.ndarray, np.ndarray]:
    """Embeds all records of a split.

    Args:
        embed_step: of `make_embed_step`.
        variables: {'params', 'batch_stats'} of the model.
        index: of the split.
        config: of the run.
        mesh: that the step was compiled for.
        description: of the progress bar.

    Returns:
        (image (N, D), recipe (N, D)) float32 unit rows; row i belongs to record `index.sorted_by_id()[i]`.
    """
    numbers = index.sorted_by_id()
    # A split smaller than a batch is not padded to all of it; powers of two let splits share a compiled step.
    batch_size = devices.round_up(min(config.eval.batch_size, 1 << (len(numbers) - 1).bit_length()), mesh)
    batches = pipeline.evaluation_batches(
        index,
        numbers,
        batch_size=batch_size,
        rows=devices.local_rows(batch_size),
        data=config.data,
        model=config.model,
    )
    pairs = []
    with Progress(description, len(numbers), "pair") as progress:
        for batch in pipeline.to_devices(batches, mesh):
            pairs.append(jax.device_get(embed_step(variables, batch)))
            progress.update(min(batch_size, len(numbers) - batch_size * (len(pairs) - 1)))
    image, recipe = (np.concatenate(side)[: len(numbers)].astype(np.float32) for side in zip(*pairs, strict=True))
    return image, recipe
