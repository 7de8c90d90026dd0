"""If a program is killed while it saves, earlier checkpoints stay intact and the new one is complete or absent."""

import itertools
import multiprocessing
import shutil
import signal

import jax
import pytest

from adamine_jax.checkpoints.manager import Checkpoints
from tests.faults import kill_at
from tests.test_checkpoints import ONE_DEVICE, assert_is, names, saved, state_of

BEFORE = {1: 9.0, 2: 5.0, 3: 6.0}
"""Scores of the earlier checkpoints: the best and the last two. The next save keeps 1 and 3 and deletes 2."""


def save_until_killed(workdir, change, moment):
    """Saves step 4 and kills itself before a change on disk or while changes are under way; runs in a new process."""
    if moment:
        kill_at.kill_in_the_middle(workdir, moment)
    else:
        kill_at.kill_at_change(workdir, change)
    checkpoints = Checkpoints(workdir)
    checkpoints.save(state_of(4, mesh=ONE_DEVICE), {"r1": 7.0})
    checkpoints.close()


@pytest.fixture(scope="module")
def processes():
    """A context whose processes start with all modules imported but no devices initialized."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["adamine_jax.checkpoints.manager", "tests.test_checkpoints"])
    return context


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("before")
    saved(workdir, BEFORE)
    return workdir


def last_when_killed(processes, before, workdir, change=0, moment=0) -> int | None:
    """Kills a save and checks the checkpoints; returns the last step, None if the save completed."""
    shutil.copytree(before, workdir)
    process = processes.Process(target=save_until_killed, args=(workdir, change, moment))
    process.start()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)

    read_only = Checkpoints(workdir, read_only=True)
    checkpoints = Checkpoints(workdir)
    last = checkpoints.latest_step()
    assert last in ((3, 4) if process.exitcode else (4,))
    assert read_only.latest_step() == last
    assert checkpoints.best_step() == read_only.best_step() == 1
    for step in (last, 3, 1):
        assert_is(checkpoints.restore(step, jax.eval_shape(lambda: state_of(0)), ONE_DEVICE), step)
    assert set(names(workdir / "checkpoints")) - {"2"} == {"1", "3", str(last)} - {"2"}

    checkpoints.save(state_of(4), {"r1": 7.0})
    checkpoints.save(state_of(5), {"r1": 8.0})
    checkpoints.close()
    assert names(workdir / "checkpoints") == ["1", "4", "5"]
    return last if process.exitcode else None


@pytest.mark.slow
def test_killed_before_each_change_of_the_disk(processes, before, tmp_path):
    last = []
    for change in itertools.count(1):
        last.append(last_when_killed(processes, before, tmp_path / str(change), change))
        if last[-1] is None:
            break
    committed = last.index(4)
    assert committed > 20
    assert last == [3] * committed + [4] * (len(last) - 1 - committed) + [None]
    assert len(last) - committed > 10  # the superseded checkpoint is deleted after the commit


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(1, 31, 2))
def test_killed_while_files_are_being_written(processes, before, tmp_path, moment):
    last_when_killed(processes, before, tmp_path / "run", moment=moment)


@pytest.mark.parametrize("change", [2, 8])
def test_killed_early_and_late(processes, before, tmp_path, change):
    assert last_when_killed(processes, before, tmp_path / "run", change) == 3
