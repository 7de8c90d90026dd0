"""Checkpoints are restored exactly as saved; damaged ones are reported and the previous one is used."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.checkpoints.manager import Checkpoints
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.training.state import TrainState

MESH, ONE_DEVICE = make_mesh(jax.devices()), make_mesh(jax.devices()[:1])


def state_of(step, size=40, mesh=MESH):
    """Returns a state whose values depend on its step."""
    rng = np.random.default_rng(step)

    def array(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    fields = {
        "params": {"fc": {"kernel": array(size, 3), "bias": array(3)}},
        "batch_stats": {"bn": {"mean": array(3)}},
        "opt_state": {"recipe": {"mu": array(size, 3)}, "image": {}},
        "step": np.int32(step),
        "skipped": np.int32(1),
        "streak": np.int32(0),
        "sums": {"loss": np.float32(0.1)},
    }
    return jax.device_put(TrainState(**fields), jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec()))


def assert_is(state, step):
    one, other = jax.device_get((state, state_of(step)))
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert (left.dtype, left.shape, left.tobytes()) == (right.dtype, right.shape, right.tobytes())


def saved(workdir, scores, keep=2):
    """Saves states with the given scores by step; returns the folder of the checkpoints."""
    checkpoints = Checkpoints(workdir, keep)
    for step, score in scores.items():
        checkpoints.save(state_of(step), None if score is None else {"r1": score})
    checkpoints.close()
    return workdir / "checkpoints"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def damage(folder, step, file="model/_METADATA"):
    """Flips a bit in the middle of a file."""
    path = folder / str(step) / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def everything(folder):
    """Returns the contents and modification times of all files in a folder."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None) for path in folder.rglob("*")
    }


@pytest.mark.parametrize("run_mesh", [MESH, ONE_DEVICE])
def test_a_state_is_restored_as_saved_although_the_next_step_donated_it(tmp_path, run_mesh):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest_step() is None
    assert checkpoints.best_step() is None
    state = state_of(5, mesh=run_mesh)
    donate = jax.jit(lambda s: jax.tree.map(jnp.zeros_like, s), donate_argnums=0)
    checkpoints.save(state)
    jax.block_until_ready(donate(state))
    checkpoints.close()
    again = Checkpoints(tmp_path)
    assert again.latest_step() == 5
    for mesh in (MESH, ONE_DEVICE):
        restored = again.restore(5, jax.eval_shape(lambda: state_of(5)), mesh)
        assert_is(restored, 5)
        assert restored.step.sharding.device_set == set(mesh.devices.flat)
    model = again.restore_model(5, {"params": state_of(5).params, "batch_stats": state_of(5).batch_stats}, ONE_DEVICE)
    np.testing.assert_array_equal(model["params"]["fc"]["kernel"], state_of(5).params["fc"]["kernel"])


@pytest.mark.parametrize(
    ("scores", "keep", "left", "best"),
    [
        ({1: None, 2: 9.0, 3: None, 4: 5.0, 5: None}, 2, ["2", "4", "5"], 2),
        ({1: 3.0, 2: 3.0, 3: 1.0, 4: 2.0}, 1, ["2", "4"], 2),  # the later one of a tie
        ({1: None, 2: None, 10: None}, 2, ["10", "2"], 10),  # the last one without validation
        ({1: 1.0, 2: 2.0, 3: None, 4: None}, 1, ["2", "4"], 2),  # a checkpoint within an epoch is never the best
        ({0: None}, 2, ["0"], 0),
    ],
)
def test_the_last_checkpoints_and_the_best_are_kept(tmp_path, scores, keep, left, best):
    folder = saved(tmp_path, scores, keep)
    assert names(folder) == left
    for read_only in (False, True):
        checkpoints = Checkpoints(tmp_path, keep, read_only=read_only)
        assert (checkpoints.best_step(), checkpoints.latest_step()) == (best, max(scores))


def test_stored_scores_are_compared_with_new_ones(tmp_path):
    saved(tmp_path, {1: 0.1 + 0.2, 2: 0.3})
    folder = saved(tmp_path, {3: 0.3, 4: 0.3})
    assert names(folder) == ["1", "3", "4"]
    assert Checkpoints(tmp_path).best_step() == 1


