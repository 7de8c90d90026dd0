"""Embeds a split, a folder of photos or a file of recipes with a trained model, as a gallery to search in.

python -m adamine_jax.embed --workdir runs/a --split test --out galleries/test
python -m adamine_jax.embed --workdir runs/a --photos my_photos --out galleries/mine
python -m adamine_jax.embed --workdir runs/a --recipes recipes.jsonl --out galleries/recipes

The folder gets `image.npy` and `recipe.npy` (float32 unit rows; a folder of photos has no recipes, and the other way
round) and `items.jsonl`, line i about row i. The same command again goes on where an interrupted one was.
"""

import argparse
import sys
from pathlib import Path

from adamine_jax.base.cores import available_cores
from adamine_jax.base.errors import one_line_errors
from adamine_jax.base.extras import require
from adamine_jax.base.flags import given_path
from adamine_jax.gallery import building, index, split_building
from adamine_jax.gallery.files import SIDES
from adamine_jax.gallery.store import Gallery
from adamine_jax.gallery.writer import check_replaceable
from adamine_jax.input.damage import Damage
from adamine_jax.queries.encoder import BATCH_SIZES, Encoder
from adamine_jax.runs import workdir


@one_line_errors
def main(arguments: list[str] | None = None) -> None:
    """Parses the flags, embeds, writes the gallery."""
    parser = argparse.ArgumentParser(
        prog="python -m adamine_jax.embed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    workdir.add_flags(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--split", choices=("train", "val", "test"), default="test", help="default: test")
    source.add_argument("--photos", type=given_path, metavar="DIR", help="a folder of photos, with those below it")
    source.add_argument(
        "--recipes", type=given_path, metavar="FILE", help="a JSON object a line: title, ingredients, …"
    )
    parser.add_argument(
        "--out", type=given_path, required=True, help="folder to write; an older gallery of its kind is replaced"
    )
    parser.add_argument("--index", action="store_true", help="also build a FAISS index, for hundreds of thousands")
    parser.add_argument("--workers", type=int, default=available_cores(), help="threads that decode photos")
    flags = parser.parse_args(arguments)

    sides = ("image",) if flags.photos else ("recipe",) if flags.recipes else SIDES
    check_replaceable(flags.out, sides)
    if flags.index:
        require("faiss")
    if flags.photos:
        building.photo_files(flags.photos)  # a mistake in it is told before anything is loaded
    try:
        _embed(flags, workdir.load_from_flags(flags))
    except KeyboardInterrupt:
        print(f"{flags.out}: not written yet; the same command goes on where this one ends", file=sys.stderr)
        raise
    if flags.index:
        _build_index(flags.out)


def _embed(flags: argparse.Namespace, trained: workdir.Trained) -> None:
    damage = Damage(trained.config.data.max_damaged)
    sizes = (*BATCH_SIZES, trained.config.eval.batch_size)
    if flags.photos:
        items, left_out = building.build_photos(Encoder(trained, sizes), flags.photos, flags.out, flags.workers)
        rest = f"; {left_out} that cannot be used were left out" if left_out else ""
        print(f"{flags.out}: {items} photos (image.npy, items.jsonl, photos/){rest}")
    elif flags.recipes:
        items, _ = building.build_recipes(Encoder(trained, sizes), flags.recipes, flags.out)
        print(f"{flags.out}: {items} recipes (recipe.npy, items.jsonl)")
    else:
        pairs = split_building.build_split(trained, flags.split, flags.out, damage)
        print(f"{flags.out}: {pairs} pairs (image.npy, recipe.npy, items.jsonl, photos/)")
    if damage.count:
        print(damage.summary())


def _build_index(out: Path) -> None:
    gallery = Gallery(out)
    if len(gallery) < index.SMALLEST:
        print(f"--index: not needed, exact search of {len(gallery):,} items takes milliseconds")
        return
    for side in gallery.sides:
        index.build(gallery, side)


if __name__ == "__main__":
    sys.exit(main())
