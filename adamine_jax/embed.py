"""Embeds a split, a folder of photos or recipes from files with a trained model and writes a gallery to search.

python -m adamine_jax.embed --workdir runs/a --split test --out galleries/test
python -m adamine_jax.embed --workdir runs/a --photos my_photos --out galleries/mine
python -m adamine_jax.embed --workdir runs/a --recipes recipes.jsonl --out galleries/recipes
python -m adamine_jax.embed --workdir runs/a --split all --store postgresql://cook@db.example.org/recipes

The gallery contains the embeddings, and the items in `gallery.sqlite`. Rerun the same command to resume.
"""

import argparse
import sys
from pathlib import Path

from adamine_jax.base.cores import available_cores
from adamine_jax.base.errors import one_line_errors, shown
from adamine_jax.base.extras import require
from adamine_jax.base.flags import given_path, local_path
from adamine_jax.gallery import building, opening, split_building, store
from adamine_jax.gallery.items import DTYPES, MODALITIES
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
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--out", type=given_path, help="folder of the gallery; replaces an older one of the same kind")
    opening.add_store_flag(place)
    parser.add_argument("--index", action="store_true", help="also build an index, for hundreds of thousands of items")
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
    place = flags.store or flags.out
    opening.check_replaceable(place, ("image",) if flags.photos else ("recipe",) if has_text_only else MODALITIES)
    if flags.index and flags.out:
        require("faiss")
    if flags.photos:
        building.photo_files(flags.photos)
    try:
        count = _embed(flags, place, workdir.load_from_flags(flags))
    except KeyboardInterrupt:
        print(f"{_name(place)}: incomplete; rerun the same command to resume", file=sys.stderr)
        raise
    print(f"{_name(place)}: {count}")
    if flags.index:
        gallery = opening.opened(place)
        if len(gallery) < store.SMALLEST:
            print(f"--index: not needed; exact search of {len(gallery):,} items takes milliseconds")
        else:
            for modality in gallery.modalities:
                gallery.build_index(modality)


def _name(place: str | Path) -> str:
    return opening.name_of(place) if isinstance(place, str) else shown(place)


def _embed(flags: argparse.Namespace, place: str | Path, trained: workdir.Trained) -> str:
    """Writes the gallery, and returns what it contains."""
    damage = Damage(trained.config.data.max_damaged)
    sizes = (*BATCH_SIZES, trained.config.eval.batch_size)
    if flags.photos:
        items, left_out = building.build_photos(
            Encoder(trained, sizes), flags.photos, place, flags.workers, flags.dtype
        )
        return f"{items} photos{f'; {left_out} unusable photos left out' if left_out else ''}"
    if flags.recipes:
        return f"{building.build_recipes(Encoder(trained, sizes), flags.recipes, place, flags.dtype)} recipes"
    if flags.split == "text":
        found = f"{split_building.build_text(Encoder(trained, sizes), place, damage, flags.dtype)} recipes"
    else:
        found = f"{split_building.build_split(trained, flags.split, place, damage, flags.dtype)} pairs"
    return f"{found}\n{damage.summary()}" if damage.count else found


if __name__ == "__main__":
    sys.exit(main())
