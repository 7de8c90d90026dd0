"""`python -m data_builders.recipe1m import`: turns a person's own recipes into a download."""

import argparse
import shlex
from pathlib import Path

from adamine_jax.base.cores import available_cores
from adamine_jax.base.errors import one_line_errors
from adamine_jax.base.flags import given_path
from adamine_jax.recipes.fields import NAMES
from data_builders.recipe1m.own_recipes.importing import CLASSES_FROM, ImportOptions, import_recipes
from data_builders.recipe1m.own_recipes.report import Report
from data_builders.splits import parse_splits

DESCRIPTION = """Writes recipes of your own in the layout of a download of Recipe1M (layer1.json, layer2.json,
det_ingrs.json, images/), which `python -m data_builders.recipe1m --source` converts. They come from a JSON Lines file,
a JSON list, a CSV or TSV file, or a folder of schema.org recipes (.json, .jsonld, .html)."""
_EPILOG = "Fields and the names they may have; capitals, blanks, - and _ make no difference: " + "; ".join(
    ", ".join(names) for names in NAMES.values()
)
# Below so many recipes with photos other thresholds of the converter make sense.
_FEW, _MANY = 200, 10_000


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m data_builders.recipe1m import",
        description=DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    needed = {"type": given_path, "required": True, "default": argparse.SUPPRESS}
    parser.add_argument("--from", dest="source", metavar="FILE_OR_FOLDER", help="the recipes", **needed)
    parser.add_argument("--out", help="folder to write; must not hold anything yet", **needed)
    parser.add_argument(
        "--splits", default="0.7,0.15,0.15", help="shares of train, val and test among recipes without a partition"
    )
    parser.add_argument(
        "--class-from",
        choices=CLASSES_FROM,
        default="category",
        help="category: a recipe's class, category or recipeCategory is its class; none: the converter makes "
        "classes from the titles",
    )
    parser.add_argument(
        "--allow-outside", action="store_true", help="take photos that are not below the folder of the input"
    )
    parser.add_argument(
        "--skip-broken", action="store_true", help="leave out lines and files that cannot be read, instead of stopping"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what an earlier import wrote there")
    parser.add_argument("--workers", type=int, default=available_cores(), help="threads that decode photos")
    return parser


@one_line_errors
def main(arguments: list[str] | None = None) -> int:
    """Runs the command; returns the exit status."""
    args = vars(_parser().parse_args(arguments))
    options = ImportOptions(**(args | {"splits": parse_splits(args["splits"])}))
    report = import_recipes(options)
    print(f"{report.summary()}\n{options.out}\nnext: {next_command(report, options.out)}")
    return 0


def next_command(report: Report, out: Path) -> str:
    """The command that converts what was imported, with thresholds that suit its size."""
    words = ["python", "-m", "data_builders.recipe1m", "--source", str(out), "--out", "data"]
    photographed = report.with_photo.total()
    if photographed < _MANY:
        few = photographed < _FEW
        words += ["--word-min-count", "1" if few else "3", "--word-dim", "100", "--unknown-ingredients", "words"]
        words += [] if report.classes else ["--class-min-train", "1" if few else "5"]
    return shlex.join(words)
