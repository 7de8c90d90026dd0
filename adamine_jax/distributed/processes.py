"""Connects the processes of a run and checks that they were started with the same configuration and data.

Every process runs the same program on its own devices; computations on a mesh over all devices involve all processes.
"""

import atexit
import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Generator, Sequence
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
_WATCH_SECONDS = 0.5
"""Seconds between two questions whether another process has ended."""
_ENDED = "adamine/ended"


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
        with _patience(arguments.get("process_id", 0)):
            # `_patience` ends the process first, in one line; JAX would abort with a C++ stack.
            jax.distributed.initialize(**arguments, initialization_timeout=START_SECONDS + 60)
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
    _watch(jax.process_index(), jax.process_count())
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


@contextlib.contextmanager
def _patience(number: int) -> Generator[None]:
    """Says after a while that this process waits for others, and ends it after `START_SECONDS`."""

    def give_up() -> None:
        print(
            f"error: process {number}: the other processes have not started within {START_SECONDS} s; check that all "
            f"are running with the same {FLAGS[0]} and {FLAGS[1]}, and each with its own {FLAGS[2]}",
            file=sys.stderr,
            flush=True,
        )
        os._exit(UserError.status)

    def report() -> None:
        print(f"process {number}: waiting for the other processes, at most {START_SECONDS} s", file=sys.stderr)

    timers = [threading.Timer(_REPORT_SECONDS, report), threading.Timer(START_SECONDS, give_up)]
    for timer in timers:
        timer.daemon = True
        timer.start()
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()


def _watch(index: int, count: int) -> None:
    """Ends this process when another one says that it has ended: collective operations would wait for it forever."""
    from jax._src.distributed import global_state  # its key-value store has no public name

    client: Any = global_state.client
    processes.set_index(index, count, lambda reason: client.key_value_set(_ENDED, reason))
    is_over = threading.Event()

    def wait() -> None:
        while not is_over.wait(_WATCH_SECONDS):
            try:
                reason = client.key_value_try_get(_ENDED)
            except Exception:  # no process has ended; or process 0 has, which JAX notices
                continue
            if not processes.is_leaving():
                print(f"error: {processes.prefix()}{reason}", file=sys.stderr, flush=True)
                os._exit(1)

    thread = threading.Thread(target=wait, name="watch", daemon=True)
    thread.start()

    @atexit.register
    def stop() -> None:
        is_over.set()
        thread.join()


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
