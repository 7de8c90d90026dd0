"""The report on a trained model: embeddings of a split, scores, and what they look like."""

import json
from pathlib import Path

import numpy as np

from adamine_jax import embedding, figures, files, processes, workdir
from adamine_jax.errors import UserError
from adamine_jax.gallery import write_gallery
from adamine_jax.input.items import read_recipes
from adamine_jax.input.records import RecordIndex, load_index
from adamine_jax.metrics_log import read_metrics
from adamine_jax.retrieval.protocols import evaluate, skipped_protocols
from adamine_jax.retrieval.tables import format_table


def evaluate_split(
    trained: workdir.Trained, directory: Path, split: str, protocols: tuple[str, ...]
) -> tuple[dict[str, dict], RecordIndex, np.ndarray, np.ndarray]:
    """Embeds a split, ranks it under the protocols, prints the table and writes `eval_<split>.json`.

    Args:
        trained: the model.
        directory: the workdir.
        split: 'train', 'val' or 'test'.
        protocols: names; those larger than the split are skipped, with a line.

    Returns:
        (results, index, image (N, D), recipe (N, D)), the rows in the order of the ids.

    Raises:
        UserError: the split is empty.
    """
    dataset = trained.open_dataset()
    index = load_index(dataset.shards(split))
    if not len(index):
        raise UserError(f"{dataset.folder}: has no {split} split to evaluate")
    embed_step = embedding.make_embed_step(trained.model, trained.mesh)
    image, recipe = embedding.embed_split(
        embed_step, trained.variables, index, trained.config, trained.mesh, f"embedding {split}"
    )
    for line in skipped_protocols(protocols, len(index)):
        print(line)
    ids = [identifier.decode() for identifier in index.ids[index.sorted_by_id()]]
    results = evaluate(image, recipe, ids, protocols, trained.config.eval.seed)
    if processes.is_first():
        files.write_text(directory / f"eval_{split}.json", json.dumps(results, indent=2) + "\n")
    print(f"\n{split} split, checkpoint of step {trained.step}\n\n{format_table(results)}\n", flush=True)
    return results, index, image, recipe


def write_split_gallery(
    trained: workdir.Trained, index: RecordIndex, image: np.ndarray, recipe: np.ndarray, folder: Path
) -> None:
    """Writes the gallery of an embedded split; the rows are in the order of the ids."""
    recipes = read_recipes(index, index.sorted_by_id())
    write_gallery(folder, image, recipe, recipes, trained.class_names)


def run_test(directory: Path) -> dict[str, dict]:
    """Tests the best checkpoint of a workdir and draws its curves and its top-5 pictures.

    Args:
        directory: the workdir.

    Returns:
        What `eval_test.json` holds; empty where there is no test split.
    """
    if processes.is_first() and read_metrics(directory / "metrics.jsonl"):
        figures.draw_curves(directory)
    trained = workdir.load(directory)
    if not trained.open_dataset().shards("test"):
        print(f"{trained.config.data.dir}: has no test split; trained and validated only")
        return {}
    results, index, image, recipe = evaluate_split(trained, directory, "test", trained.config.eval.protocols)
    if processes.is_first():
        write_split_gallery(trained, index, image, recipe, directory / "gallery" / "test")
        for picture in figures.draw_top5(directory, queries=4, seed=0):
            print(picture)
    return results
