"""Evaluates a trained model on a split.

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
    """Parses the flags, evaluates the model and prints the table."""
    parser = argparse.ArgumentParser(prog="python -m adamine_jax.evaluate", description=__doc__.splitlines()[0])
    workdir.add_flags(parser)
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="default: test")
    parser.add_argument(
        "--protocols", help="comma-separated list of 1k, 10k, full and PAIRSxDRAWS; default: the run's protocols"
    )
    parser.add_argument(
        "--by",
        default="",
        help="also report the scores by class, number of ingredients or number of instruction sentences: "
        "comma-separated list of class, ingredients and sentences",
    )
    flags = parser.parse_args(arguments)

    by = groupings.parse_by(flags.by)
    if flags.protocols is not None:
        parse_protocols(flags.protocols)  # reports mistakes before the model is loaded
    trained = workdir.load_from_flags(flags)
    protocols = tuple(flags.protocols.split(",")) if flags.protocols is not None else trained.config.eval.protocols
    damage = Damage(trained.config.data.max_damaged)
    evaluated = report.evaluate_split(trained, flags.workdir, flags.split, protocols, damage)
    if not evaluated.results:
        raise UserError(
            f"the {flags.split} split is too small for {','.join(protocols)}; give full or a protocol with fewer pairs"
        )
    if by and processes.is_first():
        groupings.write_breakdown(trained, flags.workdir, flags.split, evaluated, by, damage)
    if damage.count:
        print(damage.summary())


if __name__ == "__main__":
    sys.exit(main())
