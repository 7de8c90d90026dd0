"""The validation after each epoch."""

import dataclasses
from collections.abc import Callable, Iterator

import jax
import ml_collections
import numpy as np
from jax.sharding import Mesh

from adamine_jax.distributed.preemption import Stopped, StopRequest
from adamine_jax.input.damage import Damage
from adamine_jax.input.records import RecordIndex
from adamine_jax.retrieval.protocols import DIRECTIONS, evaluate
from adamine_jax.runs import embedding
from adamine_jax.training.state import TrainState

LARGEST_FULL = 10_000
"""Pairs up to which validation ranks all of them at once; a larger split is measured on 10 draws of 1,000."""
_RECALLS = ("r1", "r5", "r10")


@dataclasses.dataclass(frozen=True)
class Validation:
    """Measures a state on the validation split.

    Attributes:
        embed_step: of `embedding.make_embed_step`.
        index: of the split.
        config: of the run.
        mesh: that the step was compiled for.
        damage: takes the damaged records.
        batches: begins one pass over the split.
    """

    embed_step: embedding.EmbedStep
    index: RecordIndex
    config: ml_collections.ConfigDict
    mesh: Mesh
    damage: Damage
    batches: Callable[[], Iterator[dict[str, jax.Array]]]

    def scores(self, state: TrainState, description: str, request: StopRequest) -> dict[str, float]:
        """Recalls and median ranks, empty where there is no split.

        `r1` is the mean of both directions, `rsum` R@1 + R@5 + R@10 likewise.

        Args:
            state: whose model is measured.
            description: of the progress bar.
            request: may ask to stop.

        Raises:
            Stopped: the run was told to stop.
        """
        index = self.index
        if not len(index):
            return {}
        step = int(state.step)

        def batches() -> Iterator[dict[str, jax.Array]]:
            for batch in self.batches():
                if request.made():
                    raise Stopped(step)
                yield batch

        image, recipe, numbers = embedding.embed_split(
            self.embed_step,
            {"params": state.params, "batch_stats": state.batch_stats},
            index,
            self.config,
            self.mesh,
            description,
            self.damage,
            batches(),
        )
        protocol = "full" if len(index) <= LARGEST_FULL else "1k"
        ids = [identifier.decode() for identifier in index.ids[numbers]]
        results = evaluate(image, recipe, ids, (protocol,), self.config.eval.seed)[protocol]
        scores = {
            f"{metric}_{direction}": results[direction][metric]["mean"]
            for direction in DIRECTIONS
            for metric in ("medr", *_RECALLS)
        }
        recalls = [np.mean([scores[f"{recall}_{direction}"] for direction in DIRECTIONS]) for recall in _RECALLS]
        return scores | {"r1": float(recalls[0]), "rsum": float(sum(recalls))}
