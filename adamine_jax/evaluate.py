"""Scores a trained model on a split.

python -m adamine_jax.evaluate --workdir runs/a --split test --protocols 1k,10k,full [--by class,ingredients,sentences]
"""

import argparse
import sys

from adamine_jax.base import processes
from adamine_jax.base.errors import UserError, one_line_errors
from adamine_jax.input.damage import Damage
from adamine_jax.retrieval.protocols import parse_protocols
from adamine_jax.runs import evaluation as report
from adamine_jax.runs import groupings, workdir


@one_line_errors
def main(arguments: list[str] | None = None) -> None:
    """Parses the flags, evaluates, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m adamine_jax.evaluate", description=__doc__.splitlines()[0])
    workdir.add_flags(parser)
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="default: test")
    parser.add_argument("--protocols", help="1k, 10k, full or PAIRSxDRAWS, with commas; default: those of the run")
    parser.add_argument(
        "--by",
        default="",
        help="also the scores of each class, number of ingredients, number of sentences (of the instructions): "
        "class,ingredients,sentences or some of them",
    )
    flags = parser.parse_args(arguments)

    by = groupings.parse_by(flags.by)
    if flags.protocols is not None:
        parse_protocols(flags.protocols)  # a mistake in it is told before anything is loaded
    trained = workdir.load_from_flags(flags)
    protocols = tuple(flags.protocols.split(",")) if flags.protocols is not None else trained.config.eval.protocols
    damage = Damage(trained.config.data.max_damaged)
    found = report.evaluate_split(trained, flags.workdir, flags.split, protocols, damage)
    if not found.results:
        raise UserError(f"{flags.split}: too small for {','.join(protocols)}; give full, or fewer pairs")
    if by and processes.is_first():
        groupings.write_breakdown(trained, flags.workdir, flags.split, found, by, damage)
    if damage.count:
        print(damage.summary())


if __name__ == "__main__":
    sys.exit(main())
