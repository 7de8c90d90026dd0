"""Runs the tiny net in separate processes that may be killed or run out of disk space, and compares the results."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jax

from adamine_jax.runs import workdir
from adamine_jax.runs.metrics_log import read_metrics
from adamine_jax.train import train
from tests import xla

ROOT = Path(__file__).parents[2]


def run(
    data_dir: Path,
    directory: Path,
    *flags: str,
    kill: tuple[str, int, str] | None = None,
    sent: str = "SIGKILL",
    largest_file: int | None = None,
) -> subprocess.CompletedProcess:
    """Trains the tiny net from the command line on one device.

    Args:
        data_dir: Folder of the tiny data set.
        directory: Workdir.
        flags: Additional flags.
        kill: (point, call, when) at which it kills itself; see `tests/faults/kill_at.py`.
        sent: Name of the signal that it sends itself.
        largest_file: Maximum size of a file in bytes.
    """
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": xla.flags(1),
        "JAX_COMPILATION_CACHE_DIR": str(ROOT / ".jax_cache"),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        "KILL_AT_SIGNAL": sent,
    }
    wrapper = ["tests.faults.kill_at", *map(str, kill)] if kill else []
    limit = [sys.executable, "-c", _LIMITED, str(largest_file)] if largest_file is not None else []
    command = [
        *(*limit, sys.executable, "-m", *wrapper, "adamine_jax.main"),
        *("--config=tests/faults/tiny_run.py", f"--config.data.dir={data_dir}", f"--workdir={directory}", *flags),
    ]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


_LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY))
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Sets a limit and executes another program. Forking this process is unsafe because of JAX's threads."""


def parameters(directory: Path, data_dir: Path):
    """Returns the variables of the last checkpoint."""
    return jax.device_get(workdir.load(directory, checkpoint="last", data={"dir": str(data_dir)}).variables)


def assert_same_bits(one, other) -> None:
    """Asserts that two trees are bit-identical."""
    for (path, left), right in zip(jax.tree.leaves_with_path(one), jax.tree.leaves(other), strict=True):
        assert left.tobytes() == right.tobytes(), jax.tree_util.keystr(path)


def train_in_two_parts(config, directory: Path, between: Callable[[], object] = lambda: None) -> None:
    """Trains all epochs but the last, calls `between`, then resumes in this process with all of them."""
    shorter = config.copy_and_resolve_references()
    shorter.epochs = config.epochs - 1
    train(shorter, directory)
    stored = directory / "config.json"
    stored.write_text(stored.read_text().replace(f'"epochs": {shorter.epochs}', f'"epochs": {config.epochs}'))
    (directory / "eval_test.json").unlink()
    between()
    train(config, directory)


def without_measurements(line: dict) -> dict:
    """Removes the fields that differ from run to run from a line of metrics."""
    return {name: value for name, value in line.items() if not any(word in name for word in ("memory", "seconds"))}


def assert_same_run(directory: Path, undisturbed: Path, data_dir: Path) -> None:
    """Asserts bit-identical parameters, equal scores and equal lines of metrics without duplicates."""
    assert_same_bits(parameters(directory, data_dir), parameters(undisturbed, data_dir))
    lines, expected = (read_metrics(path / "metrics.jsonl") for path in (directory, undisturbed))
    keys = [(line["split"], line["step"]) for line in lines]
    assert len(keys) == len(set(keys))
    assert keys == [(line["split"], line["step"]) for line in expected]
    for line, other in zip(lines, expected, strict=True):
        assert without_measurements(line) == without_measurements(other)
    assert (directory / "eval_test.json").read_text() == (undisturbed / "eval_test.json").read_text()