def test_a_saved_step_is_not_written_again_but_gets_its_score(tmp_path):
    folder = saved(tmp_path, {1: 5.0, 2: None})
    before = everything(folder / "2" / "model")
    saved(tmp_path, {2: None})
    assert Checkpoints(tmp_path).best_step() == 1
    saved(tmp_path, {2: 6.0})
    assert Checkpoints(tmp_path).best_step() == 2
    assert everything(folder / "2" / "model") == before


def test_a_damaged_last_checkpoint_is_reported_renamed_and_the_previous_one_used(tmp_path, capsys):
    folder = saved(tmp_path, {1: 5.0, 2: 1.0, 3: 2.0})
    damage(folder, 3)
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest_step() == 2
    assert checkpoints.best_step() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"{folder}/3/model/_METADATA: wrong checksum; renamed the checkpoint to 3.damaged, resuming from step 2"
    )
    assert names(folder) == ["1", "2", "3.damaged"]
    assert_is(checkpoints.restore(2, jax.eval_shape(lambda: state_of(2)), MESH), 2)

    checkpoints.save(state_of(3), {"r1": 2.0})
    checkpoints.close()
    assert names(folder) == ["1", "2", "3", "3.damaged"]
    before = everything(folder / "3.damaged")
    damage(folder, 3, "manifest.jsonl")
    assert Checkpoints(tmp_path).latest_step() == 2
    assert "3/manifest.jsonl: wrong checksum" in capsys.readouterr().err
    assert names(folder) == ["1", "2", "3.damaged"]
    assert everything(folder / "3.damaged").keys() != before.keys() or everything(folder / "3.damaged") != before


def test_several_damaged_checkpoints_are_reported_newest_first(tmp_path, capsys):
    folder = saved(tmp_path, {1: 5.0, 2: 1.0, 10: 2.0, 11: None}, keep=4)
    damage(folder, 11)
    shutil.rmtree(folder / "10" / "training")
    (folder / "2" / "manifest.jsonl").unlink()
    checkpoints = Checkpoints(tmp_path)
    assert (checkpoints.latest_step(), checkpoints.best_step()) == (1, 1)
    lines = capsys.readouterr().err.splitlines()
    assert [line.removeprefix(f"{folder}/").partition(";")[0] for line in lines] == [
        "11/model/_METADATA: wrong checksum",
        "10/training/_METADATA: missing",
        "2/manifest.jsonl: missing (deleted, or saved by an older version)",
    ]
    assert names(folder) == ["1", "10.damaged", "11.damaged", "2.damaged"]


def test_a_damaged_best_checkpoint_is_replaced_by_the_best_of_the_others(tmp_path, capsys):
    folder = saved(tmp_path, {1: 5.0, 2: 1.0, 3: 3.0, 4: 2.0}, keep=4)
    damage(folder, 1)
    checkpoints = Checkpoints(tmp_path)
    assert (checkpoints.latest_step(), checkpoints.best_step()) == (4, 3)
    assert "1/model/_METADATA: wrong checksum" in capsys.readouterr().err
    checkpoints.save(state_of(5), {"r1": 1.0})
    checkpoints.close()
    assert Checkpoints(tmp_path, read_only=True).best_step() == 3


def test_if_all_are_damaged_nothing_starts_and_nothing_changes(tmp_path):
    folder = saved(tmp_path, {1: 5.0, 2: 1.0})
    damage(folder, 1)
    damage(folder, 2, "manifest.jsonl")
    before = everything(folder)
    for _ in range(2):
        with pytest.raises(UserError, match="all checkpoints are damaged") as raised:
            Checkpoints(tmp_path)
        assert "(2/manifest.jsonl: wrong checksum; 1/model/_METADATA: wrong checksum)" in str(raised.value)
        assert "choose another workdir, or delete this folder to restart training from the beginning" in str(
            raised.value
        )
    assert everything(folder) == before


def test_renamed_damaged_checkpoints_prevent_a_restart(tmp_path):
    folder = saved(tmp_path, {1: 5.0, 2: 1.0, 3: 2.0})
    damage(folder, 2)
    damage(folder, 3)
    Checkpoints(tmp_path)
    shutil.rmtree(folder / "1")
    with pytest.raises(UserError, match=r"all checkpoints are damaged \(2.damaged; 3.damaged\)"):
        Checkpoints(tmp_path)


