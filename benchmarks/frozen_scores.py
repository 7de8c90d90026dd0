"""The frozen phase with and without cached features: what the models score after the same epochs.

    make quickstart
    python -m benchmarks.frozen_scores --data quickstart/data --workdir quickstart/run --out runs/frozen

The claim: training on cached features gives, within noise, what computing them each time does. The ResNet is the one
the quickstart trained, and everything else starts anew. Every run is a command of its own; this one goes on where it
was interrupted.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from adamine_jax.retrieval.protocols import DIRECTIONS
from benchmarks.machine import describe_machine
from benchmarks.scores import scores_of

EPOCHS = 8
SEEDS = (11, 12, 13)  # the quickstart, whose ResNet this is, has seed 1
RUNS = {
    "computed each time, BatchNorm by the batch (as published)": (),
    "computed each time, BatchNorm's statistics frozen": ("--config.freeze_batch_stats=True",),
    "cached, 1 crop": ("--config.cache_frozen_features=1",),
    "cached, 4 crops": ("--config.cache_frozen_features=4",),
}


def main() -> None:
    """Runs what has not been run, then writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the converted kitchen")
    parser.add_argument("--workdir", type=Path, required=True, help="of the quickstart, for its ResNet")
    parser.add_argument("--out", type=Path, required=True, help="folder of the workdirs")
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results" / "frozen_scores.md")
    flags = parser.parse_args()

    flags.out.mkdir(parents=True, exist_ok=True)
    weights = flags.out / "resnet.safetensors"
    if not weights.exists():
        export = [sys.executable, "-m", "adamine_jax.export_weights", f"--workdir={flags.workdir}", f"--out={weights}"]
        subprocess.run(export, check=True)
    common = ["--config=configs/quickstart.py", f"--config.data.dir={flags.data}", f"--config.epochs={EPOCHS}"]
    common += [f"--config.unfreeze_epoch={EPOCHS}", f"--config.model.image.weights={weights.resolve()}"]
    common += [f"--config.optim.decay_epochs={EPOCHS // 2}", "--config.checkpoint.best_by=rsum"]
    rows, pairs = [], 0
    for name, fields in RUNS.items():
        of_seeds = []
        for seed in SEEDS:
            workdir = flags.out / f"{'_'.join(fields).replace('--config.', '') or 'computed'}_{seed}"
            test, pairs = scores_of(workdir, [*common, f"--config.seed={seed}", *fields])
            val_r1, val_r10 = last_validation(workdir / "metrics.jsonl")
            of_seeds.append([val_r1, val_r10, (test[1] + test[4]) / 2, (test[2] + test[5]) / 2])
        rows.append((name, np.array(of_seeds)))
    flags.results.write_text(page(rows, pairs), encoding="utf-8")
    print(flags.results.read_text(encoding="utf-8"))


def last_validation(metrics: Path) -> tuple[float, float]:
    """R@1 and R@10 in percent after the last epoch, means of the two directions."""
    records = [json.loads(line) for line in metrics.read_text().splitlines()]
    last = [record for record in records if record["split"] == "val"][-1]
    return tuple(float(np.mean([last[f"{key}_{direction}"] for direction in DIRECTIONS])) for key in ("r1", "r10"))


def page(rows: list[tuple[str, np.ndarray]], pairs: int) -> str:
    """The results page."""
    lines = [
        "# The frozen phase, with and without cached features: scores",
        "",
        f"`python -m benchmarks.frozen_scores`, the quickstart's model on its kitchen, its trained ResNet frozen for "
        f"{EPOCHS} epochs and the rest trained from nothing; seeds {', '.join(map(str, SEEDS))}. {describe_machine()}",
        "",
        "| features | validation R@1 | R@10 | test R@1 | R@10 | validation R@1 of each seed |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, scores in rows:
        means, spread = scores.mean(axis=0), scores.std(axis=0, ddof=1)
        cells = " | ".join(f"{mean:.1f} ± {std:.1f}" for mean, std in zip(means, spread, strict=True))
        lines.append(f"| {name} | {cells} | {', '.join(f'{r1:.1f}' for r1 in scores[:, 0])} |")
    lines += [
        "",
        f"In percent, the mean of the two directions; mean ± standard deviation of the seeds. Validation after the "
        f"last epoch; the test ({pairs} pairs) of the best checkpoint.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
