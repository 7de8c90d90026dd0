"""`python -m data_builders.recipe1m import`: writes your own recipes in the layout of a Recipe1M download."""

import argparse
import shlex
from pathlib import Path

from adamine_jax.base.cores import available_cores
from adamine_jax.base.errors import one_line_errors
from adamine_jax.base.flags import local_path
from adamine_jax.recipes.fields import NAMES
from data_builders.recipe1m.own_recipes.checking import checked
from data_builders.recipe1m.own_recipes.import_report import Report
from data_builders.recipe1m.own_recipes.importing import CLASSES_FROM, ImportOptions, import_recipes
from data_builders.splits import parse_splits

DESCRIPTION = """Writes your own recipes in the layout of a Recipe1M download (layer1.json, layer2.json, det_ingrs.json,
images/), which `python -m data_builders.recipe1m --source` converts. The input is a file or a folder: saved web pages,
JSON, tables, Markdown, or exports of recipe managers; docs/own_recipes.md lists the formats."""
_EPILOG = "Fields and their accepted names, ignoring case, spaces, - and _: " + "; ".join(
    ", ".join(names) for names in NAMES.values()
)
# Numbers of recipes with photos below which the converter needs lower thresholds than its defaults.
_FEW, _MANY = 200, 10_000


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_builders.recipe1m import",
        description=DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    needed = {"type": local_path, "required": True, "default": argparse.SUPPRESS}
    parser.add_argument("--from", dest="source", metavar="FILE_OR_FOLDER", help="recipes to import", **needed)
    parser.add_argument("--out", type=local_path, help="folder to write; must be empty or new")
    parser.add_argument(
        "--check",
        action="store_true",
        help="show up to three recipes, from files of different kinds, and what is left out; write nothing",
    )
    parser.add_argument(
        "--format",
        dest="format_name",
        default="",
        metavar="NAME",
        help="format of the files, or package.module:function; by default that of their suffixes",
    )
    parser.add_argument(
        "--splits", default="0.7,0.15,0.15", help="shares of train, val and test for recipes without a partition"
    )
    parser.add_argument(
        "--class-from",
        choices=CLASSES_FROM,
        default="category",
        help="category: use the field class, category or recipeCategory; none: let the converter derive classes from "
        "the titles",
    )
    parser.add_argument("--allow-outside", action="store_true", help="accept photos outside the input folder")
    broken = parser.add_mutually_exclusive_group()
    broken.add_argument(
        "--skip-broken",
        action="store_true",
        help="skip unreadable lines and files instead of stopping; always done in folders, unless --strict",
    )
    broken.add_argument("--strict", action="store_true", help="stop at an unreadable file of a folder")
    parser.add_argument("--overwrite", action="store_true", help="replace the output of an earlier import")
    parser.add_argument(
        "--workers",
        type=int,
        default=available_cores(),
        help="number of processes that read files, and of threads that decode photos",
    )
    return parser


@one_line_errors
def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    parser = _parser()
    args = vars(parser.parse_args(arguments))
    if not args["out"] and not args["check"]:
        parser.error("the following arguments are required: --out (or --check)")
    options = ImportOptions(**(args | {"splits": parse_splits(args["splits"])}))
    if options.check:
        print(checked(options))
        return 0
    report = import_recipes(options)
    print(f"{report.summary()}\n{args['out']}\nnext: {next_command(report, args['out'])}")
    return 0


def next_command(report: Report, out: Path) -> str:
    """Returns the command that converts the imported recipes, with thresholds that suit their number."""
    command = ["python", "-m", "data_builders.recipe1m", "--source", str(out), "--out", "data"]
    command += ["--max-instructions", "0", "--max-ingredients", "0"]
    photographed = report.with_photo.total()
    if photographed < _MANY:
        few = photographed < _FEW
        command += ["--word-min-count", "1" if few else "3", "--word-dim", "100", "--unknown-ingredients", "words"]
        command += [] if report.classes else ["--class-min-train", "1" if few else "5"]
    return shlex.join(command)
