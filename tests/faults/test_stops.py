"""Runs that are asked to stop save a checkpoint, and end like undisturbed ones after resuming."""

import signal

import jax
import numpy as np
import pytest

from adamine_jax.distributed.preemption import RUN_AGAIN
from adamine_jax.runs.metrics_log import read_metrics
from tests import several
from tests.faults import runs

LOG, VALIDATION = "adamine_jax.train:_Run.log_train", "adamine_jax.runs.embedding:Embedder.embed_split"
SAVE, TEST = "adamine_jax.checkpoints.manager:Checkpoints.save", "adamine_jax.train:run_test"


@pytest.fixture(scope="module")
def undisturbed(tiny_data, tmp_path_factory):
    directory = tmp_path_factory.mktemp("undisturbed") / "run"
    finished = runs.run(tiny_data, directory)
    assert finished.returncode == 0, finished.stderr
    return directory


@pytest.mark.parametrize(
    ("point", "call", "when", "sent", "saved"),
    [
        (LOG, 1, "before", "SIGTERM", 2),
        (VALIDATION, 1, "before", "SIGTERM", 6),
        (VALIDATION, 2, "before", "SIGTERM", 12),
        (LOG, 3, "before", "SIGTERM", 6),  # the last step of the epoch
        (SAVE, 1, "after", "SIGTERM", 5),  # while the checkpoint of step 4 is being written
        (LOG, 4, "before", "SIGINT", 8),
    ],
)
@pytest.mark.slow
def test_a_stopped_run_resumes_to_the_same_bits(point, call, when, sent, saved, tiny_data, undisturbed, tmp_path):
    directory = tmp_path / "run"
    stopped = runs.run(tiny_data, directory, kill=(point, call, when), sent=sent)
    assert stopped.returncode == (RUN_AGAIN if sent == "SIGTERM" else -signal.SIGINT), stopped.stderr
    assert f"stopped at step {saved} and saved a checkpoint" in stopped.stdout
    again = runs.run(tiny_data, directory)
    assert again.returncode == 0, again.stderr
    assert f"resuming from step {saved} " in again.stdout
    runs.assert_same_run(directory, undisturbed, tiny_data)


@pytest.mark.slow
def test_a_run_with_nothing_to_save_stops_at_once(tiny_data, undisturbed, tmp_path):
    stopped = runs.run(tiny_data, tmp_path / "run", kill=(TEST, 1, "before"), sent="SIGTERM")
    assert stopped.returncode == RUN_AGAIN, stopped.stderr
    assert not (tmp_path / "run" / "eval_test.json").exists()
    assert runs.run(tiny_data, tmp_path / "run").returncode == 0
    runs.assert_same_run(tmp_path / "run", undisturbed, tiny_data)


def run_two(data_dir, directory, kill=None, sent="SIGKILL"):
    """Runs two processes with a device each; the second one kills itself."""
    config = several.write_config(directory.parent / "config.py", data_dir, epochs=2, checkpoint__every_steps=4)
    commands = [several.main_command(config, directory), several.main_command(config, directory, kill=kill)]
    return several.finish(several.start(commands, KILL_AT_SIGNAL=sent))


@pytest.mark.slow
def test_one_of_two_processes_is_asked_to_stop_or_dies(tiny_data, tmp_path):
    undisturbed = tmp_path / "undisturbed"
    assert [status for status, *_ in run_two(tiny_data, undisturbed)] == [0, 0]

    stopped = run_two(tiny_data, tmp_path / "stopped", (LOG, 1, "before"), "SIGTERM")
    assert [status for status, *_ in stopped] == [RUN_AGAIN, RUN_AGAIN], stopped
    dead = run_two(tiny_data, tmp_path / "dead", (LOG, 4, "before"))
    assert dead[1][0] == -signal.SIGKILL
    assert dead[0][0] == 1
    assert (
        dead[0][2]
        .splitlines()[-1]
        .startswith("error: process 0 of 2: another process has ended or cannot be reached (")
    )
    for directory in (tmp_path / "stopped", tmp_path / "dead"):
        again = run_two(tiny_data, directory)
        assert [status for status, *_ in again] == [0, 0], again
        runs.assert_same_run(directory, undisturbed, tiny_data)


@pytest.mark.slow
def test_a_run_of_two_processes_resumes_in_one_with_eight_devices(tiny_data, tmp_path):
    undisturbed, directory = tmp_path / "undisturbed", tmp_path / "run"
    assert [status for status, *_ in run_two(tiny_data, undisturbed)] == [0, 0]
    run_two(tiny_data, directory, (LOG, 4, "before"), "SIGTERM")
    command = several.main_command(tmp_path / "config.py", directory)
    ((status, output, errors),) = several.finish(several.start([command], devices=8))
    assert status == 0, errors
    assert "resuming from step" in output
    ours, expected = (read_metrics(path / "metrics.jsonl") for path in (directory, undisturbed))
    assert [(line["split"], line["step"]) for line in ours] == [(line["split"], line["step"]) for line in expected]
    for line, other in zip(ours, expected, strict=True):
        if line["split"] == "train":
            assert line["loss"] == pytest.approx(other["loss"], rel=1e-3)
    for one, other in zip(
        *(jax.tree.leaves(runs.parameters(path, tiny_data)["params"]) for path in (directory, undisturbed)), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-3)
