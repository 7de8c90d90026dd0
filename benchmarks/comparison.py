"""Compares the losses on the kitchen or on a small real collection, with bootstrap intervals.

    make quickstart
    python -m benchmarks.comparison --data quickstart/data --out runs/comparison
    python -m benchmarks.comparison --drinks DOWNLOAD --features FILE.npy --out runs/comparison_drinks

The kitchen is learned by a narrower version of the quickstart's model, since two seeds of ten runs take long on two
cores; the collection by the model of `configs/features.py`. Rerun the command to resume it. For Recipe1M, see
docs/losses.md.
"""

from pathlib import Path

import numpy as np

from adamine_jax.retrieval.bootstrap import resample
from adamine_jax.retrieval.rank_files import ranks_path, read_ranks
from benchmarks.harness import RESULTS, describe_machine, results_parser, write_page
from benchmarks.own import CONVERSION
from benchmarks.scores import command, trained_scores

PRESETS = ("adamine", "adamine_ins", "adamine_sem", "avg", "vse", "vse_pp", "pairwise_plus", "lifted_struct")
RUNS = {f"`{preset}`": (preset, ()) for preset in PRESETS} | {
    "`adamine`, ingredients only": ("adamine", ("--config.model.recipe.instructions=none",)),
    "`adamine`, instructions only": ("adamine", ("--config.model.recipe.ingredients=False",)),
}
NARROW = (
    "--config.model.image.width=12",
    "--config.data.resize=72",
    "--config.data.image_size=64",
    "--config.epochs=12",
)
SAMPLES = 2000
_R1, _R10, _MEDR = 0, 2, 3  # of `bootstrap.METRICS`


def main() -> None:
    """Runs what is missing and writes the page."""
    parser = results_parser("comparison", __doc__, "--results")
    parser.set_defaults(page=None)
    parser.add_argument("--data", type=Path, help="converted kitchen of the quickstart")
    parser.add_argument("--drinks", type=Path, help="small collection in Recipe1M's layout")
    parser.add_argument("--features", type=Path, help="precomputed features of the collection's photos")
    parser.add_argument("--out", type=Path, required=True, help="folder for the workdirs")
    parser.add_argument("--seeds", default="1,2", help="comma-separated seeds; default: 1,2")
    parser.add_argument("--table", action="store_true", help="write the table of the finished runs; train nothing")
    flags = parser.parse_args()
    if (flags.data is None) == (flags.drinks is None) or (flags.drinks is None) != (flags.features is None):
        parser.error("give either --data, or --drinks and --features")

    if flags.data:
        config, common, collection = "quickstart", [f"--config.data.dir={flags.data.resolve()}", *NARROW], "the kitchen"
    else:
        data = flags.out.resolve() / "data"
        convert = (f"--source={flags.drinks.resolve()}", f"--out={data}", *CONVERSION)
        command("data_builders.recipe1m", *convert)
        features = f"--config.data.image_features={flags.features.resolve()}"
        # So small a collection has no classes: there is nothing to classify, and the semantic losses are 0.
        common = [f"--config.data.dir={data}", features, "--config.loss.classifier_weight=0"]
        config, collection = "features", "a small real collection"
    seeds = [int(seed) for seed in flags.seeds.split(",")]
    ranks = {}
    for seed in seeds:  # all runs of one seed before the next seed
        for number, (name, (preset, fields)) in enumerate(RUNS.items()):
            workdir = flags.out.resolve() / f"{number}_{preset}_{seed}"
            if not flags.table:
                arguments = [f"--config=configs/{config}.py:{preset}", f"--config.seed={seed}", *common, *fields]
                trained_scores(workdir, arguments)
            if ranks_path(workdir, "test").exists():
                ranks.setdefault(name, {})[seed] = read_ranks(ranks_path(workdir, "test")).protocols["full"]
    default = RESULTS / ("comparison.md" if flags.data else "comparison_drinks.md")
    write_page(flags.page or default, page(ranks, seeds, collection))


def page(ranks: dict[str, dict], seeds: list[int], collection: str) -> list[str]:
    """Returns the results page, given the ranks of each run and seed."""
    pairs = next(iter(next(iter(ranks.values())).values())).ids.shape[1]
    resampled = {name: {seed: resample(run, SAMPLES) for seed, run in runs.items()} for name, runs in ranks.items()}
    first = next(iter(resampled))
    missing = [f"{name} (seed {seed})" for seed in seeds for name in RUNS if seed not in ranks.get(name, {})]
    return [
        f"# The comparison of losses on {collection}",
        "",
        f"`python -m benchmarks.comparison` on {pairs} test pairs: means over both directions and the seeds "
        f"{', '.join(map(str, seeds))}. {describe_machine()}",
        "",
        "| | MedR | R@1, % | R@10, % | R@10 per seed | R@10 minus that of `adamine` | P(better than `adamine`) |",
        "|---|---:|---|---|---|---|---:|",
        *(row(name, runs, None if name == first else resampled[first]) for name, runs in resampled.items()),
        "",
        *([f"Not run: {', '.join(missing)}.", ""] if missing else []),
        f"Brackets contain 95 % intervals of a bootstrap with {SAMPLES:,} samples of the test recipes, paired where "
        "two runs are compared, over all seeds of a run. They cover the choice of the test recipes, but not the seed "
        "of the training; for that, compare the scores per seed. The models are small and were trained for minutes: "
        "the losses may rank differently on Recipe1M. "
        f"Chance is MedR {(pairs + 1) / 2:.0f}, R@1 {100 / pairs:.1f} % and R@10 {1000 / pairs:.1f} %.",
    ]


def row(name: str, runs: dict, adamine: dict | None) -> str:
    """Returns a line of the table; it is compared with `adamine` on the seeds that both have."""
    measured = np.mean([run.measured for run in runs.values()], axis=(0, 1))
    samples = np.mean([run.samples for run in runs.values()], axis=(0, 2))

    def cell(metric: int) -> str:
        low, high = np.quantile(samples[:, metric], [0.025, 0.975])
        return f"{measured[metric]:.1f} [{low:.1f}, {high:.1f}]"

    per_seed = ", ".join(f"{run.measured[:, _R10].mean():.1f}" for run in runs.values())
    cells = [f"{measured[_MEDR]:.1f}", cell(_R1), cell(_R10), per_seed]
    common = [seed for seed in runs if adamine and seed in adamine]
    if common:
        this, other = (
            np.mean([each[seed].samples for seed in common], axis=(0, 2))[:, _R10] for each in (runs, adamine)
        )
        value = np.mean([(runs[seed].measured - adamine[seed].measured)[:, _R10].mean() for seed in common])
        low, high = np.quantile(this - other, [0.025, 0.975])
        probability = np.mean(this > other) + np.mean(this == other) / 2
        cells += [f"{value:+.1f} [{low:+.1f}, {high:+.1f}]", f"{100 * probability:.0f} %"]
    else:
        cells += ["", ""]
    return f"| {name} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
