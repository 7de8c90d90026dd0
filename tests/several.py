"""Runs with several processes on this machine, each with the same command and its own virtual devices."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from tests import xla

ROOT = Path(__file__).parents[1]


def write_config(path: Path, data_dir: Path, **fields) -> Path:
    """Writes a configuration file for `--config` with the tiny net of `tiny.small_config`."""
    path.write_text(
        "from tests import tiny\n\n\ndef get_config():\n"
        f"    return tiny.small_config({str(data_dir)!r}, **{fields!r})\n"
    )
    return path


def environment(devices: int = 1, **more: str) -> dict[str, str]:
    """Returns the environment of a process with virtual devices and the tests' compilation cache."""
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": xla.flags(devices),
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        **more,
    }


def start(commands: list[list[str]], devices: int = 1, **more: str) -> list[subprocess.Popen]:
    """Starts a Python process for each command, with pipes for stdout and stderr.

    Args:
        commands: Arguments of `python`, without the flags that connect the processes.
        devices: Number of devices of each process.
        more: Additional environment variables.
    """
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    started = []
    for number, command in enumerate(commands):
        flags = [f"--coordinator=localhost:{port}", f"--num_processes={len(commands)}", f"--process_id={number}"]
        started.append(
            subprocess.Popen(
                [sys.executable, *command, *(flags if len(commands) > 1 else [])],
                cwd=ROOT,
                env=environment(devices, **more),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    return started


def finish(started: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Waits for all processes and returns (exit status, stdout, stderr) of each."""
    texts = [process.communicate() for process in started]
    return [(process.returncode, *text) for process, text in zip(started, texts, strict=True)]


def main_command(config: Path, directory: Path, *flags: str, kill: tuple[str, int, str] | None = None) -> list[str]:
    """Returns the training command, which kills itself at `kill`; see `tests/faults/kill_at.py`."""
    wrapper = ["tests.faults.kill_at", *map(str, kill)] if kill else []
    return ["-m", *wrapper, "adamine_jax.main", f"--config={config}", f"--workdir={directory}", *flags]
