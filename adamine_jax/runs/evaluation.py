"""The report on a trained model: embeddings of a split, scores, and what they look like."""

import dataclasses
import json
from pathlib import Path

import numpy as np

from adamine_jax.base import files, processes
from adamine_jax.base.errors import UserError
from adamine_jax.input.damage import Damage
from adamine_jax.input.records import RecordIndex, load_index
from adamine_jax.retrieval import evaluators
from adamine_jax.retrieval.protocols import Ranked, rank_draws, score, skipped_protocols
from adamine_jax.retrieval.rank_files import RankFile, ranks_path, read_ranks, write_ranks
from adamine_jax.retrieval.text_tables import format_table
from adamine_jax.runs import embedding, workdir


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """An evaluated split.

    Attributes:
        results: scores under each protocol, as in `eval_<split>.json`.
        ranked: the ranks of each protocol.
        index: of the split.
        numbers: (N,) the records of the rows, in the order of the ids.
        image: (N, D) their photos' embeddings.
        recipe: (N, D) their texts'.
        measured: the numbers of the run's evaluators, `config.evals`.
    """

    results: dict[str, dict]
    ranked: dict[str, Ranked]
    index: RecordIndex
    numbers: np.ndarray
    image: np.ndarray
    recipe: np.ndarray
    measured: dict[str, float]


def evaluate_split(
    trained: workdir.Trained, directory: Path, split: str, protocols: tuple[str, ...], damage: Damage
) -> Evaluated:
    """Embeds a split, ranks it under the protocols, prints the table, writes `eval_<split>.json` and the ranks.

    What the files hold of other protocols and the same checkpoint stays in them.

    Args:
        trained: the model.
        directory: the workdir.
        split: 'train', 'val' or 'test'.
        protocols: names; those larger than the split are skipped, with a line.
        damage: takes the damaged records, which are left out.

    Raises:
        UserError: the split is empty, or too many of its records are damaged.
    """
    dataset = trained.open_dataset()
    index = load_index(dataset.shards(split), damage)
    if not len(index):
        raise UserError(f"{dataset.folder}: has no {split} split to evaluate")
    embed_step = embedding.make_embed_step(trained.model, trained.mesh)
    image, recipe, numbers = embedding.embed_split(
        embed_step, trained.variables, index, trained.config, trained.mesh, f"embedding {split}", damage
    )
    for line in skipped_protocols(protocols, len(numbers)):
        print(line)
    embeddings = split_embeddings(index, numbers, image, recipe)
    ids, seed = embeddings.ids, trained.config.eval.seed
    measured = evaluators.measure(evaluators.build(trained.config), embeddings)
    in_table = evaluators.RetrievalEvaluator.metrics
    others = {name: value for name, value in measured.items() if name not in in_table}
    ranked = rank_draws(image, recipe, ids, protocols, seed)
    results = score(ranked)
    if processes.is_first():
        kept = _ranked_before(ranks_path(directory, split), seed, trained.step, ids) | ranked
        write_ranks(ranks_path(directory, split), RankFile(kept, seed, trained.step))
        evals = {"evals": others} if others else {}
        files.write_text(directory / f"eval_{split}.json", json.dumps(score(kept) | evals, indent=2) + "\n")
    print(f"\n{split} split, checkpoint of step {trained.step}\n\n{format_table(results)}\n", flush=True)
    for name, value in others.items():
        print(f"{name}: {value:.4g}", flush=True)
    return Evaluated(results, ranked, index, numbers, image, recipe, measured)


def split_embeddings(
    index: RecordIndex, numbers: np.ndarray, image: np.ndarray, recipe: np.ndarray
) -> evaluators.Embeddings:
    """What evaluators get, of (N,) records and their (N, D) embeddings."""
    ids = [identifier.decode() for identifier in index.ids[numbers]]
    return evaluators.Embeddings(image, recipe, ids, index.class_id[numbers])


def _ranked_before(path: Path, seed: int, step: int, ids: list[str]) -> dict[str, Ranked]:
    """The ranks under any protocol that an earlier evaluation of the same checkpoint on the same recipes has left."""
    try:
        earlier = read_ranks(path)
    except UserError:
        return {}
    if (earlier.seed, earlier.step) != (seed, step):
        return {}
    there = np.char.encode(ids)
    return {name: ranked for name, ranked in earlier.protocols.items() if np.isin(ranked.ids, there).all()}
