"""Runs over several processes on this machine: each with the same command, and devices of its own."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from tests import xla

ROOT = Path(__file__).parents[1]


def write_config(path: Path, data_dir: Path, **fields) -> Path:
    """A configuration file for `--config`: the tiny net of `tiny.small_config`."""
    path.write_text(
        "from tests import tiny\n\n\ndef get_config():\n"
        f"    return tiny.small_config({str(data_dir)!r}, **{fields!r})\n"
    )
    return path


def environment(devices: int = 1, **more: str) -> dict[str, str]:
    """Of a process with so many virtual devices and the tests' compilation cache."""
    return os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": xla.flags(devices),
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        **more,
    }


def start(commands: list[list[str]], devices: int = 1, **more: str) -> list[subprocess.Popen]:
    """Starts a process for each command of `python`; their output can be read from stdout and stderr.

    Args:
        commands: what each of them is given after `python`, without the flags by which they find each other.
        devices: of each.
        more: variables of their environment.
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
    """Waits for all of them: (exit status, stdout, stderr) of each."""
    texts = [process.communicate() for process in started]
    return [(process.returncode, *text) for process, text in zip(started, texts, strict=True)]


def main_command(config: Path, directory: Path, *flags: str, kill: tuple[str, int, str] | None = None) -> list[str]:
    """The command that trains; `kill` is where it kills itself, see `tests/faults/kill_at.py`."""
    wrapper = ["tests.faults.kill_at", *map(str, kill)] if kill else []
    return ["-m", *wrapper, "adamine_jax.main", f"--config={config}", f"--workdir={directory}", *flags]
