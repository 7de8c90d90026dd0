"""Draws the figures of a run: training curves, retrieval examples, a map of the embedding space, and more.

python -m adamine_jax.figures --workdir runs/a
python -m adamine_jax.figures --workdir runs/a --only top5 --against runs/b --queries 6
python -m adamine_jax.figures --workdir runs/a --only panels --ingredients "mushrooms, strawberries" --within pizza

Each figure is written to WORKDIR/figures as a PNG and an SVG; docs/figures.md shows examples. All figures except the
curves use WORKDIR/gallery/test, which is written by the test at the end of training. `panels` and `removal` also load
the model.
"""

import argparse
import functools
import sys
from collections.abc import Callable, Sequence

from adamine_jax.base.errors import UserError, one_line_errors, shown
from adamine_jax.base.flags import given_path
from adamine_jax.queries.encoder import load

FIGURES = ("curves", "top5", "map", "ranks", "panels", "removal")
"""The available figures, in the order in which they are drawn."""


@one_line_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Draws the requested figures and reports in one line each problem that prevents others."""
    from adamine_jax.plots import run_figures  # imported here so that a missing extra is reported in one line

    flags = _parser().parse_args(arguments)
    for name, folder in (("--workdir", flags.workdir), ("--against", flags.against)):
        if folder and not folder.is_dir():
            raise UserError(f"{name} {folder}: no such folder")
    # Loaded at most once; a single batch size, since each is compiled.
    encoder = functools.cache(lambda: load(flags.workdir, flags.checkpoint, batch_sizes=(64,)))
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
        print(shown(path))
    lines = [f"not drawn: {', '.join(names)}: {problem}" for problem, names in problems.items()]
    if not written:
        raise UserError("; ".join(lines))
    for line in lines:
        print(shown(line), file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    from adamine_jax.plots import run_figures, space

    parser = argparse.ArgumentParser(
        prog="python -m adamine_jax.figures", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workdir", type=given_path, required=True, help="workdir of the run")
    parser.add_argument(
        "--only",
        type=_figures,
        default=FIGURES,
        metavar="A,B",
        help=f"comma-separated figures among {','.join(FIGURES)} (default: all)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default: 0)")
    parser.add_argument(
        "--checkpoint",
        choices=("best", "last"),
        default="best",
        help="checkpoint that embedded the gallery: the best one by validation (default) or the last one",
    )
    top5 = parser.add_argument_group("top5: retrieval examples")
    top5.add_argument("--queries", type=_integer(1, 50), default=4, help="number of queries (default: 4)")
    top5.add_argument("--against", type=given_path, metavar="DIR", help="workdir of another run to compare with")
    chart = parser.add_argument_group("map: the embedding space")
    chart.add_argument(
        "--pairs", type=_integer(space.MIN_PAIRS, 5000), default=400, help="maximum number of pairs (default: 400)"
    )
    panels = parser.add_argument_group("panels: photos retrieved for single ingredients")
    panels.add_argument(
        "--ingredients",
        type=_names,
        default=[],
        metavar="A,B",
        help=f"comma-separated ingredients (default: the {run_figures.PANELS} that titles mention most often, among "
        "those in 2 %% to 25 %% of the recipes)",
    )
    panels.add_argument("--within", metavar="CLASS", help="search only photos of this class")
    removal = parser.add_argument_group("removal: a recipe without one of its ingredients")
    removal.add_argument("--recipe", metavar="ID", help="id of the recipe (default: random)")
    removal.add_argument(
        "--without",
        metavar="NAME",
        help="ingredient to remove (default: the one that titles mention most often)",
    )
    return parser


def _figures(text: str) -> list[str]:
    names = _names(text)
    if unknown := [name for name in names if name not in FIGURES]:
        raise argparse.ArgumentTypeError(f"unknown figure {unknown[0]!r}; choose among {','.join(FIGURES)}")
    return names


def _names(text: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise argparse.ArgumentTypeError("expected comma-separated names")
    return names


def _integer(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not minimum <= (number := int(text)) <= maximum:
            raise argparse.ArgumentTypeError(f"must be between {minimum} and {maximum}")
        return number

    return parse


if __name__ == "__main__":
    sys.exit(main())
