"""Trains a model, validates it after each epoch and tests the best checkpoint; resumes an interrupted run.

python -m adamine_jax.main --config configs/adamine.py --workdir runs/a [--config.section.field=value ...]

  --config PRESET[:VARIANT]       configuration file, or the name of one in configs/; configs/adamine.py documents the
                                  fields. A variant replaces towers or the loss: image=NAME,recipe=NAME,loss=NAME
  --config.section.field=value    set a field
  --workdir DIR                   folder of the run: metrics, checkpoints, scores and figures
  --profile                       also write a trace of a few steps to DIR/profile

On SIGTERM a run saves a checkpoint and exits with status 75; rerun the same command to resume.
To use several processes, start each with the same command (docs/pods.md) and

  --coordinator HOST:PORT --num_processes N --process_id I
                                  or JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID in the environment
  --distributed                   detect the other processes from Slurm, Open MPI or a TPU pod
"""

import signal
import sys

import ml_collections
from absl import flags
from ml_collections import config_flags

from adamine_jax.base.errors import UserError, one_line_errors
from adamine_jax.config.overrides import config_file, parse_flags
from adamine_jax.distributed import processes
from adamine_jax.distributed.preemption import RUN_AGAIN

CONFIG = config_flags.DEFINE_config_file("config", help_string="configuration file, or the name of one in configs/")
WORKDIR = flags.DEFINE_string("workdir", None, "folder of the run: metrics, checkpoints, scores and figures")
PROFILE = flags.DEFINE_bool("profile", False, "also write a trace of a few steps to WORKDIR/profile")
COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT of process 0")
NUM_PROCESSES = flags.DEFINE_integer("num_processes", None, "number of processes")
PROCESS_ID = flags.DEFINE_integer("process_id", None, "index of this process, from 0")
DISTRIBUTED = flags.DEFINE_bool("distributed", False, "detect the other processes from Slurm, Open MPI or a TPU pod")


@one_line_errors
def main() -> None:
    """Parses the flags and trains."""
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
        raise UserError(f"{arguments[1]}: not a flag; set fields with --config.section.field=value")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(RUN_AGAIN))  # until `StopRequest` handles it
    processes.start(COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value, detect=DISTRIBUTED.value)
    from adamine_jax.train import train  # slow to import; errors in the flags are reported first

    train(config, workdir, profile=PROFILE.value)


if __name__ == "__main__":
    sys.exit(main())
