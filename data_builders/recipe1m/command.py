"""`python -m data_builders.recipe1m` converts a download of Recipe1M, or checks one; other commands are handed on."""

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

DESCRIPTION = """Converts a download of Recipe1M into sharded TFRecords, below --out. With `check` it only tells what
would be kept and what not, and why. `import --help` and `vectors --help` tell of two more commands: one makes a
download of your own recipes, one writes a file of published sentence vectors."""

_HELP = {
    "vocab": "word2vec file, .bin or .txt, or a vocab.pkl; without it the download's vocab.bin or vocab.pkl is used, "
    "and without those vectors are trained",
    "classes": "a classes1M.pkl; without it the download's is used, and without that one classes are made from titles",
    "class_min_train": "a class has more train recipes than this",
    "class_min_val": "a class has at least this many validation recipes",
    "class_min_test": "a class has at least this many test recipes",
    "class_bigrams": "how many of the most frequent bigrams of the titles are tried as classes",
    "max_classes": "stop the bigrams after this many classes",
    "word_min_count": "a trained vocabulary has the words that appear this often; small collections need less",
    "unknown_ingredients": "what becomes of a detected name that the vocabulary lacks: dropped, as published, or "
    "read as its words, which small collections need",
    "word_dim": "length of a trained word vector",
    "word_window": "words to each side that word2vec predicts",
    "word_epochs": "passes of word2vec over the text",
    "images_per_recipe": "use at most this many photos of a recipe, the first ones",
    "resize": "shorter side of a stored photo, in pixels; smaller ones are not enlarged",
    "jpeg_quality": "of a stored photo, 1 to 100",
    "without_photos": "keep recipes without a usable photo too, as a split of their own, text",
    "partitions": "those to convert, with commas; classes made from titles need all three",
    "limit": "read only so many records of layer1.json, the first ones; 0 = all",
    "published_split": "keep the first id of remove1M.txt, as the published split does",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_builders.recipe1m",
        description=DESCRIPTION,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "command", nargs="?", choices=("convert", "check"), default="convert", help="check only reports"
    )
    parser.add_argument(
        "--source", type=given_path, required=True, default=argparse.SUPPRESS, help="folder with layer1.json, ..."
    )
    out = "the collection goes to <out>/recipe1m/<version>/; `check` writes its report to <out> itself, if it is given"
    parser.add_argument("--out", type=given_path, default=argparse.SUPPRESS, help=out)
    parser.add_argument(
        "--workers",
        type=int,
        default=available_cores(),
        help="processes that read the text, and threads that decode photos",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a collection that is there")
    parser.add_argument(
        "--beam-options",
        metavar="FLAGS",
        default=argparse.SUPPRESS,
        help="decode photos and write records by Apache Beam, with these flags of it: --beam-options='--runner=...'; "
        "its workers must see --source and --out; see docs/dataset.md",
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
    """Runs the command; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["vectors"]:
        return vectors.main(arguments[1:])
    if arguments[:1] == ["import"]:
        return import_own_recipes(arguments[1:])
    args = _parser().parse_args(arguments)
    options = Options(**{field.name: getattr(args, field.name) for field in dataclasses.fields(Options)})
    if args.workers < 1:
        raise UserError(f"--workers is {args.workers}; it takes 1 or more")
    beam = getattr(args, "beam_options", None)
    if args.command == "check":
        if beam is not None:
            raise UserError("check reads on this machine: leave --beam-options out")
        print(check(args.source, options, workers=args.workers, out=getattr(args, "out", None)))
        return 0
    if "out" not in args:
        raise UserError("--out is missing; give the folder the collection goes to")
    place, summary = build(args.source, args.out, options, workers=args.workers, overwrite=args.overwrite, beam=beam)
    print(f"{summary}\n{place}" if "\n" in summary else f"{place}: {summary}")
    return 0
