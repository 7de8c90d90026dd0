"""Trains on a small real collection with precomputed image features: three seeds, and ablations of the recipe.

    python -m benchmarks.drinks --source DOWNLOAD --features DOWNLOAD/features.npy --out runs/drinks

The claim: the towers of `configs/features.py` generalise from hundreds of real recipes, provided that rare ingredient
names are split into words. Rerun the command to resume it.
"""

from pathlib import Path

import numpy as np

from benchmarks.harness import describe_machine, results_parser, write_page
from benchmarks.scores import chance, command, scores_table, trained_scores

CONVERSION = ("--word-min-count=3", "--word-dim=100")
SEEDS = (1, 2, 3)
RUNS = {
    "as documented": ("words", ()),
    "ingredient names missing from the vocabulary dropped": ("drop", ()),
    "without instructions": ("words", ("--config.model.recipe.instructions=none",)),
    "without ingredients": ("words", ("--config.model.recipe.ingredients=False",)),
}


def main() -> None:
    """Runs what is missing and writes the page."""
    parser = results_parser("drinks", __doc__, "--results")
    parser.add_argument("--source", type=Path, required=True, help="collection in Recipe1M's layout")
    parser.add_argument("--features", type=Path, required=True, help="features of its photos, see docs/features.md")
    parser.add_argument("--out", type=Path, required=True, help="folder for the data sets and workdirs")
    flags = parser.parse_args()

    rows, pairs = [], 0
    for number, (name, (unknown, fields)) in enumerate(RUNS.items()):
        data = flags.out.resolve() / f"data_{unknown}"
        convert = (f"--source={flags.source.resolve()}", f"--out={data}", f"--unknown-ingredients={unknown}")
        command("data_builders.recipe1m", *convert, *CONVERSION)
        scores = []
        for seed in SEEDS:
            arguments = ["--config=configs/features.py", f"--config.data.dir={data}", f"--config.seed={seed}", *fields]
            arguments.append(f"--config.data.image_features={flags.features.resolve()}")
            run_scores, pairs = trained_scores(flags.out.resolve() / f"{number}_{unknown}_{seed}", arguments)
            scores.append(run_scores)
        rows.append((name, *np.mean(scores, axis=0)))
    rows.append(("chance", *chance(pairs)))
    lines = [
        "# A small real collection with precomputed image features",
        "",
        f"`python -m benchmarks.drinks`: {pairs} test pairs, mean of {len(SEEDS)} seeds. {describe_machine()}",
        "",
        *scores_table(rows),
        "",
        "R@K is in percent, and the best MedR is 1. The standard error of one seed's R@10 is about "
        f"{100 * np.sqrt(0.21 / pairs):.0f} points.",
    ]
    write_page(flags.page, lines)


if __name__ == "__main__":
    main()
