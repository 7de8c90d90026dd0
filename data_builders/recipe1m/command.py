"""The command `python -m data_builders.recipe1m`: converts or checks a download, or runs a subcommand."""

import argparse
import dataclasses
import sys
from typing import Any, get_type_hints

from adamine_jax.base.cores import available_cores
from adamine_jax.base.errors import UserError
from adamine_jax.base.flags import local_path
from data_builders.recipe1m.build import build
from data_builders.recipe1m.check import check
from data_builders.recipe1m.options import UNKNOWN_INGREDIENTS, Options
from data_builders.recipe1m.own_recipes.command import main as import_own_recipes
from data_builders.recipe1m.sentence_vectors import command as vectors

DESCRIPTION = """Converts a download of Recipe1M into sharded TFRecords below --out. `check` only reports what would be
kept, what would not, and why. Two more commands have their own help: `import --help` (make a download of your own
recipes) and `vectors --help` (write a file of published sentence vectors)."""


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
        "--source", type=local_path, required=True, default=argparse.SUPPRESS, help="folder with layer1.json, ..."
    )
    out = "convert: parent folder of recipe1m/<version>/; check: folder of the report, if one is wanted"
    parser.add_argument("--out", type=local_path, default=argparse.SUPPRESS, help=out)
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
    types = get_type_hints(Options, include_extras=True)
    for field in dataclasses.fields(Options):
        parsing: dict[str, Any]
        if isinstance(field.default, bool):
            parsing = {"action": argparse.BooleanOptionalAction}
        elif field.name == "unknown_ingredients":
            parsing = {"choices": UNKNOWN_INGREDIENTS}
        else:
            parsing = {"type": local_path if field.default is None else type(field.default)}
        flag = f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, default=field.default, help=types[field.name].__metadata__[0], **parsing)
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
