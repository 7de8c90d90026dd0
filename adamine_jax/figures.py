"""Draws a run's figures from what the run has saved: curves, what is retrieved, and what the space looks like.

python -m adamine_jax.figures --workdir runs/a
python -m adamine_jax.figures --workdir runs/a --only top5 --against runs/b --queries 6
python -m adamine_jax.figures --workdir runs/a --only panels --ingredients "mushrooms, strawberries" --within pizza

Each figure is a PNG and an SVG in WORKDIR/figures; docs/figures.md shows them. All but the curves are about
WORKDIR/gallery/test, which the test at the end of the training wrote; `panels` and `removal` also load the model.
"""

import argparse
import functools
import sys
from collections.abc import Callable, Sequence

from adamine_jax.base.errors import UserError, one_line_errors
from adamine_jax.base.flags import given_path
from adamine_jax.queries.encoder import load

FIGURES = ("curves", "top5", "map", "ranks", "panels", "removal")
"""What can be drawn, in this order."""


@one_line_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Draws every figure that can be drawn; what is missing for the others is said in one line."""
    from adamine_jax.plots import run_figures  # not above: a missing extra is one line

    flags = _parser().parse_args(arguments)
    for workdir in filter(None, (flags.workdir, flags.against)):
        if not workdir.is_dir():
            name = "--workdir" if workdir is flags.workdir else "--against"
            raise UserError(f"{name} {workdir}: no such folder")
    encoder = functools.cache(lambda: load(flags.workdir, flags.checkpoint, batch_sizes=(64,)))  # one is compiled for
    draw = {
        "curves": lambda: run_figures.draw_curves(flags.workdir),
        "top5": lambda: run_figures.draw_top5(flags.workdir, flags.queries, flags.seed, flags.against),
        "map": lambda: run_figures.draw_map(flags.workdir, flags.pairs, flags.seed),
        "ranks": lambda: run_figures.draw_ranks(flags.workdir),
        "panels": lambda: run_figures.draw_panels(flags.workdir, encoder, flags.ingredients, flags.within),
        "removal": lambda: run_figures.draw_removal(flags.workdir, encoder, flags.recipe, flags.without, flags.seed),
    }
    written, problems = [], {}
    for name in (name for name in FIGURES if name in flags.only):
        try:
            written += draw[name]()
        except UserError as problem:
            problems.setdefault(str(problem), []).append(name)
    for path in written:
        print(path)
    lines = [f"not drawn: {', '.join(names)}: {problem}" for problem, names in problems.items()]
    if not written:
        raise UserError("; ".join(lines))
    for line in lines:
        print(line, file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    from adamine_jax.plots import run_figures, space

    parser = argparse.ArgumentParser(
        prog="python -m adamine_jax.figures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", type=given_path, required=True, help="folder of the run")
    parser.add_argument(
        "--only", type=_figures, default=FIGURES, metavar="A,B", help=f"some of {','.join(FIGURES)} (default: all)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all that is drawn at random (default 0)")
    parser.add_argument(
        "--checkpoint",
        choices=("best", "last"),
        default="best",
        help="that the gallery was embedded with: best by validation (default), or last",
    )
    top5 = parser.add_argument_group("top5")
    top5.add_argument("--queries", type=_number(1, 50), default=4, help="rows of each picture (default 4)")
    top5.add_argument(
        "--against",
        type=given_path,
        metavar="DIR",
        help="folder of another run, whose answers are drawn below this one's",
    )
    chart = parser.add_argument_group("map")
    chart.add_argument(
        "--pairs", type=_number(space.LEAST_PAIRS, 5000), default=400, help="how many are drawn (default 400)"
    )
    panels = parser.add_argument_group("panels: photos found for an ingredient alone")
    panels.add_argument(
        "--ingredients",
        type=_listed,
        default=[],
        metavar="A,B",
        help=f"default: the {run_figures.PANELS} that titles name most often, of those in 2 %% to 25 %% of the recipes",
    )
    panels.add_argument("--within", metavar="CLASS", help="among the photos of this class alone")
    taken = parser.add_argument_group("removal: a recipe without one of its ingredients")
    taken.add_argument("--recipe", metavar="ID", help="of the gallery (default: drawn at random)")
    taken.add_argument("--without", metavar="NAME", help="an ingredient of it (default: that titles name most often)")
    return parser


def _figures(text: str) -> list[str]:
    names = _listed(text)
    if unknown := [name for name in names if name not in FIGURES]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r}: takes some of {','.join(FIGURES)}")
    return names


def _listed(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise argparse.ArgumentTypeError("is empty; takes names with commas between them")
    return names


def _number(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not least <= (number := int(text)) <= most:
            raise argparse.ArgumentTypeError(f"takes {least} to {most}")
        return number

    return parse


if __name__ == "__main__":
    sys.exit(main())
