"""Several server processes that accept the connections of one socket."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import IO

SOCKET = "ADAMINE_SERVE_SOCKET"
"""Environment variable with the descriptor of the socket, in a worker."""
_PAUSE = 1.0  # seconds before a worker that ended is started again
_POLL = 0.2


def inherited() -> socket.socket | None:
    """Returns the socket that this process has as a worker; None if it is not one."""
    return socket.socket(fileno=int(os.environ[SOCKET])) if SOCKET in os.environ else None


def supervise(count: int, bound: socket.socket, arguments: Sequence[str], seconds: float) -> int:
    """Runs `count` servers with the same arguments until SIGTERM or Ctrl-C, and starts those that end again.

    Embeddings and indices are memory-mapped, so that all processes share them; each has a model of its own.

    Args:
        count: Number of processes.
        bound: Socket, which is listening.
        arguments: Arguments of `python -m adamine_jax.serve`.
        seconds: Time that the processes have to stop.

    Returns:
        Exit status: that of the first process if it ends before all are ready.
    """
    with tempfile.TemporaryDirectory() as folder:  # of the metrics of all processes
        return _Supervisor(count, bound, arguments, folder).run(seconds)


class _Supervisor:
    def __init__(self, count: int, bound: socket.socket, arguments: Sequence[str], folder: str):
        self._command = [sys.executable, "-m", "adamine_jax.serve", *arguments]
        self._bound, self._count = bound, count
        self._stopping, self._folder = threading.Event(), folder
        self._ready: set[int] = set()

    def run(self, seconds: float) -> int:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        workers = [self._start(number) for number in range(self._count)]
        while not self._stopping.wait(_POLL):
            for number, worker in enumerate(workers):
                if worker.poll() is None:
                    continue
                if len(self._ready) < self._count:  # it cannot serve at all
                    self._stop(workers, seconds)
                    return worker.returncode or 1
                from prometheus_client import multiprocess

                multiprocess.mark_process_dead(worker.pid, self._folder)
                print(f"worker {number} ended with status {worker.returncode}; starting another one", file=sys.stderr)
                time.sleep(_PAUSE)
                workers[number] = self._start(number)
        self._stop(workers, seconds)
        print("stopped", flush=True)
        return 0

    def _start(self, number: int) -> subprocess.Popen:
        descriptor = self._bound.fileno()
        # The second one is that of `metrics.FOLDER`; prometheus_client reads it when it is imported.
        environment = os.environ | {SOCKET: str(descriptor), "PROMETHEUS_MULTIPROC_DIR": self._folder}
        worker = subprocess.Popen(
            self._command,
            env=environment,
            pass_fds=[descriptor],
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C reaches this process alone
        )
        threading.Thread(target=self._forward, args=(number, worker.stdout), daemon=True).start()
        return worker

    def _forward(self, number: int, lines: IO[str]) -> None:
        """Prints the lines of the first worker; "ready" when all are."""
        for line in lines:
            if line.startswith("ready:"):
                was_ready = len(self._ready) == self._count
                self._ready.add(number)
                if len(self._ready) == self._count and not was_ready:
                    print(line.rstrip(), f"({self._count} workers)", flush=True)
            elif number == 0 and not line.startswith("stopped"):
                print(line.rstrip(), flush=True)

    @staticmethod
    def _stop(workers: Sequence[subprocess.Popen], seconds: float) -> None:
        for worker in workers:
            worker.terminate()
        end = time.monotonic() + seconds
        for worker in workers:
            try:
                worker.wait(max(end - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                worker.kill()
