"""Clients of a server: threads that ask, wait for the answer, and ask again."""

import collections
import contextlib
import http.client
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple


class Request(NamedTuple):
    """What a client sends."""

    path: str
    content: bytes
    kind: str


class Load(NamedTuple):
    """What came back.

    Attributes:
        rate: answers a second that were a 200.
        milliseconds: of each of them, in order.
        statuses: how many answers had which status.
    """

    rate: float
    milliseconds: list[float]
    statuses: dict[int, int]

    @property
    def median(self) -> float:
        """Milliseconds."""
        return statistics.median(self.milliseconds)

    @property
    def p99(self) -> float:
        """Milliseconds that one of a hundred takes longer than."""
        return self.milliseconds[int(0.99 * (len(self.milliseconds) - 1))]


@contextlib.contextmanager
def served(workdir: Path, *flags: str) -> Iterator[tuple[int, int]]:
    """The port and the process of a server while it runs."""
    command = [sys.executable, "-m", "adamine_jax.serve", "--workdir", str(workdir), "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        ready = next((line for line in process.stdout if line.startswith("ready: ")), None)
        if ready is None:
            raise SystemExit("the server did not start")
        try:
            yield int(ready.rsplit(":", 1)[1]), process.pid
        finally:
            process.terminate()
            process.communicate()


def load(port: int, requests: Sequence[Request], clients: int, go_on: Callable[[int], bool]) -> Load:
    """Lets clients ask at once, each on a connection of its own, as long as `go_on(answers so far)`."""
    statuses, taken = collections.Counter(), []

    def run(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while go_on(len(taken)):
            path, content, kind = requests[number % len(requests)]
            number += clients
            start = time.perf_counter()
            connection.request("POST", path, content, {"content-type": kind})
            answer = connection.getresponse()
            answer.read()
            statuses[answer.status] += 1
            if answer.status == 200:
                taken.append(1000 * (time.perf_counter() - start))
        connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Load(len(taken) / (time.perf_counter() - start), sorted(taken), dict(statuses))


def for_seconds(seconds: float) -> Callable[[int], bool]:
    """Goes on until so many seconds have passed."""
    end = time.perf_counter() + seconds
    return lambda _: time.perf_counter() < end


def resident_mb(process: int) -> float:
    """Megabytes of memory that a process takes (Linux)."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))
