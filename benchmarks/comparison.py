"""The published comparison of losses, on the kitchen and on a small real collection: what each scores, how surely.

    make quickstart
    python -m benchmarks.comparison --data quickstart/data --out runs/comparison
    python -m benchmarks.comparison --drinks DOWNLOAD --features FILE.npy --out runs/comparison_drinks

The first is the quickstart's model made narrower, because two seeds of ten runs take long on two cores; the second is
that of `configs/features.py`. Every run is a command of its own, and this one goes on where it was interrupted; with
`--table` it runs nothing, and makes a table of what is there. The same with Recipe1M is one command a preset, see
docs/losses.md.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from adamine_jax.retrieval.bootstrap import resample
from adamine_jax.retrieval.rank_files import ranks_path, read_ranks
from benchmarks.drinks import CONVERSION
from benchmarks.machine import describe_machine
from benchmarks.scores import scores_of

RESULTS = Path(__file__).parent / "results"
RUNS = {
    "`adamine`": ("adamine", ()),
    "`adamine_ins`": ("adamine_ins", ()),
    "`adamine_sem`": ("adamine_sem", ()),
    "`avg`": ("avg", ()),
    "`vse`": ("vse", ()),
    "`vse_pp`": ("vse_pp", ()),
    "`pairwise_plus`": ("pairwise_plus", ()),
    "`lifted_struct`": ("lifted_struct", ()),
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
    """Runs what has not been run, then writes the table."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="python -m benchmarks.comparison",
    )
    parser.add_argument("--data", type=Path, help="the converted kitchen of the quickstart")
    parser.add_argument("--drinks", type=Path, help="or a small collection in Recipe1M's layout")
    parser.add_argument("--features", type=Path, help="and the features of its photos")
    parser.add_argument("--out", type=Path, required=True, help="folder of the workdirs")
    parser.add_argument("--seeds", default="1,2", help="with commas; default: 1,2")
    parser.add_argument("--runs", default=",".join(map(str, range(len(RUNS)))), help="their numbers, with commas")
    parser.add_argument("--table", action="store_true", help="runs nothing more, and makes a table of what is there")
    parser.add_argument("--results", type=Path)
    flags = parser.parse_args()
    if (flags.data is None) == (flags.drinks is None) or (flags.drinks is None) != (flags.features is None):
        parser.error("give --data, or --drinks and --features")

    common, config = kitchen(flags) if flags.data else drinks(flags)
    seeds, numbers = [int(seed) for seed in flags.seeds.split(",")], set(map(int, flags.runs.split(",")))
    found = {}
    for seed in seeds:  # all runs of a seed before the next one
        for number, (name, (preset, fields)) in enumerate(RUNS.items()):
            workdir = flags.out / f"{number}_{preset}_{seed}"
            arguments = [f"--config={config}:{preset}", f"--config.seed={seed}", *common, *fields]
            if not flags.table and number in numbers:
                scores_of(workdir, arguments)
            if ranks_path(workdir, "test").exists():
                found.setdefault(name, {})[seed] = read_ranks(ranks_path(workdir, "test")).protocols["full"]
    results = flags.results or RESULTS / ("comparison.md" if flags.data else "comparison_drinks.md")
    results.write_text(page(found, seeds, "the kitchen" if flags.data else "a small real collection"), encoding="utf-8")
    print(results.read_text(encoding="utf-8"))


def kitchen(flags: argparse.Namespace) -> tuple[list[str], str]:
    """What all runs on the kitchen have in common, and their base configuration."""
    return [f"--config.data.dir={flags.data}", *NARROW], "configs/quickstart.py"


def drinks(flags: argparse.Namespace) -> tuple[list[str], str]:
    """Likewise on the small collection, which is converted."""
    data = flags.out.resolve() / "data"
    convert = [sys.executable, "-m", "data_builders.recipe1m", f"--source={flags.drinks}", f"--out={data}"]
    subprocess.run([*convert, *CONVERSION, "--unknown-ingredients=words"], check=True)
    features = f"--config.data.image_features={flags.features.resolve()}"
    # So few recipes have no classes: there is nothing to classify, and the semantic losses are 0.
    return [f"--config.data.dir={data}", features, "--config.loss.classifier_weight=0"], "configs/features.py"


def page(found: dict[str, dict], seeds: list[int], collection: str) -> str:
    """The results page of the ranks of each run and seed."""
    pairs = next(iter(next(iter(found.values())).values())).ids.shape[1]
    resampled = {
        name: {seed: resample(ranked, SAMPLES) for seed, ranked in of_seeds.items()} for name, of_seeds in found.items()
    }
    first = next(iter(resampled))
    lines = [row(name, of_seeds, resampled[first] if name != first else None) for name, of_seeds in resampled.items()]
    there = [seed for seed in seeds if any(seed in of_seeds for of_seeds in found.values())]
    absent = [f"seed {seed}" for seed in seeds if seed not in there]
    absent += [f"{name} (seed {seed})" for name in RUNS for seed in there if seed not in found.get(name, {})]
    return "\n".join(
        [
            f"# The comparison of losses on {collection}",
            "",
            f"`python -m benchmarks.comparison`, {pairs} test pairs, means of both directions and of the seeds "
            f"run: {', '.join(map(str, there))}. {describe_machine()}",
            "",
            "| | MedR | R@1, % | R@10, % | R@10 of each seed | R@10 above that of `adamine` | better, sure to |",
            "|---|---:|---|---|---|---|---:|",
            *lines,
            "",
            *([f"Not run: {', '.join(absent)}.", ""] if absent else []),
            f"In brackets are 95 % intervals: a bootstrap of {SAMPLES:,} samples over the tested recipes, paired where "
            "two runs are compared, all seeds of a run together. They cover which recipes were tested, and not the "
            "seeds of the training, whose spread is beside them. A small model, trained for minutes: the order of the "
            "losses need not be that of Recipe1M. "
            f"Chance is MedR {(pairs + 1) / 2:.0f}, R@1 {100 / pairs:.1f} % and R@10 {1000 / pairs:.1f} %.",
            "",
        ]
    )


def row(name: str, of_seeds: dict, adamine: dict | None) -> str:
    """A line of the table; of the comparison with `adamine` on the seeds that both have."""
    measured = np.mean([run.measured for run in of_seeds.values()], axis=(0, 1))
    samples = np.mean([run.samples for run in of_seeds.values()], axis=(0, 2))

    def cell(metric: int) -> str:
        low, high = np.quantile(samples[:, metric], [0.025, 0.975])
        return f"{measured[metric]:.1f} [{low:.1f}, {high:.1f}]"

    each = ", ".join(f"{run.measured[:, _R10].mean():.1f}" for run in of_seeds.values())
    cells = [f"{measured[_MEDR]:.1f}", cell(_R1), cell(_R10), each]
    both = [seed for seed in of_seeds if adamine and seed in adamine]
    if both:
        ours, theirs = (
            np.mean([runs[seed].samples for seed in both], axis=(0, 2))[:, _R10] for runs in (of_seeds, adamine)
        )
        value = np.mean([(of_seeds[seed].measured - adamine[seed].measured)[:, _R10].mean() for seed in both])
        low, high = np.quantile(ours - theirs, [0.025, 0.975])
        sure = np.mean(ours > theirs) + np.mean(ours == theirs) / 2
        cells += [f"{value:+.1f} [{low:+.1f}, {high:+.1f}]", f"{100 * sure:.0f} %"]
    else:
        cells += ["", ""]
    return f"| {name} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
