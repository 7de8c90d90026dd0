"""Shared by the benchmarks that train models: runs, their scores, and tables of them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from adamine_jax.retrieval.protocols import DIRECTIONS
from adamine_jax.retrieval.rank_files import ranks_path, read_ranks


def trained_scores(workdir: Path, arguments: list[str]) -> tuple[list[float], int]:
    """Trains a model unless its run is complete.

    Returns:
        (MedR, R@1 and R@10 of each direction, number of test pairs).
    """
    if not (workdir / "figures" / "top5_photo_to_recipe.png").exists():  # the last file of a run
        command("adamine_jax.main", f"--workdir={workdir}", *arguments)
    results = json.loads((workdir / "eval_test.json").read_text())["full"]
    scores = [results[direction][metric]["mean"] for direction in DIRECTIONS for metric in ("medr", "r1", "r10")]
    return scores, results["pairs"]


def test_ranks(workdir: Path) -> np.ndarray:
    """Returns the (2, m) ranks of the test pairs in each direction, in the order of their ids."""
    ranked = read_ranks(ranks_path(workdir, "test")).protocols["full"]
    order = np.argsort(ranked.ids[0])
    return np.array([ranked.ranks[direction][0][order] for direction in DIRECTIONS])


def command(module: str, *arguments: str) -> None:
    """Runs a command of the project; a failure raises."""
    subprocess.run([sys.executable, "-m", module, *arguments], check=True, cwd=Path(__file__).parents[1])


def chance(pairs: int) -> list[float]:
    """Returns the same six scores for a random order of `pairs` candidates."""
    return 2 * [(pairs + 1) / 2, 100 / pairs, 1000 / pairs]


def scores_table(rows: list[tuple]) -> list[str]:
    """Returns the lines of a table of names and their six scores."""
    return [
        "| | image-to-recipe: MedR | R@1 | R@10 | recipe-to-image: MedR | R@1 | R@10 |",
        "|---|---|---|---|---|---|---|",
        *(f"| {name} | " + " | ".join(f"{score:.1f}" for score in scores) + " |" for name, *scores in rows),
    ]
