"""A full disk stops a run with one line and loses nothing; with more space the same command resumes it."""

import contextlib
import os
import re
import subprocess

import pytest

from tests.faults import runs
from tests.test_metrics_log import events, expected_events

pytestmark = pytest.mark.slow

NET = "--config.model.image.depth=18"
"""The disk sizes below are chosen for checkpoints of this net."""


@pytest.fixture(scope="module")
def undisturbed(tiny_data, tmp_path_factory):
    directory = tmp_path_factory.mktemp("undisturbed") / "run"
    finished = runs.run(tiny_data, directory, NET)
    assert finished.returncode == 0, finished.stderr
    return directory


def error_line(finished, directory):
    """The last line on stderr of a run that ran out of disk space, which must be its only error."""
    assert finished.returncode == 1, finished.stderr
    assert "Traceback" not in finished.stderr
    assert "Exception" not in finished.stderr
    lines = finished.stderr.splitlines()
    assert lines[-1].startswith(f"error: {directory}"), finished.stderr
    assert sum("error:" in line for line in lines) == 1
    assert re.search(r"[0-9.,]+ MiB are free", lines[-1])
    assert "free some space and rerun the same command to " in lines[-1]
    return lines[-1]


@contextlib.contextmanager
def small_disk(folder):
    """Mounts a disk at a folder and yields a function that sets its size."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a disk ({mounted.stderr.decode().strip()})")

    def resize(kibibytes):
        subprocess.run(["mount", "-o", f"remount,size={kibibytes}k", str(folder)], check=True)

    try:
        yield resize
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_grows_too_slowly(tiny_data, undisturbed, tmp_path):
    lines = []
    with small_disk(tmp_path) as resize:
        directory = tmp_path / "run"
        for kibibytes in (4, 12, 20, 40, 700, 900, 1_100, 1_300, 1_800, 1_900):
            resize(kibibytes)
            finished = runs.run(tiny_data, directory, NET)
            if finished.returncode == 0:
                break
            lines.append(error_line(finished, directory))
        resize(8_000)
        again = runs.run(tiny_data, directory, NET)
        assert again.returncode == 0, again.stderr
        runs.assert_same_run(directory, undisturbed, tiny_data)
        assert events(directory) == expected_events(directory)
    print(*lines, sep="\n")
    assert any("restart from the beginning" in line for line in lines)
    assert any("resume from step" in line for line in lines)


@pytest.mark.parametrize("size", [100, 1_000, 2_000, 3_000, 5_000, 50_000, 185_000])
def test_files_over_the_size_limit(size, tiny_data, undisturbed, tmp_path):
    """Limits the size of files, so that other writes fail than on a disk that fills up."""
    directory = tmp_path / "run"
    limited = runs.run(tiny_data, directory, NET, largest_file=size)
    print(error_line(limited, directory))
    again = runs.run(tiny_data, directory, NET)
    assert again.returncode == 0, again.stderr
    runs.assert_same_run(directory, undisturbed, tiny_data)
    assert events(directory) == expected_events(directory)
    assert not [name for name in os.listdir(directory / "checkpoints") if not name.isdigit()]


def test_no_space_for_cached_features(tiny_data, tmp_path):
    features = "--config.cache_frozen_features=2"
    whole = runs.run(tiny_data, tmp_path / "whole", NET, features)
    assert whole.returncode == 0, whole.stderr
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk") as resize:
        directory = tmp_path / "disk" / "run"
        resize(20)
        limited = runs.run(tiny_data, directory, NET, features)
        line = error_line(limited, directory)
        assert "/train.npy: no space left on device (0.0 MiB are free); the features need 0.0 GiB" in line
        resize(8_000)
        again = runs.run(tiny_data, directory, NET, features)
        assert again.returncode == 0, again.stderr
        runs.assert_same_run(directory, tmp_path / "whole", tiny_data)