def test_training_restarts_if_the_only_checkpoint_is_damaged(tmp_path, capsys):
    folder = saved(tmp_path, {1: 5.0})
    damage(folder, 1)
    for _ in range(2):  # the second time as after a kill
        assert Checkpoints(tmp_path).latest_step() is None
    renamed = "renamed the checkpoint to 1.damaged, restarting from the beginning"
    assert capsys.readouterr().err == f"{folder}/1/model/_METADATA: wrong checksum; {renamed}\n"
    assert names(folder) == ["1.damaged"]


def test_read_only_refuses_damaged_checkpoints_and_changes_nothing(tmp_path):
    folder = saved(tmp_path, {1: 5.0, 2: 1.0, 3: 2.0})
    (folder / "4.unfinished").mkdir()
    like = {"params": state_of(0).params, "batch_stats": state_of(0).batch_stats}
    damage(folder, 1, "training/manifest.ocdbt")
    before = everything(folder)
    checkpoints = Checkpoints(tmp_path, read_only=True)
    assert (checkpoints.latest_step(), checkpoints.best_step()) == (3, 1)
    with pytest.raises(UserError, match=r"1/training/manifest.ocdbt: wrong checksum; use --checkpoint last, or rerun"):
        checkpoints.restore_model(1, like, MESH)
    np.testing.assert_array_equal(
        checkpoints.restore_model(3, like, MESH)["params"]["fc"]["bias"], state_of(3).params["fc"]["bias"]
    )
    assert everything(folder) == before

    damage(folder, 1, "training/manifest.ocdbt")  # restores it
    damage(folder, 3)
    checkpoints = Checkpoints(tmp_path, read_only=True)
    with pytest.raises(UserError, match=r"3/model/_METADATA: wrong checksum; use --checkpoint best, or rerun"):
        checkpoints.restore_model(3, like, MESH)


def test_read_only_does_not_guess_the_best_checkpoint(tmp_path):
    folder = saved(tmp_path, {1: 5.0, 2: 1.0, 3: 2.0})
    (folder / "1" / "manifest.jsonl").unlink()
    checkpoints = Checkpoints(tmp_path, read_only=True)
    with pytest.raises(
        UserError, match=r"1/manifest.jsonl: missing .* the best checkpoint is unknown: use --checkpoint last, or"
    ):
        checkpoints.best_step()
    assert checkpoints.latest_step() == 3
    (folder / "3" / "manifest.jsonl").unlink()
    checkpoints = Checkpoints(tmp_path, read_only=True)
    assert checkpoints.latest_step() == 3  # not an older, intact one
    with pytest.raises(UserError, match=r"3/manifest.jsonl: missing"):
        checkpoints.restore_model(3, {"params": state_of(0).params, "batch_stats": state_of(0).batch_stats}, MESH)


def test_leftovers_of_a_killed_run_are_deleted(tmp_path):
    folder = saved(tmp_path, {1: 5.0, 2: 1.0})
    shutil.copytree(folder / "2", folder / "3.unfinished")
    shutil.copytree(folder / "2", folder / "4.unfinished.orbax-checkpoint-tmp")
    shutil.copytree(folder / "2", folder / "0.superseded")
    Checkpoints(tmp_path, read_only=True)
    assert names(folder) == ["0.superseded", "1", "2", "3.unfinished", "4.unfinished.orbax-checkpoint-tmp"]
    assert Checkpoints(tmp_path).latest_step() == 2
    assert names(folder) == ["1", "2"]


def test_the_checkpoint_of_another_model_is_one_line(tmp_path):
    saved(tmp_path, {1: None})
    checkpoints = Checkpoints(tmp_path)
    wrong = r"checkpoints/1: saved by a different model \("
    with pytest.raises(UserError, match=wrong + "params/fc/kernel is 40 × 3 in the checkpoint and 41 × 3 in the model"):
        checkpoints.restore(1, jax.eval_shape(lambda: state_of(1, size=41)), MESH)
    kernel = {"fc": {"kernel": state_of(1).params["fc"]["kernel"]}}
    with pytest.raises(UserError, match=wrong + "params/fc/bias is 3 in the checkpoint and absent in the model"):
        checkpoints.restore_model(1, {"params": kernel, "batch_stats": state_of(1).batch_stats}, MESH)
