"""Validation after each epoch."""

import dataclasses
from collections.abc import Callable, Iterator

import jax

from adamine_jax.distributed.preemption import StopRequest
from adamine_jax.input.record_index import RecordIndex
from adamine_jax.retrieval.evaluators import Evaluator, measure
from adamine_jax.runs.embedding import Embedder
from adamine_jax.runs.evaluation import split_embeddings
from adamine_jax.training.state import TrainState


@dataclasses.dataclass(frozen=True)
class Validation:
    """Evaluates states on the validation split; `batches` starts one pass over it."""

    embedder: Embedder
    index: RecordIndex
    batches: Callable[[], Iterator[dict[str, jax.Array]]]
    evaluators: list[Evaluator]

    def scores(self, state: TrainState, description: str, request: StopRequest) -> dict[str, float]:
        """Returns the metrics of the evaluators, or {} without a validation split.

        Raises:
            Stopped: `request` was made; it is checked before each batch.
        """
        index = self.index
        if not len(index):
            return {}
        batches = request.watched(self.batches(), int(state.step))
        image, recipe, numbers = self.embedder.embed_split(state.model, index, description, batches)
        return measure(self.evaluators, split_embeddings(index, numbers, image, recipe))
