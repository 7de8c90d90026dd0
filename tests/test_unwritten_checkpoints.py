"""A checkpoint that cannot be written is reported and leaves the earlier ones unchanged."""

import errno
import os
import resource
import types

import numpy as np
import orbax.checkpoint as ocp
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.checkpoints import folders as checkpoint_folders
from adamine_jax.checkpoints.manager import Checkpoints
from adamine_jax.checkpoints.orbax_trees import save_trees
from tests.test_checkpoints import everything, names, saved, state_of


@pytest.mark.parametrize("limit", [0, 300, 20_000])
def test_a_full_disk_is_reported_by_the_next_save_and_loses_nothing(tmp_path, limit):
    folder = saved(tmp_path, {1: 5.0, 2: 1.0})
    before = everything(folder)
    checkpoints = Checkpoints(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        checkpoints.save(state_of(3, size=10_000), {"r1": 9.0})
        with pytest.raises(OSError, match="File too large") as raised:
            checkpoints.save(state_of(4), {"r1": 10.0})
        checkpoints.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.filename == f"{folder}/3.unfinished"
    assert everything(folder) == before
    checkpoints = Checkpoints(tmp_path)
    assert (checkpoints.latest_step(), checkpoints.best_step()) == (2, 1)


def test_an_error_of_tensorstore_keeps_its_number(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError("OUT_OF_RANGE: Error writing \"x/0\" [os_error_code='28'] [source locations=...]")

    monkeypatch.setattr(ocp.Checkpointer, "save", fail)
    with pytest.raises(OSError, match="No space left on device") as raised:
        save_trees(tmp_path / "3.unfinished", {"model": {"x": np.zeros(3)}, "training": {}})
    assert (raised.value.errno, raised.value.filename) == (errno.ENOSPC, f"{tmp_path}/3.unfinished")


def test_folders_that_late_writes_recreate_are_deleted_as_well(tmp_path, monkeypatch):
    late = iter([False, True, False, True, False, False, False])

    def write(_):
        if next(late):
            (tmp_path / "3.unfinished.orbax-checkpoint-tmp" / "model").mkdir(parents=True)

    monkeypatch.setattr(checkpoint_folders, "time", types.SimpleNamespace(sleep=write))
    (tmp_path / "3.unfinished").mkdir()
    (tmp_path / "2").mkdir()
    checkpoint_folders.remove_unfinished(tmp_path, 3)
    assert names(tmp_path) == ["2"]


def test_another_error_of_a_write_is_one_line_and_loses_nothing(tmp_path, monkeypatch):
    folder = saved(tmp_path, {1: 5.0, 2: 1.0})
    before = everything(folder)

    def refuse(unfinished, *_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(unfinished))

    monkeypatch.setattr("adamine_jax.checkpoints.manager.save_trees", refuse)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(state_of(3), {"r1": 9.0})
    message = r"3.unfinished: cannot write the checkpoint \(permission denied\); earlier checkpoints are intact"
    with pytest.raises(UserError, match=message):
        checkpoints.close()
    assert everything(folder) == before
