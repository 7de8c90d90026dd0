"""Scores a trained model on a split.

python -m adamine_jax.evaluate --workdir runs/a --split test --protocols 1k,10k,full
"""

import argparse
import sys

from adamine_jax import report, workdir
from adamine_jax.errors import one_line_errors
from adamine_jax.input.damage import Damage
from adamine_jax.retrieval.protocols import parse_protocols


@one_line_errors
def main(arguments: list[str] | None = None) -> None:
    """Parses the flags, evaluates, prints the table."""
    parser = argparse.ArgumentParser(prog="python -m adamine_jax.evaluate", description=__doc__.splitlines()[0])
    workdir.add_flags(parser)
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="default: test")
    parser.add_argument("--protocols", help="1k, 10k, full or PAIRSxDRAWS, with commas; default: those of the run")
    flags = parser.parse_args(arguments)

    if flags.protocols is not None:
        parse_protocols(flags.protocols)  # a mistake in it is told before anything is loaded
    trained = workdir.load_from_flags(flags)
    protocols = tuple(flags.protocols.split(",")) if flags.protocols is not None else trained.config.eval.protocols
    damage = Damage(trained.config.data.max_damaged)
    report.evaluate_split(trained, flags.workdir, flags.split, protocols, damage)
    if damage.count:
        print(damage.summary())


if __name__ == "__main__":
    sys.exit(main())
