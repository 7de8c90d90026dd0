"""Several server processes that accept the connections of one socket."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import TextIO

SOCKET = "ADAMINE_SERVE_SOCKET"
"""Environment variable with the descriptor of the socket, in a worker."""
REPLACED = signal.SIGUSR1
"""Signal to a worker that another one has taken its place."""
_PAUSE = 1.0  # seconds before a worker that ended is started again
_POLL = 0.2


def inherited() -> socket.socket | None:
    """Returns the socket that this process has as a worker; None if it is not one."""
    return socket.socket(fileno=int(os.environ[SOCKET])) if SOCKET in os.environ else None


def supervise(count: int, bound: socket.socket, arguments: Sequence[str], seconds: float) -> int:
    """Runs `count` servers with the same arguments until SIGTERM or Ctrl-C, and starts those that end again.

    SIGHUP replaces them one after the other, so that they read the model and the gallery again; requests that were
    accepted are answered, and others wait for the next server.

    Embeddings and indices are memory-mapped, so that all processes share them; each has a model of its own. If there
    are at least as many processes as cores, each process is pinned to one core.

    Args:
        count: Number of processes.
        bound: Socket, which is listening.
        arguments: Arguments of `python -m adamine_jax.serve`.
        seconds: Time that the processes have to stop.

    Returns:
        Exit status: that of the process that ends before all are ready, or 0.
    """
    with tempfile.TemporaryDirectory() as folder:  # of the metrics of all processes
        return _Supervisor(count, bound, arguments, folder).run(seconds)


class _Supervisor:
    def __init__(self, count: int, bound: socket.socket, arguments: Sequence[str], folder: str):
        self._command = [sys.executable, "-m", "adamine_jax.serve", *arguments]
        self._bound, self._count, self._folder = bound, count, folder
        self._stopping, self._replacing = threading.Event(), threading.Event()
        self._ready: set[int] = set()  # process identifiers
        self._old: list[subprocess.Popen] = []  # replaced, and not ended yet
        self._address = ""
        self._cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []

    def run(self, seconds: float) -> int:
        is_at_terminal = os.isatty(0)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopping.set())
        signal.signal(signal.SIGHUP, lambda *_: self._replacing.set())
        workers: list[subprocess.Popen] = []
        was_ready = False
        try:
            for number in range(self._count):
                workers.append(self._start(number))
            while not self._stopping.wait(_POLL):
                if not was_ready and all(worker.pid in self._ready for worker in workers):
                    was_ready = True
                    _print(f"{self._address} ({self._count} workers)")
                for number, worker in enumerate(workers):
                    if worker.poll() is None:
                        continue
                    if not was_ready:  # it cannot serve at all
                        return worker.returncode or 1
                    self._forget(worker)
                    reason = f"worker {number} ended with status {worker.returncode}"
                    _print(f"{reason}; starting another one", sys.stderr)
                    if self._stopping.wait(_PAUSE):
                        break
                    workers[number] = self._start(number)
                if was_ready and self._replacing.is_set():
                    self._replacing.clear()
                    if is_at_terminal and not os.isatty(0):  # the terminal was closed
                        break
                    self._replace(workers, seconds)
        finally:
            self._stop([*workers, *self._old], seconds)
        _print("stopped")
        return 0

    def _replace(self, workers: list[subprocess.Popen], seconds: float) -> None:
        """Replaces one worker after the other by one that has read the model and the gallery again."""
        for number, old in enumerate(workers):
            new = self._start(number)
            while new.pid not in self._ready and new.poll() is None and not self._stopping.wait(_POLL):
                pass
            if new.pid not in self._ready:
                self._stop([new], seconds)
                self._forget(new)
                if not self._stopping.is_set():
                    reason = f"the new one ended with status {new.returncode}"
                    _print(f"worker {number} is not replaced: {reason}", sys.stderr)
                return
            workers[number] = new
            self._old.append(old)
            old.send_signal(REPLACED)
            end = time.monotonic() + seconds
            while old.poll() is None and time.monotonic() < end:
                if self._stopping.wait(_POLL):
                    return
            self._stop([old], 0)
            self._old.remove(old)
            self._forget(old)
        _print(f"{self._address} ({self._count} workers replaced)")

    def _forget(self, worker: subprocess.Popen) -> None:
        """Removes a process that has ended from the metrics."""
        from prometheus_client import multiprocess

        self._ready.discard(worker.pid)
        multiprocess.mark_process_dead(worker.pid, self._folder)

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
        if 0 < len(self._cores) <= self._count:
            # One core each: the threads of several models would interrupt each other.
            os.sched_setaffinity(worker.pid, {self._cores[number % len(self._cores)]})
        threading.Thread(target=self._forward, args=(worker, number == 0), daemon=True).start()
        return worker

    def _forward(self, worker: subprocess.Popen, is_first: bool) -> None:
        """Prints the lines of the first worker, and notes when a worker is ready."""
        assert worker.stdout is not None
        for line in worker.stdout:
            if line.startswith("ready:"):
                self._address = line.rstrip()
                self._ready.add(worker.pid)
            elif is_first and not line.startswith("stopped"):
                _print(line.rstrip())

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


def _print(line: str, file: TextIO | None = None) -> None:
    """Prints a line, if somebody reads it still."""
    with contextlib.suppress(OSError):
        print(line, file=file, flush=True)
