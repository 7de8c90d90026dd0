"""Shows which inputs a model needs on the kitchen: three seeds of the quickstart, ablations, linear maps and chance.

    make quickstart
    python -m benchmarks.kitchen --data quickstart/data --download quickstart/download --out runs/kitchen

The claim: AdaMine learns to match images and recipes, and does worse without the ingredients, without the instructions
or with the photos of other recipes, so each of the three carries information. Rerun the command to resume it.
"""

from pathlib import Path

import numpy as np

from benchmarks import kitchen_linear
from benchmarks.harness import describe_machine, results_parser, write_page
from benchmarks.scores import chance, scores_table, trained_scores

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
    """Runs what is missing and writes the page."""
    parser = results_parser("kitchen", __doc__, "--results")
    parser.add_argument("--data", type=Path, required=True, help="converted kitchen")
    parser.add_argument("--download", type=Path, required=True, help="kitchen before conversion")
    parser.add_argument("--out", type=Path, required=True, help="folder for the workdirs")
    flags = parser.parse_args()

    rows, pairs = [], 0
    for name, fields in RUNS.items():
        workdir = flags.out.resolve() / name.replace(" ", "_").replace(",", "")
        arguments = ["--config=configs/quickstart.py", f"--config.data.dir={flags.data.resolve()}", *fields]
        scores, pairs = trained_scores(workdir, arguments)
        rows.append((name, *scores))
    r10 = np.mean([[row[3], row[6]] for row in rows[:3]])
    rows.append(("linear maps: colours, ingredients", *linear_scores(flags.download)))
    rows.append(("chance", *chance(pairs)))
    lines = [
        "# The kitchen: the inputs that a model needs",
        "",
        f"`python -m benchmarks.kitchen` on the {pairs} test pairs of `make quickstart`. {describe_machine()}",
        "",
        *scores_table(rows),
        "",
        f"The mean R@10 of the three seeds and both directions is {r10:.1f} %. R@K is in percent, and the best MedR is "
        f"1. The standard error of one seed's R@10 is about {100 * np.sqrt(0.25 / pairs):.0f} points.",
    ]
    write_page(flags.page, lines)


def linear_scores(download: Path) -> list[float]:
    """Returns MedR, R@1 and R@10 of each direction for the linear baseline."""
    train, val, test = kitchen_linear.load(download)
    _, weights = kitchen_linear.fit(train, val, epochs=40, seed=0)
    directions = kitchen_linear.retrieval(*kitchen_linear.embed(weights, test)).values()
    return [score for r1, _, r10, medr in directions for score in (medr, r1, r10)]


if __name__ == "__main__":
    main()
