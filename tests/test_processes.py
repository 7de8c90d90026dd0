"""Runs with several processes compute the same as with one."""

import json
import socket

import numpy as np
import pytest

from adamine_jax.base import processes as base_processes
from adamine_jax.base.errors import UserError
from adamine_jax.distributed import mesh as devices
from adamine_jax.distributed import processes
from adamine_jax.runs.metrics_log import read_metrics
from tests import several, tiny


def lines(directory, split):
    return [line for line in read_metrics(directory / "metrics.jsonl") if line["split"] == split]


def run_alone(tiny_data, folder, **fields):
    """Runs one process with four devices in float64, logging each step; returns its configuration file and workdir."""
    fields = {"model__dtype": "float64", "train__log_every_steps": 1, "checkpoint__every_steps": 4} | fields
    config = several.write_config(folder / "config.py", tiny_data, **fields)
    command = several.main_command(config, folder / "alone")
    check_finished(several.finish(several.start([command], 4, JAX_ENABLE_X64="1")))
    return config, folder / "alone"


@pytest.fixture(scope="module")
def thirty_steps(tiny_data, tmp_path_factory):
    """A run whose ResNet is frozen at first."""
    return run_alone(tiny_data, tmp_path_factory.mktemp("processes"), epochs=5, unfreeze_epoch=2)


def check_finished(ended):
    for status, _, errors in ended:
        assert status == 0, errors


def sharded(fsdp):
    """Fields of a run whose recipe tower is large enough to be sharded."""
    return pytest.param({"mesh__fsdp": fsdp, "model__recipe__sentence_hidden": 64}, marks=pytest.mark.slow)


LSTM = pytest.param({}, marks=pytest.mark.slow)
NEIGHBOURS = pytest.param({"batches": "neighbours", "neighbours__size": 2, "epochs": 2}, marks=pytest.mark.slow)


@pytest.mark.parametrize("fields", [{"bag": True}, LSTM, NEIGHBOURS, sharded(2), sharded(4)])
def test_two_processes_compute_what_one_computes(tiny_data, tmp_path, fields):
    # Image features instead of a ResNet, which takes long to compile; the slow test below trains one.
    features = {"data__image_features": str(tiny.write_image_features(tiny_data, tmp_path / "photos.npy"))}
    fields = {"epochs": 1} | features | fields
    assert_same_run(*run_alone(tiny_data, tmp_path, **fields), tmp_path / "run", 2, steps=6 * fields["epochs"])


@pytest.mark.slow
def test_a_state_sharded_over_processes_resumes(tiny_data, tmp_path):
    fields = {"data__image_features": str(tiny.write_image_features(tiny_data, tmp_path / "photos.npy"))}
    fields |= {"mesh__fsdp": 4, "model__recipe__sentence_hidden": 64}
    config, alone = run_alone(tiny_data, tmp_path, epochs=2, **fields)
    first = several.write_config(
        tmp_path / "first.py", tiny_data, model__dtype="float64", train__log_every_steps=1, epochs=1, **fields
    )
    command = several.main_command(first, tmp_path / "run")
    check_finished(several.finish(several.start([command] * 2, 2, JAX_ENABLE_X64="1")))
    assert_same_run(config, alone, tmp_path / "run", 2, steps=12, runs=2)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 4])
def test_thirty_steps_are_those_of_one_process(thirty_steps, tmp_path, count):
    assert_same_run(*thirty_steps, tmp_path / "run", count, steps=30)


