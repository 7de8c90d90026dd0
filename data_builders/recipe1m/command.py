"""The command `python -m data_builders.recipe1m`: converts or checks a download, or runs a subcommand."""

import argparse
import dataclasses
import sys

from adamine_jax.base.cores import available_cores
from adamine_jax.base.errors import UserError
from adamine_jax.base.flags import given_path
from data_builders.recipe1m.build import build
from data_builders.recipe1m.check import check
from data_builders.recipe1m.options import UNKNOWN_INGREDIENTS, Options
from data_builders.recipe1m.own_recipes.command import main as import_own_recipes
from data_builders.recipe1m.vectors import command as vectors

DESCRIPTION = """Converts a download of Recipe1M into sharded TFRecords below --out. `check` only reports what would be
kept, what would not, and why. Two more commands have their own help: `import --help` (make a download of your own
recipes) and `vectors --help` (write a file of published sentence vectors)."""

_HELP = {
    "vocab": "word2vec file, .bin or .txt, or a vocab.pkl; if omitted, vocab.bin or vocab.pkl of the download is used, "
    "or else word vectors are trained",
    "classes": "a classes1M.pkl; if omitted, that of the download is used, or else classes are derived from the titles",
    "class_min_train": "a class has more train recipes than this",
    "class_min_val": "minimum number of val recipes of a class",
    "class_min_test": "minimum number of test recipes of a class",
    "class_bigrams": "number of the most frequent title bigrams to try as classes",
    "max_classes": "maximum number of classes from bigrams",
    "word_min_count": "minimum count of a word in a trained vocabulary; use less for a small collection",
    "unknown_ingredients": "drop detected ingredient names that are not in the vocabulary, as published, or replace "
    "them by their words, which a small collection needs",
    "word_dim": "length of trained word vectors",
    "word_window": "number of words on each side that word2vec predicts",
    "word_epochs": "number of word2vec epochs",
    "images_per_recipe": "maximum number of photos per recipe; the first ones are used",
    "resize": "shorter side of stored photos in pixels; smaller photos are not enlarged",
    "jpeg_quality": "JPEG quality of stored photos, 1 to 100",
    "without_photos": "also keep recipes without usable photos, in a separate split named text",
    "partitions": "comma-separated partitions to convert; classes derived from titles need all three",
    "limit": "read only this many records from the start of layer1.json; 0 reads all",
    "published_split": "keep the first recipe of remove1M.txt, as the published split does",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_builders.recipe1m",
        description=DESCRIPTION,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "command", nargs="?", choices=("convert", "check"), default="convert", help="check reports without converting"
    )
    parser.add_argument(
        "--source", type=given_path, required=True, default=argparse.SUPPRESS, help="folder with layer1.json, ..."
    )
    out = "convert: parent folder of recipe1m/<version>/; check: folder of the report, if one is wanted"
    parser.add_argument("--out", type=given_path, default=argparse.SUPPRESS, help=out)
    parser.add_argument(
        "--workers",
        type=int,
        default=available_cores(),
        help="number of processes that read text, and of threads that decode photos",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an existing collection")
    parser.add_argument(
        "--beam-options",
        metavar="FLAGS",
        default=argparse.SUPPRESS,
        help="decode photos and write records with Apache Beam, using these Beam flags: --beam-options='--runner=...'; "
        "all workers must mount --source and --out; see docs/dataset.md",
    )
    for field in dataclasses.fields(Options):
        flag = f"--{field.name.replace('_', '-')}"
        if isinstance(field.default, bool):
            parser.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=field.default, help=_HELP[field.name]
            )
        elif field.name == "unknown_ingredients":
            parser.add_argument(flag, choices=UNKNOWN_INGREDIENTS, default=field.default, help=_HELP[field.name])
        else:
            kind = given_path if field.default is None else type(field.default)
            parser.add_argument(flag, type=kind, default=field.default, help=_HELP[field.name])
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["vectors"]:
        return vectors.main(arguments[1:])
    if arguments[:1] == ["import"]:
        return import_own_recipes(arguments[1:])
    args = _parser().parse_args(arguments)
    options = Options(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Options)})
    if args.workers < 1:
        raise UserError(f"--workers is {args.workers}; it must be at least 1")
    beam = getattr(args, "beam_options", None)
    if args.command == "check":
        if beam is not None:
            raise UserError("check does not use Apache Beam; remove --beam-options")
        print(check(args.source, options, workers=args.workers, out=getattr(args, "out", None)))
        return 0
    if "out" not in args:
        raise UserError("--out is missing; give the folder to write the collection to")
    place, summary = build(args.source, args.out, options, workers=args.workers, overwrite=args.overwrite, beam=beam)
    print(f"{summary}\n{place}" if "\n" in summary else f"{place}: {summary}")
    return 0
