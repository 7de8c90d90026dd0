"""Adds one change at a time to the published training, three seeds each, on the kitchen or on a small real collection.

    make quickstart
    python -m benchmarks.ablation kitchen --data quickstart/data --out runs/ablation

    python -m benchmarks.ablation parts --data quickstart/data --out runs/ablation_parts

compares queries by a part with models that were trained on that part alone. On a small real collection:

    python -m benchmarks.ablation features --data runs/own/data --features DOWNLOAD/features.npy --out runs/ablation_own

That data set is the one that `python -m benchmarks.own` makes; the photos are given as features. The last command takes
the download instead, and converts it without the photos of every third train recipe:

    python -m benchmarks.ablation withheld --data DOWNLOAD --features DOWNLOAD/features.npy --out runs/withheld

Each row has the changes of all rows above it, except in `parts`. Rerun the command to resume it.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from adamine_jax.base.errors import one_line_errors
from benchmarks.harness import describe_machine, results_parser, write_page
from benchmarks.missing_parts import part_scores
from benchmarks.own import CONVERSION, difference
from benchmarks.scores import command, test_ranks, trained_scores

SEEDS = (1, 2, 3)
PART_NAMES = ("the title alone", "ingredients alone", "instructions alone")

AVERAGE = ("+ average of the weights", "", {"optim.average": 0.98})
DROPPING = ("+ part dropping", "", {"data.drop_part": 0.3})
PARTS = (
    "+ loss between parts",
    "infonce+0.3*parts",
    {
        **{"model.recipe.part_embeddings": True, "loss.temperature": None},
        **{"loss.terms.infonce.temperature": 0.15, "loss.terms.parts.temperature": 0.15},
    },
)
ALONE = {"model.recipe.part_embeddings": False, "data.drop_part": 0}
WITHOUT_TITLE, ALL = ("ingredients", "instructions"), ("title", "ingredients", "instructions")

ROWS = {
    "kitchen": (
        ("published training (`configs/quickstart.py`)", "", {}),
        ("+ title", "", {"model.recipe.title": True}),
        (
            "+ dropout, weight decay",
            "",
            {"model.recipe.dropout": 0.2, "model.recipe.word_dropout": 0.1, "optim.weight_decay": 0.05},
        ),
        ("+ InfoNCE in place of triplets, linear head", "infonce", {"model.head": "linear"}),
        (
            "+ warm-up, cosine decay, half of the steps with twice the pairs and rate",
            "",
            {
                **{"optim.warmup_epochs": 1, "optim.decay_epochs": 12, "optim.decay": "cosine"},
                **{"batch_size": 128, "optim.lr": 2e-3},
            },
        ),
        ("+ augmentation of photos", "", {"data.crop_area": 0.5, "data.flip": True, "data.jitter": 0.2}),
        DROPPING,
        ("+ loss between parts", "infonce+0.3*parts", {"model.recipe.part_embeddings": True}),
        ("+ neighbours", "", {"batches": "neighbours", "neighbours.share": 0.25}),
        AVERAGE,
    ),
    "parts": (
        ("`configs/quickstart.py:infonce` without its loss between photos and parts", "infonce+0.3*parts", {}),
        (
            "trained on the title alone",
            "infonce",
            ALONE | {"model.recipe.ingredients": False, "model.recipe.instructions": "none"},
        ),
        (
            "trained on the ingredients alone",
            "infonce",
            ALONE | {"model.recipe.title": False, "model.recipe.ingredients": True},
        ),
        (
            "trained on the instructions alone",
            "infonce",
            {"model.recipe.ingredients": False, "model.recipe.instructions": "words"},
        ),
        (
            "`configs/quickstart.py:infonce`",
            "infonce+0.3*parts",
            {
                **dict.fromkeys(
                    (*ALONE, "model.recipe.title", "model.recipe.ingredients", "model.recipe.instructions")
                ),
                "loss.terms.parts.photos": 2,
            },
        ),
    ),
    "features": (
        (
            "published training (bag of words)",
            "triplet",
            {
                **{"model.recipe.parts": WITHOUT_TITLE, "model.recipe.dropout": 0, "model.image.dropout": 0},
                **{"optim.weight_decay": 0, "optim.decay_epochs": 0},
            },
        ),
        ("+ title", "", {"model.recipe.parts": ALL}),
        (
            "+ dropout, weight decay",
            "",
            {"model.recipe.dropout": 0.3, "model.image.dropout": 0.5, "optim.weight_decay": 0.05},
        ),
        ("+ InfoNCE in place of triplets", "infonce", {"loss.temperature": 0.15}),
        ("+ cosine decay (`configs/own.py`)", "", {"optim.decay_epochs": 60}),
        DROPPING,
        PARTS,
        ("+ neighbours", "", {"batches": "neighbours", "neighbours.share": 0.25, "neighbours.every_epochs": 5}),
        AVERAGE,
    ),
    "withheld": (
        ("`configs/own.py`, without the photos of a third", "", {}),
        PARTS,
        ("+ the third without photos, a third of each batch", "", {"data.text_share": 0.33}),
    ),
}
"""By data set, (name, loss if it changes, changed fields) of each row; None = the field is no longer changed."""
PRESETS = {
    **{"kitchen": "configs/quickstart.py", "parts": "configs/quickstart.py:infonce"},
    **{"features": "configs/own.py", "withheld": "configs/own.py"},
}


@one_line_errors
def main() -> None:
    """Runs what is missing and writes the page."""
    parser = results_parser("ablation", __doc__, "--results")
    parser.add_argument("rows", choices=ROWS, help="which data set")
    parser.add_argument("--data", type=Path, required=True, help="the data set, as config.data.dir")
    parser.add_argument("--features", type=Path, help="features of the photos, for features and withheld")
    parser.add_argument("--out", type=Path, required=True, help="folder for the workdirs")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    flags = parser.parse_args()
    flags.data, flags.out = flags.data.resolve(), flags.out.resolve()
    if flags.rows == "withheld":
        flags.data = without_a_third(flags.data, flags.out)
    changes, loss, lines, before, pairs = {}, "", [], None, 0
    for number, (name, new_loss, fields) in enumerate(ROWS[flags.rows]):
        changes, loss = changes | fields, new_loss or loss
        scores, alone, ranks = [], [], []
        for seed in flags.seeds:
            given = arguments(flags, loss, changes | {"seed": seed})
            # Other settings have another workdir, so a resumed benchmark does not report them as done.
            workdir = flags.out / f"{number}_{seed}_{hashlib.sha256(' '.join(given).encode()).hexdigest()[:6]}"
            found, pairs = trained_scores(workdir, given)
            scores.append(found)
            alone.append(parts_alone(workdir))
            ranks.append(test_ranks(workdir))
        gain = "" if before is None or flags.rows == "parts" else difference(np.array(ranks), before)
        before = np.array(ranks)
        means = [f"{score:.1f}" for score in np.mean(scores, axis=0)]
        lines.append(f"| {name} | {' | '.join([*means, gain, *map(percent, zip(*alone, strict=True))])} |")
    write_page(flags.page.with_stem(f"ablation_{flags.rows}"), [*heading(flags, pairs), *lines, *EXPLANATION])


def without_a_third(source: Path, out: Path) -> Path:
    """Converts a download without the photos of every third train recipe that has one; returns the data set."""
    folder, data = out / "download", out / "data"
    folder.mkdir(parents=True, exist_ok=True)
    layers = {name: json.loads((source / f"{name}.json").read_text()) for name in ("layer1", "layer2", "det_ingrs")}
    with_photo = {entry["id"] for entry in layers["layer2"] if entry["images"]}
    train = {recipe["id"] for recipe in layers["layer1"] if recipe["partition"] == "train"}
    withheld = set(sorted(train & with_photo)[::3])
    layers["layer2"] = [entry for entry in layers["layer2"] if entry["id"] not in withheld]
    for name, layer in layers.items():
        (folder / f"{name}.json").write_text(json.dumps(layer))
    if not (folder / "images").exists():
        (folder / "images").symlink_to((source / "images").resolve())
    command("data_builders.recipe1m", f"--source={folder}", f"--out={data}", "--without-photos", *CONVERSION)
    return data


def arguments(flags: argparse.Namespace, loss: str, changes: dict) -> list[str]:
    """Returns the arguments of `adamine_jax.main`."""
    preset = PRESETS[flags.rows]
    variant = f"{',' if ':' in preset else ':'}loss={loss}" if loss else ""
    given = {"data.dir": str(flags.data)} | changes
    if flags.features:
        given["data.image_features"] = str(flags.features.resolve())
    return [
        f"--config={preset}{variant}",
        *(f"--config.{field}={value}" for field, value in given.items() if value is not None),
    ]


def parts_alone(workdir: Path) -> list[float]:
    """Returns the R@10 of queries by each part alone, the mean of both directions; NaN if it is not read."""
    scores = part_scores(workdir)
    return [np.mean([scores[name][2], scores[name][5]]) if name in scores else np.nan for name in PART_NAMES]


def percent(values: tuple[float, ...]) -> str:
    """Formats the mean over the seeds."""
    return "—" if np.isnan(values).any() else f"{np.mean(values):.1f}"


def heading(flags: argparse.Namespace, pairs: int) -> list[str]:
    """Returns the lines above the rows."""
    return [
        f"# One change at a time: {flags.rows}",
        "",
        f"`python -m benchmarks.ablation {flags.rows}`: {pairs} test pairs, means of {len(flags.seeds)} seeds. "
        f"{describe_machine()}",
        "",
        "| | photo → recipe: MedR | R@1 | R@10 | recipe → photo: MedR | R@1 | R@10 | change of R@10 | title alone | "
        "ingredients alone | instructions alone |",
        f"|---|{'---:|' * 10}",
    ]


EXPLANATION = (
    "",
    "R@K is in percent. The change is that of the mean R@10 of both directions from the row above, with the 95 % "
    "interval of a paired bootstrap over the test pairs. The last three columns are the mean R@10 of both directions "
    "with recipes of which only that part is known, as in [missing_parts.md](missing_parts.md).",
)


if __name__ == "__main__":
    sys.exit(main())
