"""Contenders in processes of their own, which take turns.

In one process, and without a run that does not count in each turn, a contender would find its memory taken back by the
system while the other one ran, and get it again page by page.
"""

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np


def medians(commands: dict[str, list[str]], repeats: int, together: bool = True) -> dict[str, float]:
    """Median seconds of a run of each contender.

    Args:
        commands: name → command line of a process that calls `serve`.
        repeats: runs of each, after one that does not count.
        together: all wait for their turns at once; else one ends before the next one starts.

    Raises:
        SystemExit: a contender failed.
    """
    groups = [commands] if together else [{name: command} for name, command in commands.items()]
    return {name: median for group in groups for name, median in _medians(group, repeats).items()}


def _medians(commands: dict[str, list[str]], repeats: int) -> dict[str, float]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = {name: subprocess.Popen(command, **pipes) for name, command in commands.items()}
    times: dict[str, list[float]] = {name: [] for name in commands}
    try:
        for _ in range(repeats + 1):
            for name, process in processes.items():
                print(file=process.stdin, flush=True)
                if not (answer := process.stdout.readline()):
                    raise SystemExit(f"{name} ended with {process.wait()}")
                times[name].append(float(answer))
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    return {name: float(np.median(measured[1:])) for name, measured in times.items()}


def serve(run: Callable[[], object]) -> None:
    """Runs twice for each line of the input and answers with the seconds that the second run took.

    The first one finds the machine as the other contender left it: memory given back meanwhile, caches cold.
    """
    for _ in sys.stdin:
        run()
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)
