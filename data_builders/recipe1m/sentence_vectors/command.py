"""Writes published sentence vectors as the matrix that `config.data.sentence_vectors` names."""

import argparse
from pathlib import Path

from adamine_jax.base.errors import UserError, one_line_errors
from adamine_jax.base.flags import local_path
from data_builders.recipe1m import sentences
from data_builders.recipe1m.lmdb import data_lmdb
from data_builders.recipe1m.passes.photo_pass import TEXT
from data_builders.recipe1m.recipes import PARTITIONS
from data_builders.recipe1m.sentence_vectors import skip_instructions


def open_source(source: Path) -> sentences.Source:
    """Opens the vectors of a folder's `encs_*.t7` files, or else of its `data_lmdb`."""
    if not source.is_dir():
        raise UserError(f"--source {source}: no such folder; give the folder with encs_train_1024.t7, ...")
    if files := skip_instructions.encoding_files(source):
        return skip_instructions.EncodingFiles(files)
    if (source / data_lmdb.FOLDER).is_dir():
        return data_lmdb.StoredVectors(source)
    raise UserError(f"--source {source}: contains neither encs_train_1024.t7, encs_val_1024.t7, ..., nor data_lmdb")


def ids_of_collection(data: Path) -> set[int]:
    """Returns the ids, as numbers, of all recipes of a converted collection."""
    # Importing TensorFlow takes seconds.
    from adamine_jax.input.dataset import open_dataset
    from adamine_jax.input.record_index import load_index

    collection = open_dataset(data)
    return {int(identity, 16) for name in (*PARTITIONS, TEXT) for identity in load_index(collection.shards(name)).ids}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m data_builders.recipe1m vectors", description=__doc__)
    parser.add_argument(
        "--source", type=local_path, required=True, help="folder with encs_train_1024.t7, ..., or with data_lmdb"
    )
    parser.add_argument(
        "--out",
        type=local_path,
        required=True,
        help="matrix to write, a .npy file; the ids are written to a .txt file beside it",
    )
    parser.add_argument("--data", type=local_path, help="converted collection; write only the vectors of its recipes")
    parser.add_argument("--dtype", choices=sentences.DTYPES, default="float32", help="float16 halves the file size")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing matrix")
    return parser


@one_line_errors
def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    args = _parser().parse_args(arguments)
    wanted = ids_of_collection(args.data) if args.data else None
    source = open_source(args.source)
    written = sentences.write(source, args.out, args.dtype, wanted=wanted, overwrite=args.overwrite)
    rows = written.sentences.total()
    print("\n".join([f"{args.out}: {rows:,} × {source.length:,} {args.dtype}", *written.lines()]))
    if missing := [name for name in PARTITIONS if name not in source.recipes]:
        print(f"note: the source has no vectors of {', '.join(missing)}")
    if wanted and (without := len(wanted) - written.recipes.total()):
        print(f"note: {without:,} of the {len(wanted):,} recipes of {args.data} have no vectors")
    return 0
