"""Runs of the tiny net in a process of their own, which may be killed or find the disk full, and their comparison."""

import os
import subprocess
import sys
from pathlib import Path

import jax

from adamine_jax.runs import workdir
from adamine_jax.runs.metrics_log import read_metrics
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
    """Trains the tiny net as a user does, from the command line, on one device.

    Args:
        data_dir: of the tiny data set.
        directory: the workdir.
        flags: more of them.
        kill: (point, call, when) at which it kills itself; see `tests/faults/kill_at.py`.
        sent: the signal by which it does.
        largest_file: bytes that no file may exceed.
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
"""Sets a limit and becomes another program. A fork of this process, which has JAX's threads, could not do it safely."""


def parameters(directory: Path, data_dir: Path):
    """Of the last checkpoint, whatever was best."""
    return jax.device_get(workdir.load(directory, checkpoint="last", data={"dir": str(data_dir)}).variables)


def assert_same_bits(one, other) -> None:
    """Compares two trees."""
    for (path, left), right in zip(jax.tree.leaves_with_path(one), jax.tree.leaves(other), strict=True):
        assert left.tobytes() == right.tobytes(), jax.tree_util.keystr(path)


def without_measurements(line: dict) -> dict:
    """A line of metrics without what differs from run to run."""
    return {name: value for name, value in line.items() if not any(word in name for word in ("memory", "seconds"))}


def assert_same_run(directory: Path, undisturbed: Path, data_dir: Path) -> None:
    """Both runs ended with the same parameters, bit for bit, scores and lines of metrics, none of them twice."""
    assert_same_bits(parameters(directory, data_dir), parameters(undisturbed, data_dir))
    lines, expected = (read_metrics(path / "metrics.jsonl") for path in (directory, undisturbed))
    keys = [(line["split"], line["step"]) for line in lines]
    assert len(keys) == len(set(keys))
    assert keys == [(line["split"], line["step"]) for line in expected]
    for line, other in zip(lines, expected, strict=True):
        assert without_measurements(line) == without_measurements(other)
    assert (directory / "eval_test.json").read_text() == (undisturbed / "eval_test.json").read_text()
