"""Draws a run's figures again from what the run has saved; no model is loaded.

python -m adamine_jax.figures --workdir runs/a
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from adamine_jax.errors import UserError, one_line_errors
from adamine_jax.plots.curves import curves
from adamine_jax.plots.items import UnreadablePhoto, load_items
from adamine_jax.plots.top5 import top5_photo_to_recipe, top5_recipe_to_photo


def draw_curves(workdir: Path) -> list[Path]:
    """Draws `metrics.jsonl` into `figures/curves.png` and `.svg`, with the `unfreeze_epoch` of `config.json`.

    Raises:
        UserError: a file is absent or damaged, or nothing was measured yet.
    """
    metrics, config = workdir / "metrics.jsonl", workdir / "config.json"
    train = f"`python -m adamine_jax.main --workdir {workdir}` writes it"
    for path in (metrics, config):
        if not path.exists():
            raise UserError(f"no curves: {path} is absent; {train}")
    try:
        unfreeze_epoch = json.loads(config.read_text(encoding="utf-8"))["unfreeze_epoch"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{config}: no unfreeze_epoch can be read from it ({error!r}); {train}") from None
    return curves(metrics, workdir / "figures" / "curves.png", unfreeze_epoch)


def draw_top5(workdir: Path, queries: int, seed: int) -> list[Path]:
    """Draws what is retrieved in the gallery of the test split, in both directions.

    An item whose photo cannot be read is named on stderr and left out of both pictures.

    Args:
        workdir: of the run; its gallery is `gallery/test`.
        queries: how many; all there are, when there are fewer.
        seed: draws the queries from the id-sorted items, so that two runs show the same ones.

    Raises:
        UserError: the gallery is absent or damaged.
    """
    folder = workdir / "gallery" / "test"
    if not folder.is_dir():
        raise UserError(
            f"no top-5 pictures: {folder} is absent; "
            f"`python -m adamine_jax.embed --workdir {workdir} --split test --out {folder}` writes it"
        )
    items, image, recipe = load_items(folder)
    by_id = sorted(range(len(items)), key=lambda row: items[row].id)
    drawn = np.random.default_rng(seed).choice(len(items), min(queries, len(items)), replace=False)
    shown, kept = [by_id[place] for place in drawn], list(range(len(items)))
    while shown:
        arguments = [items[row] for row in kept], image[kept], recipe[kept], [kept.index(row) for row in shown]
        try:
            return [
                top5_recipe_to_photo(*arguments, workdir / "figures" / "top5_recipe_to_photo.png"),
                top5_photo_to_recipe(*arguments, workdir / "figures" / "top5_photo_to_recipe.png"),
            ]
        except UnreadablePhoto as unreadable:
            print(f"{unreadable}; left out of the pictures", file=sys.stderr, flush=True)
            kept = [row for row in kept if items[row].id != unreadable.id]
            shown = [row for row in shown if row in kept]
    raise UserError(f"no top-5 pictures: none of the drawn photos of {folder} can be read")


@one_line_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Draws every figure that can be drawn; what is missing for the others is said in one line each."""
    parser = argparse.ArgumentParser(prog="python -m adamine_jax.figures", description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True, help="folder of the run")
    parser.add_argument("--queries", type=_rows, default=4, help="rows of each top-5 picture (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="draws these rows at random (default 0)")
    options = parser.parse_args(arguments)
    if not options.workdir.is_dir():
        raise UserError(f"--workdir {options.workdir}: no such folder")
    written, problems = [], []
    for draw in (
        lambda: draw_curves(options.workdir),
        lambda: draw_top5(options.workdir, options.queries, options.seed),
    ):
        try:
            written += draw()
        except UserError as problem:
            problems.append(problem)
    for path in written:
        print(path)
    if not written:
        raise UserError("; ".join(map(str, problems)))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 0


def _rows(text: str) -> int:
    if not 1 <= (number := int(text)) <= 50:
        raise argparse.ArgumentTypeError("takes 1 to 50")
    return number


if __name__ == "__main__":
    sys.exit(main())
