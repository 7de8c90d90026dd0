"""Eight processes with one device each, one of which fails: all end in one line, and the same command continues."""

import signal
import time

import pytest

from tests import several, tiny

pytestmark = pytest.mark.slow
COUNT = 8


@pytest.fixture(scope="module")
def config(tiny_data, tmp_path_factory):
    return several.write_config(
        tmp_path_factory.mktemp("eight") / "config.py", tiny_data, epochs=1, checkpoint__every_steps=2
    )


def wrapped(command, first):
    """Returns a training command that runs other code first."""
    run = "import runpy; runpy.run_module('adamine_jax.main', run_name='__main__')"
    return ["-c", f"import sys, time\n{first}\n{run}", *command[2:]]


def finished(started, seconds):
    """Waits for all processes, at most this long together, and returns (exit status, stdout, stderr) of each."""
    end, ended = time.monotonic() + seconds, []
    for process in started:
        texts = process.communicate(timeout=max(end - time.monotonic(), 1))
        ended.append((process.returncode, *texts))
    return ended


def check_continues(config, directory):
    """Asserts that the same command trains to the end."""
    ended = finished(several.start([several.main_command(config, directory)] * COUNT), 400)
    assert [status for status, _, _ in ended] == [0] * COUNT, ended
    assert (directory / "eval_test.json").exists()


def error_lines(ended):
    return [line for line in ended[2].splitlines() if line.startswith("error: ")]


def test_one_is_killed(config, tmp_path):
    directory = tmp_path / "run"
    started = several.start([several.main_command(config, directory)] * COUNT)
    while not (directory / "checkpoints" / "2").exists() and started[5].poll() is None:
        time.sleep(0.05)
    started[5].send_signal(signal.SIGKILL)
    ended = finished(started, 130)  # JAX notices after 100 s at the latest
    assert ended[5][0] == -signal.SIGKILL
    for number, process in enumerate(ended):
        if number != 5:
            assert process[0] != 0
            assert len(error_lines(process)) == 1, process
            assert "Traceback" not in process[2]
    check_continues(config, directory)


def test_one_is_two_minutes_late(config, tmp_path):
    commands = [several.main_command(config, tmp_path / "run")] * COUNT
    commands[7] = wrapped(commands[7], "time.sleep(120)")
    ended = finished(several.start(commands), 500)
    assert [status for status, _, _ in ended] == [0] * COUNT, ended
    assert "process 0: waiting for the other processes" in ended[0][2]


def test_one_has_another_address(config, tmp_path):
    shorter = "from adamine_jax.distributed import processes\nprocesses.START_SECONDS = 30"
    other = "sys.argv = [flag.replace('--coordinator=localhost:', '--coordinator=localhost:1') for flag in sys.argv]"
    commands = [wrapped(several.main_command(config, tmp_path / "run"), shorter)] * COUNT
    commands[3] = wrapped(several.main_command(config, tmp_path / "run"), f"{shorter}\n{other}")
    ended = finished(several.start(commands), 200)
    for process in ended:
        assert process[0] != 0
        assert len(error_lines(process)) == 1, process
    assert "process 0 cannot be reached" in error_lines(ended[3])[0]
    assert "the other processes have not started within 30 s" in error_lines(ended[0])[0]
    check_continues(config, tmp_path / "run")


def test_one_has_other_data(config, tmp_path):
    data = tiny.write_dataset(tmp_path / "data", seed=1)
    other = several.write_config(tmp_path / "other.py", data, epochs=1, checkpoint__every_steps=2)
    commands = [several.main_command(config, tmp_path / "run")] * COUNT
    commands[6] = several.main_command(other, tmp_path / "run")
    ended = finished(several.start(commands), 200)
    for process in ended:
        assert process[0] != 0
        assert len(error_lines(process)) == 1, process
        assert "configuration or data set" in error_lines(process)[0]
    check_continues(config, tmp_path / "run")
