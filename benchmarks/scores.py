"""What the benchmarks that train whole runs share: a run's scores, and their table."""

import json
import subprocess
import sys
from pathlib import Path

from adamine_jax.retrieval.protocols import DIRECTIONS


def scores_of(workdir: Path, arguments: list[str]) -> tuple[list[float], int]:
    """MedR, R@1 and R@10 of both directions, and the number of test pairs; trains where that has not been done."""
    if not (workdir / "figures" / "top5_photo_to_recipe.png").exists():  # the last thing that a run writes
        command = [sys.executable, "-m", "adamine_jax.main", f"--workdir={workdir}", *arguments]
        subprocess.run(command, check=True, cwd=Path(__file__).parents[1])
    results = json.loads((workdir / "eval_test.json").read_text())["full"]
    scores = [results[direction][metric]["mean"] for direction in DIRECTIONS for metric in ("medr", "r1", "r10")]
    return scores, results["pairs"]


def chance(pairs: int) -> list[float]:
    """The same six numbers of a random order of so many pairs."""
    return 2 * [(pairs + 1) / 2, 100 / pairs, 1000 / pairs]


def scores_table(rows: list[tuple]) -> list[str]:
    """Lines of a table of names and their six scores."""
    return [
        "| | image → recipe: MedR | R@1 | R@10 | recipe → image: MedR | R@1 | R@10 |",
        "|---|---|---|---|---|---|---|",
        *(f"| {name} | " + " | ".join(f"{score:.1f}" for score in scores) + " |" for name, *scores in rows),
    ]