def assert_same_run(config, alone, directory, count, steps, runs=1):
    """Repeats a run in `count` processes with four devices in total and compares losses, scores and files."""
    ended = several.finish(
        several.start([several.main_command(config, directory)] * count, 4 // count, JAX_ENABLE_X64="1")
    )
    check_finished(ended)
    assert all("epoch 1/" not in output for _, output, _ in ended[1:])
    for name in ("loss", "bad_pairs", "grad_norm"):
        ours, expected = ([line[name] for line in lines(path, "train")] for path in (directory, alone))
        assert len(expected) == steps
        assert len(set(expected)) > 1
        np.testing.assert_allclose(ours, expected, rtol=1e-9, err_msg=name)
    for ours, expected in zip(lines(directory, "val"), lines(alone, "val"), strict=True):
        assert ours.pop("split") == expected.pop("split")
        assert ours == pytest.approx(expected, rel=1e-9)
    ours, expected = (json.loads((path / "eval_test.json").read_text()) for path in (directory, alone))
    assert ours == expected
    names = ({path.name for path in folder.iterdir()} - {".lock"} for folder in (directory, alone))
    ours, expected = ({name for name in found if not name.startswith("events.")} for found in names)
    assert ours == expected
    assert len(list(directory.glob("events.*"))) == runs


@pytest.mark.parametrize("failing", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_others_end_in_one_line_when_one_cannot_start(tiny_data, tmp_path, failing):
    """The missing data set is noticed before the first computation of all processes."""
    good = several.write_config(tmp_path / "good.py", tiny_data)
    bad = several.write_config(tmp_path / "bad.py", tmp_path / "nowhere")
    commands = [several.main_command(good, tmp_path / "run")] * 2
    commands[failing] = several.main_command(bad, tmp_path / "run")
    ended = several.finish(several.start(commands))
    message = f"data.dir = {tmp_path}/nowhere: no such folder"
    assert errors_of(ended[failing]) == [f"error: process {failing} of 2: {message}"]
    assert errors_of(ended[1 - failing]) == [f"error: process {1 - failing} of 2: process {failing} ended: {message}"]
    assert [ended[failing][0], ended[1 - failing][0]] == [2, 1]


def errors_of(ended):
    """The lines of a process on stderr up to the remedy, without TensorFlow's."""
    lines = [line for line in ended[2].splitlines() if "InitializeLog" not in line and "oneDNN" not in line]
    return [line.split(";")[0] for line in lines]


@pytest.mark.slow
def test_processes_with_other_data_are_refused(tiny_data, tmp_path):
    other = tiny.write_dataset(tmp_path / "other", seed=1)
    configs = [several.write_config(tmp_path / f"{number}.py", data) for number, data in enumerate((tiny_data, other))]
    ended = several.finish(several.start([several.main_command(config, tmp_path / "run") for config in configs]))
    reason = "process 1 has a different configuration or data set than process 0"
    for number, process in enumerate(ended):
        assert errors_of(process)[0] in (
            f"error: process {number} of 2: {reason}",
            f"error: process {number} of 2: process {1 - number} ended: {reason}",
        )


def test_process_0_waits_aloud_and_not_forever():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    program = (
        "from adamine_jax.base.errors import one_line_errors\n"
        "from adamine_jax.distributed import processes\n"
        "processes.START_SECONDS, processes._REPORT_SECONDS = 1, 0.1\n"
        f"one_line_errors(processes.start)({address!r}, 2, 0)\n"
    )
    ((status, _, errors),) = several.finish(several.start([["-c", program]]))
    assert status == 2
    waiting, error = errors.splitlines()
    assert waiting == "process 0: waiting for the other processes, at most 1 s"
    assert error.startswith("error: process 0: the other processes have not started within 1 s; check that all")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"coordinator": "localhost:1234", "count": 2}, "--process_id (or JAX_PROCESS_ID) is missing"),
        ({"count": 2, "number": 0}, "--coordinator (or JAX_COORDINATOR_ADDRESS) is missing"),
        ({"coordinator": "localhost", "count": 2, "number": 0}, "--coordinator localhost: must be HOST:PORT"),
        ({"coordinator": "localhost:1234", "count": 2, "number": 2}, "--process_id 2: must be from 0 to 1"),
    ],
)
def test_incomplete_flags_are_named(given, named):
    with pytest.raises(UserError) as error:
        processes.start(**given)
    assert named in str(error.value)


def test_the_environment_is_read_like_the_flags(monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "localhost:1234")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    monkeypatch.setenv("JAX_PROCESS_ID", "0")
    with pytest.raises(UserError, match="--num_processes two --process_id 0: must be integers"):
        processes.start()


def test_a_wrong_coordinator_is_one_line(monkeypatch, capsys):
    with socket.socket() as closed:
        closed.bind(("localhost", 0))
        address = f"localhost:{closed.getsockname()[1]}"
    monkeypatch.setattr("jax.distributed.initialize", lambda **_: pytest.fail("JAX would abort the process"))
    monkeypatch.setattr(processes, "START_SECONDS", 0.5)
    monkeypatch.setattr(processes, "_REPORT_SECONDS", 0.1)
    with pytest.raises(UserError, match=f"--coordinator {address}: process 0 cannot be reached .*check the address"):
        processes.start(address, 2, 1)
    assert capsys.readouterr().err.startswith(f"waiting for process 0 at {address} (")


def test_a_process_waits_for_a_coordinator_that_starts_later(monkeypatch):
    calls = []
    monkeypatch.setattr("jax.distributed.initialize", lambda **arguments: calls.append(arguments))
    with socket.socket() as coordinator:
        coordinator.bind(("localhost", 0))
        port = coordinator.getsockname()[1]
        # It listens only once the first attempt has failed.
        attempts = iter([coordinator.listen])
        monkeypatch.setattr(processes.time, "sleep", lambda _: next(attempts)())
        processes.start(f"localhost:{port}", 2, 1)
    assert calls[0]["process_id"] == 1


@pytest.mark.parametrize(
    "variables", [{}, {"SLURM_STEP_NUM_TASKS": "1"}, {"TPU_WORKER_HOSTNAMES": "localhost"}, {"SLURM_NTASKS": "4"}]
)
def test_one_process_alone_starts_nothing(monkeypatch, variables):
    def initialize(**_):
        raise AssertionError("there are no other processes")

    monkeypatch.setattr("jax.distributed.initialize", initialize)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    processes.start()
    assert base_processes.is_first()
    assert not base_processes.are_several()


@pytest.mark.parametrize("variables", [{"SLURM_STEP_NUM_TASKS": "2"}, {"TPU_WORKER_HOSTNAMES": "host0,host1"}])
def test_several_tasks_are_detected(monkeypatch, variables):
    calls = []

    def initialize(**arguments):
        calls.append(arguments)
        raise RuntimeError("no coordinator")

    monkeypatch.setattr("jax.distributed.initialize", initialize)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"--distributed: .*no coordinator"):
        processes.start()
    assert [list(arguments) for arguments in calls] == [["initialization_timeout"]]


def test_the_devices_of_a_process_are_contiguous():
    class Device:
        def __init__(self, process_index, id):
            self.process_index, self.id = process_index, id

    scattered = [Device(id % 2, id) for id in (3, 0, 2, 1)]
    order = sorted(scattered, key=devices.mesh_order)
    assert [(device.process_index, device.id) for device in order] == [(0, 0), (0, 2), (1, 1), (1, 3)]
