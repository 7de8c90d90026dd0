"""Embeds a split with a trained model, as a gallery to search in and to draw from.

python -m adamine_jax.embed --workdir runs/a --split test --out galleries/test
"""

import argparse
import sys
from pathlib import Path

from adamine_jax import embedding, report, workdir
from adamine_jax.errors import UserError, one_line_errors
from adamine_jax.input.damage import Damage
from adamine_jax.input.records import load_index


@one_line_errors
def main(arguments: list[str] | None = None) -> None:
    """Parses the flags, embeds, writes the gallery."""
    parser = argparse.ArgumentParser(prog="python -m adamine_jax.embed", description=__doc__.splitlines()[0])
    workdir.add_flags(parser)
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="default: test")
    parser.add_argument("--out", type=Path, required=True, help="folder to write; an older gallery is replaced")
    flags = parser.parse_args(arguments)

    out = flags.out
    if out.exists() and not (out / "items.jsonl").exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"--out {out}: exists and is not a gallery; take another folder")
    trained = workdir.load_from_flags(flags)
    damage = Damage(trained.config.data.max_damaged)
    index = load_index(trained.open_dataset().shards(flags.split), damage)
    if not len(index):
        raise UserError(f"{trained.config.data.dir}: has no {flags.split} split to embed")
    embed_step = embedding.make_embed_step(trained.model, trained.mesh)
    image, recipe, numbers = embedding.embed_split(
        embed_step, trained.variables, index, trained.config, trained.mesh, f"embedding {flags.split}", damage
    )
    pairs = report.write_split_gallery(trained, index, numbers, image, recipe, out, damage)
    print(f"{out}: {pairs} pairs (image.npy, recipe.npy, items.jsonl, photos/)")
    if damage.count:
        print(damage.summary())


if __name__ == "__main__":
    sys.exit(main())
