"""Trains a model, validates each epoch, and tests the best checkpoint; run again, it goes on.

python -m adamine_jax.main --config configs/adamine.py --workdir runs/a [--config.section.field=value ...]

  --config FILE                   a file of configs/; configs/adamine.py documents every field
  --config.section.field=value    sets one of its fields
  --workdir DIR                   folder of the run: metrics, checkpoints, scores and pictures
"""
# This file is short on purpose: the loop is in `train.py`.

import sys

import ml_collections
from absl import flags
from ml_collections import config_flags

from adamine_jax.config import parse_flags
from adamine_jax.errors import UserError, one_line_errors

CONFIG = config_flags.DEFINE_config_file("config", help_string="a file of configs/; its fields can be set one by one")
WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run: metrics, checkpoints, scores and pictures")


@one_line_errors
def main() -> None:
    """Reads the flags and trains."""
    if {"--help", "-h", "--helpshort", "--helpfull"} & set(sys.argv[1:]):
        print(__doc__)
        return
    arguments = parse_flags(sys.argv)
    for name, value in (("--config", CONFIG.value), ("--workdir", WORKDIR.value)):
        if value is None:
            raise UserError(
                f"{name} is missing: python -m adamine_jax.main --config configs/adamine.py --workdir runs/a"
            )
    if not isinstance(CONFIG.value, ml_collections.ConfigDict):
        raise UserError(
            f"--config {_config_file()}: no such file, or its get_config() does not return a ConfigDict; "
            "try configs/adamine.py"
        )
    if len(arguments) > 1:
        raise UserError(f"{arguments[1]}: not a flag; fields are set as --config.section.field=value")
    from adamine_jax.train import train  # after the flags, so that a mistake in them is told at once

    train(CONFIG.value, WORKDIR.value)


def _config_file() -> str:
    """What was given as --config."""
    for argument, after in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        if argument.lstrip("-") == "config":
            return after
        if argument.lstrip("-").startswith("config="):
            return argument.partition("=")[2]
    return ""


if __name__ == "__main__":
    sys.exit(main())
