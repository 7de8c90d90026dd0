"""Evaluation of a trained model on a split: embeddings, ranks and scores."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from adamine_jax.base import files, processes
from adamine_jax.base.errors import UserError
from adamine_jax.input.damage import Damage
from adamine_jax.input.record_index import RecordIndex
from adamine_jax.retrieval import evaluators
from adamine_jax.retrieval.protocols import Ranked, rank_draws, score, skipped_protocols
from adamine_jax.retrieval.rank_files import RankFile, ranks_path, read_ranks, write_ranks
from adamine_jax.retrieval.text_tables import format_table
from adamine_jax.runs import workdir
from adamine_jax.runs.embedding import Embedder


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """An evaluated split.

    Attributes:
        results: Scores by protocol, as in `eval_<split>.json`.
        ranked: Ranks by protocol.
        index: Record index of the split.
        numbers: (N,) record numbers of the rows, in the order of the ids.
        image: (N, D) image embeddings.
        recipe: (N, D) recipe embeddings.
    """

    results: dict[str, dict]
    ranked: dict[str, Ranked]
    index: RecordIndex
    numbers: np.ndarray
    image: np.ndarray
    recipe: np.ndarray


def evaluate_split(
    trained: workdir.Trained, directory: Path, split: str, protocols: tuple[str, ...], damage: Damage
) -> Evaluated:
    """Embeds a split, ranks it under the protocols, prints the table and writes `eval_<split>.json` and the ranks.

    The files keep the results of other protocols for the same checkpoint.

    Args:
        trained: Model to evaluate.
        directory: Workdir of the run.
        split: 'train', 'val' or 'test'.
        protocols: Names of protocols; those that need more pairs than the split has are skipped with a message.
        damage: Counter of damaged records, which are left out.

    Raises:
        UserError: The split is empty, or too many of its records are damaged.
    """
    dataset = trained.open_dataset()
    index = dataset.index(split, damage)
    if not len(index):
        raise UserError(f"{dataset.folder}: no {split} split to evaluate; choose another --split")
    embedder = Embedder(trained.model, trained.config, trained.mesh, damage)
    image, recipe, numbers = embedder.embed_split(trained.variables, index, f"embedding {split}")
    for line in skipped_protocols(protocols, len(numbers)):
        print(line)
    embeddings = split_embeddings(index, numbers, image, recipe)
    ids, seed = embeddings.ids, trained.config.eval.seed
    metrics = evaluators.measure(evaluators.build(trained.config), embeddings)
    in_table = evaluators.RetrievalEvaluator.metrics
    others = {name: value for name, value in metrics.items() if name not in in_table}
    ranked = rank_draws(image, recipe, ids, protocols, seed)
    results = score(ranked)
    if processes.is_first():
        kept = _earlier_ranks(ranks_path(directory, split), seed, trained.step, ids) | ranked
        write_ranks(ranks_path(directory, split), RankFile(kept, seed, trained.step))
        evals = {"evals": others} if others else {}
        files.write_text(directory / f"eval_{split}.json", json.dumps(score(kept) | evals, indent=2) + "\n")
    print(f"\n{split} split, checkpoint of step {trained.step}\n\n{format_table(results)}\n", flush=True)
    for name, value in others.items():
        print(f"{name}: {value:.4g}", flush=True)
    return Evaluated(results, ranked, index, numbers, image, recipe)


def split_embeddings(
    index: RecordIndex, numbers: np.ndarray, image: np.ndarray, recipe: np.ndarray
) -> evaluators.Embeddings:
    """Returns the input of the evaluators for (N,) records and their (N, D) embeddings."""
    ids = [identifier.decode() for identifier in index.ids[numbers]]
    return evaluators.Embeddings(image, recipe, ids, index.class_id[numbers])


def _earlier_ranks(path: Path, seed: int, step: int, ids: list[str]) -> dict[str, Ranked]:
    """The stored ranks of an earlier evaluation of the same checkpoint on the same recipes, by protocol."""
    try:
        earlier = read_ranks(path)
    except UserError:
        return {}
    if (earlier.seed, earlier.step) != (seed, step):
        return {}
    encoded = np.char.encode(ids)
    return {name: ranked for name, ranked in earlier.protocols.items() if np.isin(ranked.ids, encoded).all()}
