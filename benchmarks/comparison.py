"""The published comparison of losses, on the kitchen: every preset on the quickstart's model.

    make quickstart
    python -m benchmarks.comparison --data quickstart/data --out runs/comparison

The same with Recipe1M is one command a preset, see docs/losses.md. Every run is a command of its own; this one goes on
where it was interrupted.
"""

import argparse
from pathlib import Path

from benchmarks.kitchen import scores_of
from benchmarks.machine import describe_machine

PRESETS = (
    "adamine",
    "adamine_ins",
    "adamine_sem",
    "adamine_ins_cls",
    "avg",
    "vse",
    "vse_pp",
    "semi_hard",
    "lifted_struct",
    "pairwise",
    "pairwise_plus",
)


def main() -> None:
    """Runs what has not been run, then writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the converted kitchen")
    parser.add_argument("--out", type=Path, required=True, help="folder of the workdirs")
    parser.add_argument("--epochs", type=int, default=18, help="of each run; the last third lowers the learning rate")
    parser.add_argument("--presets", default=",".join(PRESETS), help="with commas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "comparison.md")
    flags = parser.parse_args()

    lines = []
    for preset in flags.presets.split(","):
        arguments = [f"--config=configs/quickstart.py:{preset}", f"--config.data.dir={flags.data}"]
        arguments += [f"--config.seed={flags.seed}", f"--config.epochs={flags.epochs}"]
        arguments += [f"--config.optim.decay_epochs={flags.epochs // 3}"]
        scores, pairs = scores_of(flags.out / preset, arguments)
        lines.append(f"| `{preset}` | " + " | ".join(f"{score:.1f}" for score in scores) + " |")
    head = [
        "# The comparison of losses on the kitchen",
        "",
        f"`python -m benchmarks.comparison --epochs {flags.epochs}`: one seed, {pairs} test pairs of the quickstart.",
        describe_machine(),
        "",
        "| | image → recipe: MedR | R@1 | R@10 | recipe → image: MedR | R@1 | R@10 |",
        "|---|---|---|---|---|---|---|",
    ]
    left = [f"`{preset}`" for preset in PRESETS if preset not in flags.presets.split(",")]
    foot = [
        *(["", f"Not run: {', '.join(left)}."] if left else []),
        "",
        f"Chance is MedR {(pairs + 1) / 2:.0f} and R@10 {1000 / pairs:.1f} %. One seed's standard error of R@10 is "
        f"about {100 * (0.25 / pairs) ** 0.5:.0f} points. A small model trained for minutes on drawn dishes: the order "
        "of the losses need not be that of Recipe1M.",
        "",
    ]
    flags.results.write_text("\n".join(head + lines + foot), encoding="utf-8")
    print(flags.results.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
