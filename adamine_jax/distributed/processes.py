"""How the processes of one run find each other, and check that they were given the same work.

Every process runs the same program on its own devices; what JAX computes on a mesh over all devices needs all of them.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from adamine_jax.base import processes
from adamine_jax.base.errors import UserError

VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
START_SECONDS = 300
"""How long a process waits for the others to start."""


def start(
    coordinator: str | None = None, count: int | None = None, number: int | None = None, detect: bool = False
) -> None:
    """Joins the other processes of the run, before JAX is used for anything else; nothing happens where there are none.

    There are others if the arguments say so, or else the environment variables of the same meaning (`VARIABLES`), or
    if Slurm or a TPU pod has started several tasks of this step.

    Args:
        coordinator: HOST:PORT of process 0, where the others find it.
        count: how many processes there are.
        number: of this one, from 0.
        detect: there are others: JAX finds out by itself, from Slurm, Open MPI, or a TPU's metadata.

    Raises:
        UserError: what is given is incomplete or wrong, or the others do not come.
    """
    given: Sequence[str | int | None] = (coordinator, count, number)
    if all(value is None for value in given) and not detect:
        given = [os.environ.get(name) for name in VARIABLES]
        detect = all(value is None for value in given) and _is_one_of_several()
    if all(value is None for value in given) and not detect:
        return
    import jax

    try:
        jax.distributed.initialize(**({} if detect else _checked(given)), initialization_timeout=START_SECONDS)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        if detect:
            raise UserError(
                f"--distributed: neither Slurm nor Open MPI nor a TPU pod tells where the others are ({reason}); "
                "give --coordinator, --num_processes and --process_id"
            ) from None
        raise UserError(f"--coordinator {given[0]}: the other processes were not found there ({reason})") from None
    processes.note(jax.process_index(), jax.process_count())
    counts = np.bincount([device.process_index for device in jax.devices()])
    if counts.min() != counts.max():
        raise UserError(f"the processes have {', '.join(map(str, counts))} devices: every one must have as many")
    if not processes.is_first():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 – one of them is enough for a reader


def check_same(what: str, digest: bytes) -> None:
    """Makes sure that all processes were given the same.

    Args:
        what: it is, for the message.
        digest: of it, of one length in all processes.

    Raises:
        UserError: this process was given something else than process 0.
    """
    if not processes.are_several():
        return
    from jax.experimental import multihost_utils

    digests = multihost_utils.process_allgather(np.frombuffer(digest, np.uint8))
    if others := np.flatnonzero(np.any(digests != digests[0], axis=1)).tolist():
        raise UserError(f"{what}: process {others[0]} was given another one than process 0; give all of them the same")


def _is_one_of_several() -> bool:
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    return (tasks.isdigit() and int(tasks) > 1) or "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")


def _checked(given: Sequence[str | int | None]) -> dict[str, Any]:
    """The arguments for JAX."""
    if None in given:
        name = VARIABLES[given.index(None)]
        flag = ("--coordinator", "--num_processes", "--process_id")[given.index(None)]
        raise UserError(f"{flag} (or {name}) is missing: several processes need all three")
    coordinator, *numbers = given
    if ":" not in str(coordinator):
        raise UserError(f"--coordinator {coordinator}: takes HOST:PORT of process 0")
    try:
        count, number = (int(str(value)) for value in numbers)
    except ValueError:
        raise UserError(f"--num_processes {numbers[0]} --process_id {numbers[1]}: take whole numbers") from None
    if not 0 <= number < count:
        raise UserError(f"--process_id {number}: takes 0 to {count - 1}, with --num_processes {count}")
    return {"coordinator_address": str(coordinator), "num_processes": count, "process_id": number}
