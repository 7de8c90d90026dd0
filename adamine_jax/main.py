"""Trains a model, validates each epoch, and tests the best checkpoint; run again, it goes on.

python -m adamine_jax.main --config configs/adamine.py --workdir runs/a [--config.section.field=value ...]

  --config PRESET[:VARIANT]       a file of configs/, or its name; configs/adamine.py documents the fields. A variant
                                  chooses other towers or another loss: image=NAME,recipe=NAME,loss=NAME
  --config.section.field=value    sets a field
  --workdir DIR                   folder of the run: metrics, checkpoints, scores and pictures
  --profile                       also writes a trace of a few steps to DIR/profile

Told to stop by SIGTERM, a run saves what it has and exits with status 75: the same command goes on from there.
Several processes, each started with the same command (docs/pods.md):

  --coordinator HOST:PORT --num_processes N --process_id I
                                  or the environment: JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES, JAX_PROCESS_ID
  --distributed                   the same found out from Slurm, Open MPI or a TPU pod
"""
# This file is short on purpose: the loop is in `train.py`.

import signal
import sys

import ml_collections
from absl import flags
from ml_collections import config_flags

from adamine_jax.base.errors import UserError, one_line_errors
from adamine_jax.config.overrides import config_file, parse_flags
from adamine_jax.distributed import processes
from adamine_jax.distributed.preemption import RUN_AGAIN

CONFIG = config_flags.DEFINE_config_file("config", help_string="a file of configs/; its fields can be set one by one")
WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run: metrics, checkpoints, scores and pictures")
PROFILE = flags.DEFINE_bool("profile", False, "also write a trace of a few steps to the workdir's folder profile")
COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0, where there are several processes")
NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "how many processes there are")
PROCESS_ID = flags.DEFINE_integer("process_id", None, "which of them this is, from 0")
DISTRIBUTED = flags.DEFINE_bool("distributed", False, "find the other processes from Slurm, Open MPI or a TPU pod")


@one_line_errors
def main() -> None:
    """Reads the flags and trains."""
    if {"--help", "-h", "--helpshort", "--helpfull"} & set(sys.argv[1:]):
        print(__doc__)
        return
    arguments = parse_flags(sys.argv)
    config, workdir = CONFIG.value, WORKDIR.value
    if config is None or workdir is None:
        name = "--config" if config is None else "--workdir"
        raise UserError(f"{name} is missing: python -m adamine_jax.main --config configs/adamine.py --workdir runs/a")
    if not isinstance(config, ml_collections.ConfigDict):
        raise UserError(
            f"--config {config_file(sys.argv)}: no such file, or its get_config() does not return a ConfigDict; "
            "try configs/adamine.py"
        )
    if len(arguments) > 1:
        raise UserError(f"{arguments[1]}: not a flag; fields are set as --config.section.field=value")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(RUN_AGAIN))  # the loop has a better answer, see `preemption.py`
    processes.start(COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value, detect=DISTRIBUTED.value)
    from adamine_jax.train import train  # after the flags, so that a mistake in them is told at once

    train(config, workdir, profile=PROFILE.value)


if __name__ == "__main__":
    sys.exit(main())
