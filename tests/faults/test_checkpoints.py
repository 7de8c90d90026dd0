"""Runs that were killed at any point, or whose checkpoints were damaged, end like undisturbed ones."""

import shutil
import signal

import pytest

from adamine_jax import evaluate
from adamine_jax.runs.metrics_log import read_metrics
from tests.faults import runs
from tests.test_metrics_log import events, expected_events

pytestmark = pytest.mark.slow

THREE = "--config.checkpoint.keep=3"


@pytest.fixture(scope="module")
def undisturbed(tiny_data, tmp_path_factory):
    directory = tmp_path_factory.mktemp("undisturbed") / "run"
    finished = runs.run(tiny_data, directory, THREE)
    assert finished.returncode == 0, finished.stderr
    return directory


@pytest.fixture(scope="module")
def interrupted(tiny_data, tmp_path_factory):
    """A run killed at its end, with checkpoints of steps 4, 6 (the best) and 8, and metrics up to step 12."""
    directory = tmp_path_factory.mktemp("interrupted") / "run"
    killed = runs.run(
        tiny_data, directory, THREE, kill=("adamine_jax.checkpoints.manager:Checkpoints._commit", 4, "after")
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert checkpoints_of(directory) == ["4", "6", "8"]
    assert read_metrics(directory / "metrics.jsonl")[-1]["step"] == 12
    return directory


@pytest.fixture
def copy(interrupted, tmp_path):
    """A copy of the interrupted run that tests may damage."""
    return shutil.copytree(interrupted, tmp_path / "run")


def checkpoints_of(directory):
    return sorted(path.name for path in (directory / "checkpoints").iterdir())


def resume(tiny_data, directory, undisturbed):
    """Resumes a run and compares it with the undisturbed one; returns its stderr lines on the workdir, and stdout."""
    finished = runs.run(tiny_data, directory, THREE)
    assert finished.returncode == 0, finished.stderr
    runs.assert_same_run(directory, undisturbed, tiny_data)
    assert events(directory) == expected_events(directory)
    return [line for line in finished.stderr.splitlines() if str(directory) in line], finished.stdout


@pytest.mark.parametrize(
    ("point", "call", "when"),
    [
        *(("adamine_jax.checkpoints.manager:save_trees", 2, when) for when in ("before", "during", "after")),
        *(
            ("adamine_jax.checkpoints.manifest:write", call, when)
            for call in (1, 3)
            for when in ("before", "during", "after")
        ),
        *(("adamine_jax.checkpoints.folders:remove", 1, when) for when in ("before", "during", "after")),
        *(("os:rename", call, when) for call in (3, 6) for when in ("before", "after")),  # every third one commits
        ("adamine_jax.base.files:sync", 20, "before"),
        ("adamine_jax.checkpoints.folders:prepare_to_resume", 1, "before"),
        ("adamine_jax.checkpoints.folders:prepare_to_resume", 1, "after"),
        ("adamine_jax.runs.event_file:EventFile.write", 3, "before"),
        ("adamine_jax.runs.event_file:EventFile.write", 3, "after"),
    ],
)
def test_killed_while_it_writes(point, call, when, tiny_data, undisturbed, tmp_path):
    directory = tmp_path / "run"
    killed = runs.run(tiny_data, directory, THREE, kill=(point, call, when))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    reported, _ = resume(tiny_data, directory, undisturbed)
    assert not reported
    assert not [name for name in checkpoints_of(directory) if not name.isdigit()]


@pytest.mark.parametrize("change", range(5, 200, 23))
def test_killed_again_and_again_before_it_changes_a_file(change, tiny_data, undisturbed, tmp_path):
    directory = tmp_path / "run"
    killed = 0
    for _ in range(3):
        done = runs.run(tiny_data, directory, THREE, kill=(f"changes:{directory}", change, "before"))
        killed += done.returncode == -signal.SIGKILL
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
    assert killed
    reported, _ = resume(tiny_data, directory, undisturbed)
    assert not reported


def cut_off(checkpoint):
    for path in checkpoint.rglob("d/*"):
        path.write_bytes(path.read_bytes()[:-1])


def without_manifest(checkpoint):
    (checkpoint / "manifest.jsonl").unlink()


def flip(place):
    def flipped(checkpoint):
        largest = max((path for path in checkpoint.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
        content = bytearray(largest.read_bytes())
        content[int(place * (len(content) - 1))] ^= 0x10
        largest.write_bytes(content)

    return flipped


DAMAGES = {
    "first": (flip(0), "wrong checksum"),
    "middle": (flip(0.5), "wrong checksum"),
    "last": (flip(1), "wrong checksum"),
    "cut off": (cut_off, "bytes instead of"),
    "no manifest": (without_manifest, "manifest.jsonl: missing"),
    "empty": (lambda checkpoint: [shutil.rmtree(path) for path in checkpoint.glob("*/")], "missing"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_last_checkpoint_is_reported_and_the_previous_one_used(name, copy, tiny_data, undisturbed):
    damage, wrong = DAMAGES[name]
    damage(copy / "checkpoints" / "8")
    (line,), printed = resume(tiny_data, copy, undisturbed)
    assert line.startswith(f"{copy}/checkpoints/8/")
    assert wrong in line
    assert line.endswith("; renamed the checkpoint to 8.damaged, resuming from step 6")
    assert f"resuming from step 6 of {copy}" in printed
    assert checkpoints_of(copy) == ["12", "6", "8", "8.damaged"]


def test_two_damaged_checkpoints_including_the_best(copy, tiny_data, undisturbed):
    flip(0.5)(copy / "checkpoints" / "8")
    cut_off(copy / "checkpoints" / "6")
    lines, printed = resume(tiny_data, copy, undisturbed)
    assert [line.partition("checkpoints/")[2].partition("/")[0] for line in lines] == ["8", "6"]
    assert f"resuming from step 4 of {copy}" in printed


def test_training_does_not_start_if_all_are_damaged(copy, tiny_data, undisturbed, capsys):
    for step in ("4", "6", "8"):
        flip(0.3)(copy / "checkpoints" / step)
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file() and path.name != ".lock"}
    refused = runs.run(tiny_data, copy, THREE)
    assert refused.returncode == 2
    (line,) = [line for line in refused.stderr.splitlines() if str(copy) in line]
    assert line.startswith(f"error: {copy}/checkpoints: all checkpoints are damaged (8/")
    assert "Traceback" not in refused.stderr
    assert before == {path: path.read_bytes() for path in copy.rglob("*") if path.is_file() and path.name != ".lock"}

    assert evaluate.main(["--workdir", str(copy), "--split", "val"]) == 2
    assert f"error: {copy}/checkpoints/6/" in capsys.readouterr().err
    shutil.rmtree(copy / "checkpoints")
    resume(tiny_data, copy, undisturbed)


def test_evaluate_names_a_damaged_checkpoint_and_the_alternative(copy, capsys):
    flip(0.7)(copy / "checkpoints" / "6")
    before = checkpoints_of(copy)
    assert evaluate.main(["--workdir", str(copy), "--split", "val"]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith(f"error: {copy}/checkpoints/6/")
    assert "wrong checksum; use --checkpoint last, or rerun" in line
    assert evaluate.main(["--workdir", str(copy), "--split", "val", "--checkpoint", "last"]) == 0
    assert "checkpoint of step 8" in capsys.readouterr().out
    assert checkpoints_of(copy) == before
