"""Compares the scores of models trained with and without cached image features, after the same number of epochs.

    make quickstart
    python -m benchmarks.frozen_scores --data quickstart/data --workdir quickstart/run --out runs/frozen

The claim: training on cached features scores the same, within noise, as computing them in every step. The backbone is
that of the quickstart's run; all other parameters start from random values. Rerun the command to resume it.
"""

import json
from pathlib import Path

import numpy as np

from adamine_jax.retrieval.protocols import DIRECTIONS
from benchmarks.harness import describe_machine, results_parser, write_page
from benchmarks.scores import command, trained_scores

EPOCHS = 8
SEEDS = (11, 12, 13)  # the quickstart, which trained the ResNet, has seed 1
RUNS = {
    "computed in each step, BatchNorm statistics of the batch (as published)": (),
    "computed in each step, BatchNorm statistics frozen": ("--config.freeze_batch_stats=True",),
    "cached, 1 crop": ("--config.cache_frozen_features=1",),
    "cached, 4 crops": ("--config.cache_frozen_features=4",),
}


def main() -> None:
    """Runs what is missing and writes the page."""
    parser = results_parser("frozen_scores", __doc__, "--results")
    parser.add_argument("--data", type=Path, required=True, help="converted kitchen")
    parser.add_argument("--workdir", type=Path, required=True, help="workdir of the quickstart, which has the ResNet")
    parser.add_argument("--out", type=Path, required=True, help="folder for the workdirs")
    flags = parser.parse_args()

    out = flags.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    weights = out / "resnet.safetensors"
    if not weights.exists():
        command("adamine_jax.export_weights", f"--workdir={flags.workdir.resolve()}", f"--out={weights}")
    common = [
        "--config=configs/quickstart.py",
        f"--config.data.dir={flags.data.resolve()}",
        f"--config.epochs={EPOCHS}",
    ]
    common += [f"--config.unfreeze_epoch={EPOCHS}", f"--config.model.image.weights={weights}"]
    common += [f"--config.optim.decay_epochs={EPOCHS // 2}", "--config.checkpoint.best_by=rsum"]
    rows, pairs = [], 0
    for name, fields in RUNS.items():
        scores = []
        for seed in SEEDS:
            workdir = out / f"{'_'.join(fields).replace('--config.', '') or 'computed'}_{seed}"
            test, pairs = trained_scores(workdir, [*common, f"--config.seed={seed}", *fields])
            scores.append(
                [*last_validation(workdir / "metrics.jsonl"), (test[1] + test[4]) / 2, (test[2] + test[5]) / 2]
            )
        mean, std = np.mean(scores, axis=0), np.std(scores, axis=0, ddof=1)
        cells = " | ".join(f"{mean:.1f} ± {std:.1f}" for mean, std in zip(mean, std, strict=True))
        rows.append(f"| {name} | {cells} | {', '.join(f'{r1:.1f}' for r1, *_ in scores)} |")
    lines = [
        "# The frozen phase with and without cached features: scores",
        "",
        f"`python -m benchmarks.frozen_scores`: the quickstart's model on its kitchen. The trained ResNet is frozen "
        f"for {EPOCHS} epochs, all other parameters are trained from random values; seeds "
        f"{', '.join(map(str, SEEDS))}. {describe_machine()}",
        "",
        "| features | validation R@1 | R@10 | test R@1 | R@10 | validation R@1 per seed |",
        "|---|---:|---:|---:|---:|---|",
        *rows,
        "",
        "Scores are in percent, averaged over the two directions: mean ± standard deviation over the seeds. Validation "
        f"is that of the last epoch; the test ({pairs} pairs) uses the best checkpoint.",
    ]
    write_page(flags.page, lines)


def last_validation(metrics: Path) -> tuple[float, float]:
    """Returns R@1 and R@10 of the last epoch in percent, averaged over the two directions."""
    records = [json.loads(line) for line in metrics.read_text().splitlines()]
    last = [record for record in records if record["split"] == "val"][-1]
    return tuple(float(np.mean([last[f"{key}_{direction}"] for direction in DIRECTIONS])) for key in ("r1", "r10"))


if __name__ == "__main__":
    main()
