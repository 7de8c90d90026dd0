"""Embeddings of whole splits: every readable recipe and its first photo, in the order of the ids."""

from collections.abc import Generator, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import Progress
from adamine_jax.distributed import mesh as devices
from adamine_jax.input import pipeline
from adamine_jax.input.damage import Damage
from adamine_jax.input.features import Vectors
from adamine_jax.input.record_index import RecordIndex
from adamine_jax.input.tokens import open_inputs
from adamine_jax.models.adamine import AdaMine, embed_recipes


def split_batches(
    index: RecordIndex,
    config,
    mesh: Mesh,
    damage: Damage,
    vectors: Vectors | None = None,
    times: int = 1,
    numbers: np.ndarray | None = None,
) -> Generator[dict[str, jax.Array], None, None]:
    """Yields the records of a split as batches on the mesh; see `pipeline.evaluation_batches`.

    Args:
        index: Record index of the split.
        config: Configuration of the run.
        mesh: Mesh to put the batches on.
        damage: Counter of damaged records.
        vectors: Precomputed features of the split; None = those of the configuration.
        times: Number of passes over the split.
        numbers: (n,) record numbers; None = all records in the order of their ids.
    """
    batch_size = _batch_size(index, config, mesh)
    batches = pipeline.evaluation_batches(
        index,
        index.sorted_by_id() if numbers is None else numbers,
        config,
        batch_size=batch_size,
        rows=devices.local_rows(batch_size),
        vectors=vectors or open_inputs(config, index),
        times=times,
        damage=damage,
    )
    return pipeline.to_devices(batches, mesh)


class Embedded(NamedTuple):
    """Embeddings of a batch of records.

    Attributes:
        numbers: (n,) int64 record numbers.
        readable: (n,) bool, whether the record could be read.
        image: (n, D) float32 unit rows; undefined where a record is not readable.
        recipe: (n, D) float32 unit rows, likewise.
    """

    numbers: np.ndarray
    readable: np.ndarray
    image: np.ndarray
    recipe: np.ndarray


class Embedder:
    """Embeds records with both towers in evaluation mode.

    Args:
        model: Both towers.
        config: Configuration of the run.
        mesh: Mesh to compute on.
        damage: Counter of damaged records.
    """

    def __init__(self, model: AdaMine, config, mesh: Mesh, damage: Damage):
        self._config, self._mesh, self._damage = config, mesh, damage

        def step(variables, batch):
            variables = jax.lax.with_sharding_constraint(variables, devices.replicated(mesh))
            image = model.apply(variables, batch["image"], train=False, method="embed_images")
            return image, embed_recipes(model, variables["params"], batch, mesh), batch["readable"]

        self._step = jax.jit(step, out_shardings=devices.replicated(mesh))

    def embed_batches(
        self,
        variables: dict[str, Any],
        index: RecordIndex,
        numbers: np.ndarray,
        description: str,
        batches: Iterator[dict[str, jax.Array]] | None = None,
    ) -> Iterator[Embedded]:
        """Yields the embeddings of the records `numbers` (n,), batch by batch; see `embed_split`."""
        if batches is None:
            batches = split_batches(index, self._config, self._mesh, self._damage, numbers=numbers)
        batch_size = _batch_size(index, self._config, self._mesh)
        with Progress(description, len(index), "pair", initial=len(index) - len(numbers)) as progress:
            for start in range(0, len(numbers), batch_size):
                chosen = numbers[start : start + batch_size]
                image, recipe, readable = jax.device_get(self._step(variables, next(batches)))
                count = len(chosen)
                yield Embedded(
                    chosen, readable[:count], image[:count].astype(np.float32), recipe[:count].astype(np.float32)
                )
                progress.update(count)

    def embed_split(
        self,
        variables: dict[str, Any],
        index: RecordIndex,
        description: str,
        batches: Iterator[dict[str, jax.Array]] | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Embeds all readable records of a split; the damage counter counts the others.

        Args:
            variables: {'params', 'batch_stats'} of the model.
            index: Record index of the split.
            description: Label of the progress bar.
            batches: Iterator of `split_batches` from which one pass over the split is taken; None = a new one.

        Returns:
            (image (N, D), recipe (N, D), numbers (N,)): float32 unit rows and their record numbers, in the order of
            the ids.

        Raises:
            UserError: None of the records can be read.
        """
        parts = list(self.embed_batches(variables, index, index.sorted_by_id(), description, batches))
        numbers, readable, image, recipe = (np.concatenate(rows) for rows in zip(*parts, strict=True))
        if not readable.any():
            raise none_readable(index)
        return image[readable], recipe[readable], numbers[readable]


def none_readable(index: RecordIndex) -> UserError:
    """The error of a split without any readable record."""
    first = index.shards[0]
    return UserError(
        f"{first.parent}: none of the {len(index)} records of {first.name} and its other shards can be read; convert "
        "the data set again with --overwrite"
    )


def _batch_size(index: RecordIndex, config, mesh: Mesh) -> int:
    """A batch size that does not pad small splits to a full batch; powers of two let splits share a compiled step."""
    return devices.round_up(min(config.eval.batch_size, 1 << (len(index) - 1).bit_length()), mesh)
