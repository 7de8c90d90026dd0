"""Connects the processes of a run and checks that they were started with the same configuration and data.

Every process runs the same program on its own devices; computations on a mesh over all devices involve all processes.
"""

import os
import socket
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from adamine_jax.base import processes
from adamine_jax.base.errors import UserError

FLAGS = ("--coordinator", "--num_processes", "--process_id")
VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
START_SECONDS = 300
"""Seconds that a process waits for the others to start."""
_REPORT_SECONDS = 5
"""Seconds after which it says what it waits for."""


def start(
    coordinator: str | None = None, count: int | None = None, number: int | None = None, detect: bool = False
) -> None:
    """Connects to the other processes of the run, if there are any; must be called before any other use of JAX.

    A run has several processes if the arguments or the corresponding environment variables (`VARIABLES`) say so, or
    if Slurm or a TPU pod started several tasks.

    Args:
        coordinator: HOST:PORT of process 0.
        count: Number of processes.
        number: Index of this process, from 0.
        detect: Whether JAX finds the other processes itself, from Slurm, Open MPI or a TPU pod's metadata.

    Raises:
        UserError: The arguments are incomplete or wrong, or the other processes cannot be reached.
    """
    given: Sequence[str | int | None] = (coordinator, count, number)
    if all(value is None for value in given) and not detect:
        given = [os.environ.get(name) for name in VARIABLES]
        detect = all(value is None for value in given) and _has_several_tasks()
        if all(value is None for value in given) and not detect:
            return
    arguments = {} if detect else _parsed(given)
    if arguments.get("process_id"):
        _wait_for(arguments["coordinator_address"])
    import jax

    try:
        jax.distributed.initialize(**arguments, initialization_timeout=START_SECONDS)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        if detect:
            raise UserError(
                f"--distributed: cannot detect the other processes from Slurm, Open MPI or a TPU pod ({reason}); "
                f"give {FLAGS[0]}, {FLAGS[1]} and {FLAGS[2]}"
            ) from None
        raise UserError(
            f"--coordinator {given[0]}: cannot connect to the other processes ({reason}); check the address and that "
            "all processes are running"
        ) from None
    processes.set_index(jax.process_index(), jax.process_count())
    counts = np.bincount([device.process_index for device in jax.devices()])
    if counts.min() != counts.max():
        raise UserError(f"the processes have {', '.join(map(str, counts))} devices; give each the same number")
    if not processes.is_first():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 – process 0 alone prints results


def check_same(what: str, digest: bytes) -> None:
    """Checks that the digest of an input, named `what` in the message, is the same in all processes.

    Raises:
        UserError: The digest of a process differs from that of process 0.
    """
    if not processes.are_several():
        return
    from jax.experimental import multihost_utils

    digests = multihost_utils.process_allgather(np.frombuffer(digest, np.uint8))
    if others := np.flatnonzero(np.any(digests != digests[0], axis=1)).tolist():
        raise UserError(f"process {others[0]} has a different {what} than process 0; start all with the same one")


def _has_several_tasks() -> bool:
    tasks = os.environ.get("SLURM_STEP_NUM_TASKS", "1")
    return (tasks.isdigit() and int(tasks) > 1) or "," in os.environ.get("TPU_WORKER_HOSTNAMES", "")


def _wait_for(coordinator: str) -> None:
    """Waits until process 0 accepts connections: JAX waits in silence and then aborts with a C++ stack.

    Raises:
        UserError: It does not within `START_SECONDS`.
    """
    host, _, port = coordinator.rpartition(":")
    begin, is_reported = time.monotonic(), False
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except (OSError, ValueError, OverflowError) as error:
            waited, reason = time.monotonic() - begin, getattr(error, "strerror", None) or error
        if waited > START_SECONDS:
            raise UserError(
                f"--coordinator {coordinator}: process 0 cannot be reached ({reason}); check the address, and that "
                "process 0 is running"
            )
        if waited > _REPORT_SECONDS and not is_reported:
            is_reported = True
            print(f"waiting for process 0 at {coordinator} ({reason}), at most {START_SECONDS} s", file=sys.stderr)
        time.sleep(0.2)


def _parsed(given: Sequence[str | int | None]) -> dict[str, Any]:
    """The arguments of `jax.distributed.initialize`."""
    if None in given:
        missing = given.index(None)
        raise UserError(f"{FLAGS[missing]} (or {VARIABLES[missing]}) is missing; several processes need all three")
    coordinator, *numbers = given
    if ":" not in str(coordinator):
        raise UserError(f"--coordinator {coordinator}: must be HOST:PORT of process 0")
    try:
        count, number = (int(str(value)) for value in numbers)
    except ValueError:
        raise UserError(f"--num_processes {numbers[0]} --process_id {numbers[1]}: must be integers") from None
    if not 0 <= number < count:
        raise UserError(f"--process_id {number}: must be from 0 to {count - 1} with --num_processes {count}")
    return {"coordinator_address": str(coordinator), "num_processes": count, "process_id": number}
