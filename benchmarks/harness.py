"""Shared by the benchmarks: timing in turns, parts in separate processes, and results pages.

Runs that are compared alternate, so that noise from other programs affects all of them alike.
"""

import argparse
import datetime
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).parent / "results"


def results_parser(name: str, description: str, flag: str = "--out") -> argparse.ArgumentParser:
    """Returns the parser of `benchmarks.<name>`, with `flag` for its results page, `page`."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    page = RESULTS / f"{name}.md"
    parser.add_argument(flag, dest="page", type=Path, default=page, help=f"results page; default: results/{page.name}")
    return parser


def write_page(path: Path, lines: list[str]) -> None:
    """Writes and prints a results page."""
    text = "\n".join(lines) + "\n"
    path.write_text(text, encoding="utf-8")
    print(text)


def describe_machine() -> str:
    """Returns one sentence with the date, the hardware and the versions."""
    import flax  # here, because some contenders are timed and measured without JAX
    import jax

    device = jax.devices()[0]
    kind = device.device_kind if device.platform != "cpu" else _processor()
    count = len(jax.devices()) if device.platform != "cpu" else os.cpu_count()
    return (
        f"Measured on {datetime.date.today():%Y-%m-%d}: {count} × {kind}, Python {platform.python_version()}, "
        f"jax {jax.__version__}, flax {flax.__version__}."
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name")) + " core"
    except (OSError, StopIteration):
        return f"{platform.machine()} core"


def memory_bytes(field: str, process: int | str = "self") -> int:
    """Returns a field of /proc/PROCESS/status, such as VmRSS, in bytes (Linux)."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def in_turns(runs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Returns the median seconds of each run, after one warm-up. The runs alternate in this process."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(repeats + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
            if repeat:
                print(f"{repeat}/{repeats} {name}: {times[name][-1]:.3f} s", file=sys.stderr, flush=True)
    return {name: float(np.median(measured[1:])) for name, measured in times.items()}


def processes_in_turns(commands: Mapping[str, list[str]], repeats: int, together: bool = True) -> dict[str, float]:
    """Returns the median seconds of the runs of several processes.

    Args:
        commands: Name → command line of a process that calls `serve`.
        repeats: Number of measured runs per process, after one warm-up.
        together: Start all processes and alternate between them; otherwise run one process after the other.

    Raises:
        SystemExit: A process failed.
    """
    if not together:
        return {name: processes_in_turns({name: command}, repeats)[name] for name, command in commands.items()}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = {name: subprocess.Popen(command, **pipes) for name, command in commands.items()}
    times: dict[str, list[float]] = {name: [] for name in commands}
    try:
        for _ in range(repeats + 1):
            for name, process in processes.items():
                print(file=process.stdin, flush=True)
                if not (answer := process.stdout.readline()):
                    raise SystemExit(f"{name}: the process ended with exit status {process.wait()}")
                times[name].append(float(answer))
    finally:
        for process in processes.values():
            process.kill()
            process.wait()
    return {name: float(np.median(measured[1:])) for name, measured in times.items()}


def serve(run: Callable[[], object]) -> None:
    """Runs twice per line of stdin and prints the seconds of the second run.

    The first run is a warm-up: caches are cold, and memory was reclaimed while the other processes ran.
    """
    for _ in sys.stdin:
        run()
        start = time.perf_counter()
        run()
        print(time.perf_counter() - start, flush=True)


def own_process(name: str, *arguments: object, environment: Mapping[str, str] | None = None) -> str:
    """Runs `benchmarks.<name>` in a separate process and returns its output.

    Raises:
        SystemExit: The process failed; it has printed the reason.
    """
    command = [sys.executable, "-m", f"benchmarks.{name}", *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        raise SystemExit(done.returncode)
    return done.stdout.rstrip("\n")
