"""A small real collection on another encoder's features: three seeds, and what each part of the text tells.

    python -m benchmarks.drinks --source DOWNLOAD --features DOWNLOAD/features.npy --out runs/drinks

The claim: towers of `configs/features.py` generalise from some hundreds of real recipes, and reading rare names of
ingredients as their words is what lets them. Every run is a command of its own; this one goes on where it was
interrupted.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.scores import chance, scores_of, scores_table

CONVERSION = ("--word-min-count=3", "--word-dim=100")
SEEDS = (1, 2, 3)
RUNS = {
    "as documented": ("words", ()),
    "names the vocabulary lacks dropped": ("drop", ()),
    "without instructions": ("words", ("--config.model.recipe.instructions=none",)),
    "without ingredients": ("words", ("--config.model.recipe.ingredients=False",)),
}


def main() -> None:
    """Converts and runs what has not been, then writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True, help="the collection in Recipe1M's layout")
    parser.add_argument("--features", type=Path, required=True, help="matrix of its photos' features, see docs/")
    parser.add_argument("--out", type=Path, required=True, help="folder of the data sets and workdirs")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "drinks.md")
    flags = parser.parse_args()
    out = flags.out.resolve()

    rows, pairs = [], 0
    for name, (unknown, fields) in RUNS.items():
        data = out / f"data_{unknown}"
        convert = [sys.executable, "-m", "data_builders.recipe1m", f"--source={flags.source}", f"--out={data}"]
        subprocess.run([*convert, *CONVERSION, f"--unknown-ingredients={unknown}"], check=True)
        scores = []
        for seed in SEEDS:
            arguments = ["--config=configs/features.py", f"--config.data.dir={data}", f"--config.seed={seed}", *fields]
            arguments.append(f"--config.data.image_features={flags.features.resolve()}")
            numbers, pairs = scores_of(out / f"{name.replace(' ', '_')}_{seed}", arguments)
            scores.append(numbers)
        rows.append((name, *np.mean(scores, axis=0)))
    rows.append(("chance", *chance(pairs)))
    flags.results.write_text(page(rows, pairs), encoding="utf-8")
    print(flags.results.read_text(encoding="utf-8"))


def page(rows: list[tuple], pairs: int) -> str:
    """The results page."""
    lines = [
        "# A small real collection on given features",
        "",
        f"`python -m benchmarks.drinks`, {pairs} test pairs, mean of {len(SEEDS)} seeds. {describe_machine()}",
        "",
        *scores_table(rows),
        "",
        "R@K in percent, MedR from 1. One seed's standard error of R@10 is about "
        f"{100 * np.sqrt(0.21 / pairs):.0f} points.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
