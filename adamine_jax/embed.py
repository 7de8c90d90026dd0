"""Embeds a split, a folder of photos or recipes from files with a trained model and writes a gallery to search.

python -m adamine_jax.embed --workdir runs/a --split test --out galleries/test
python -m adamine_jax.embed --workdir runs/a --photos my_photos --out galleries/mine
python -m adamine_jax.embed --workdir runs/a --recipes recipes.jsonl --out galleries/recipes

The gallery contains the embeddings, and the items in `gallery.sqlite`. Rerun the same command to resume.
"""

import argparse
import sys

from adamine_jax.base.cores import available_cores
from adamine_jax.base.errors import one_line_errors, shown
from adamine_jax.base.extras import require
from adamine_jax.base.flags import given_path, local_path
from adamine_jax.gallery import building, index, split_building
from adamine_jax.gallery.files import DTYPES, MODALITIES
from adamine_jax.gallery.store import Gallery
from adamine_jax.gallery.writer import check_replaceable
from adamine_jax.input.damage import Damage
from adamine_jax.queries.encoder import BATCH_SIZES, Encoder
from adamine_jax.runs import workdir


@one_line_errors
def main(arguments: list[str] | None = None) -> None:
    """Parses the flags, embeds the source and writes the gallery."""
    parser = argparse.ArgumentParser(
        prog="python -m adamine_jax.embed", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    workdir.add_flags(parser)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--split",
        choices=("train", "val", "test", "all", "text"),
        default="test",
        help="all = train, val and test; text = recipes without photos; default: test",
    )
    source.add_argument("--photos", type=local_path, metavar="DIR", help="folder of photos, searched recursively")
    source.add_argument(
        "--recipes", type=given_path, metavar="FILE", help="file or folder of recipes in any form that can be imported"
    )
    parser.add_argument(
        "--out", type=given_path, required=True, help="folder of the gallery; replaces an older one of the same kind"
    )
    parser.add_argument(
        "--index", action="store_true", help="also build a FAISS index, for hundreds of thousands of items"
    )
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default=DTYPES[0],
        help="type in which embeddings are stored; float16 takes half of the disk space (default: float32)",
    )
    parser.add_argument("--workers", type=int, default=available_cores(), help="number of threads that decode photos")
    flags = parser.parse_args(arguments)

    # Everything that may be wrong with the flags is checked before the model is loaded.
    has_text_only = flags.recipes or flags.split == "text"
    check_replaceable(flags.out, ("image",) if flags.photos else ("recipe",) if has_text_only else MODALITIES)
    if flags.index:
        require("faiss")
    if flags.photos:
        building.photo_files(flags.photos)
    try:
        _embed(flags, workdir.load_from_flags(flags))
    except KeyboardInterrupt:
        print(f"{shown(flags.out)}: incomplete; rerun the same command to resume", file=sys.stderr)
        raise
    if flags.index:
        gallery = Gallery(flags.out)
        if len(gallery) < index.SMALLEST:
            print(f"--index: not needed; exact search of {len(gallery):,} items takes milliseconds")
        else:
            for modality in gallery.modalities:
                index.build(gallery, modality)


def _embed(flags: argparse.Namespace, trained: workdir.Trained) -> None:
    damage = Damage(trained.config.data.max_damaged)
    sizes = (*BATCH_SIZES, trained.config.eval.batch_size)
    if flags.photos:
        items, left_out = building.build_photos(
            Encoder(trained, sizes), flags.photos, flags.out, flags.workers, flags.dtype
        )
        note = f"; {left_out} unusable photos left out" if left_out else ""
        print(f"{shown(flags.out)}: {items} photos{note}")
    elif flags.recipes:
        items = building.build_recipes(Encoder(trained, sizes), flags.recipes, flags.out, flags.dtype)
        print(f"{shown(flags.out)}: {items} recipes")
    elif flags.split == "text":
        items = split_building.build_text(Encoder(trained, sizes), flags.out, damage, flags.dtype)
        print(f"{shown(flags.out)}: {items} recipes")
    else:
        items = split_building.build_split(trained, flags.split, flags.out, damage, flags.dtype)
        print(f"{shown(flags.out)}: {items} pairs")
    if damage.count:
        print(damage.summary())


if __name__ == "__main__":
    sys.exit(main())
