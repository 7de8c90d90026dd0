"""What a model needs to read on the kitchen: three seeds of the quickstart, its ablations, chance and linear maps.

    make quickstart
    python -m benchmarks.kitchen --data quickstart/data --download quickstart/download --out runs/kitchen

The claim: AdaMine learns to match photos and recipes, and does worse without the ingredients, without the instructions
or on other recipes' photos, so that each of the three tells something of its own. Every run is a command of its own;
this one goes on where it was interrupted.
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks import kitchen_linear
from benchmarks.machine import describe_machine
from benchmarks.scores import chance, scores_of, scores_table

RUNS = {
    "AdaMine, seed 1": ["--config.seed=1"],
    "AdaMine, seed 2": ["--config.seed=2"],
    "AdaMine, seed 3": ["--config.seed=3"],
    "without instructions": ["--config.seed=1", "--config.model.recipe.instructions=none"],
    "without ingredients": ["--config.seed=1", "--config.model.recipe.ingredients=False"],
    "photos of other recipes": ["--config.seed=1", "--config.data.shuffle_photos=True"],
    "untrained": ["--config.seed=1", "--config.epochs=0"],
}


def main() -> None:
    """Runs what has not been run, then writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the converted kitchen")
    parser.add_argument("--download", type=Path, required=True, help="the kitchen as it was written")
    parser.add_argument("--out", type=Path, required=True, help="folder of the workdirs")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "kitchen.md")
    flags = parser.parse_args()

    rows = []
    for name, fields in RUNS.items():
        workdir = flags.out / name.replace(" ", "_").replace(",", "")
        scores, pairs = scores_of(
            workdir, ["--config=configs/quickstart.py", f"--config.data.dir={flags.data}", *fields]
        )
        rows.append((name, *scores))
    rows.append(("linear maps: colours, ingredients", *linear_maps(flags.download)))
    rows.append(("chance", *chance(pairs)))
    flags.results.write_text(page(rows, pairs), encoding="utf-8")
    print(flags.results.read_text(encoding="utf-8"))


def linear_maps(download: Path) -> list[float]:
    """MedR, R@1 and R@10 of both directions of the linear baseline."""
    train, val, test = kitchen_linear.load(download)
    _, weights = kitchen_linear.fit(train, val, epochs=40, seed=0)
    directions = kitchen_linear.retrieval(*kitchen_linear.embed(weights, test)).values()
    return [number for r1, _, r10, medr in directions for number in (medr, r1, r10)]


def page(rows: list[tuple], pairs: int) -> str:
    """The results page."""
    lines = [
        "# The kitchen: what a model needs to read",
        "",
        f"`python -m benchmarks.kitchen`, {pairs} test pairs of `make quickstart`. {describe_machine()}",
        "",
        *scores_table(rows),
    ]
    r10 = np.mean([[row[3], row[6]] for row in rows[:3]])
    lines += [
        "",
        f"Mean R@10 of the three seeds, both directions: {r10:.1f} %. R@K in percent, MedR from 1. One seed's standard "
        f"error of R@10 is about {100 * np.sqrt(0.25 / pairs):.0f} points.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
