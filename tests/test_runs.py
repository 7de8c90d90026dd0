"""Whole runs of a tiny net: on one device and eight, interrupted, resumed, refused."""

import json
import os
import signal

import jax
import numpy as np
import pytest

from adamine_jax import embed, evaluate
from adamine_jax.base.errors import UserError
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.distributed.preemption import RUN_AGAIN
from adamine_jax.gallery.folder.store import Gallery
from adamine_jax.retrieval.protocols import score
from adamine_jax.retrieval.rank_files import read_ranks
from adamine_jax.runs import workdir
from adamine_jax.runs.metrics_log import read_metrics
from adamine_jax.train import train
from tests import tiny
from tests.faults import runs, tiny_run


def losses(directory):
    return [line["loss"] for line in read_metrics(directory / "metrics.jsonl") if line["split"] == "train"]


@pytest.mark.parametrize("epochs", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_one_device_and_eight_train_alike_with_a_frozen_and_a_trained_backbone(epochs, tiny_data, tmp_path):
    with jax.enable_x64(True):
        for count in (1, 8):
            config = tiny.small_config(
                tiny_data,
                epochs=epochs,
                unfreeze_epoch=epochs // 2,
                model__dtype="float64",
                train__log_every_steps=1,
            )
            train(config, tmp_path / str(count), make_mesh(jax.devices()[:count]))
    one, eight = losses(tmp_path / "1"), losses(tmp_path / "8")
    assert len(one) == 6 * epochs
    assert len(set(one)) == len(one)
    np.testing.assert_allclose(one, eight, rtol=1e-9)


LINE = "adamine_jax.runs.metrics_log:MetricsLog.write"
SAVE = "adamine_jax.checkpoints.manager:Checkpoints.save"


@pytest.fixture(scope="module")
def undisturbed(tiny_data, tmp_path_factory):
    directory = tmp_path_factory.mktemp("undisturbed") / "run"
    finished = runs.run(tiny_data, directory)
    assert finished.returncode == 0, finished.stderr
    return directory


@pytest.mark.parametrize(
    ("point", "call", "when"),
    [
        pytest.param(SAVE, 1, "after", marks=pytest.mark.slow),  # the save continues in the background
        # The last validation; a checkpoint is due at its step.
        pytest.param(LINE, 8, "before", marks=pytest.mark.slow),
        pytest.param(LINE, 6, "before", marks=pytest.mark.slow),
        pytest.param(LINE, 4, "after", marks=pytest.mark.slow),
        pytest.param(SAVE, 2, "before", marks=pytest.mark.slow),
        pytest.param(SAVE, 2, "after", marks=pytest.mark.slow),
        pytest.param(SAVE, 3, "after", marks=pytest.mark.slow),
        pytest.param("os:replace", 1, "before", marks=pytest.mark.slow),
        pytest.param("os:replace", 3, "before", marks=pytest.mark.slow),
        pytest.param("adamine_jax.train:run_test", 1, "before", marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_resumes_to_the_same_bits(point, call, when, tiny_data, undisturbed, tmp_path):
    directory = tmp_path / "run"
    killed = runs.run(tiny_data, directory, kill=(point, call, when))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    again = runs.run(tiny_data, directory)
    assert again.returncode == 0, again.stderr
    runs.assert_same_run(directory, undisturbed, tiny_data)


def test_a_stopped_and_then_killed_run_resumes_to_the_same_bits(tiny_data, undisturbed, tmp_path):
    """The fast one of these tests and of those in `tests/faults`."""
    directory, log = tmp_path / "run", "adamine_jax.train:_Run.log_train"
    stopped = runs.run(tiny_data, directory, kill=(log, 1, "before"), sent="SIGTERM")
    assert stopped.returncode == RUN_AGAIN, stopped.stderr
    assert "stopped at step 2 and saved a checkpoint" in stopped.stdout
    killed = runs.run(tiny_data, directory, kill=(SAVE, 1, "after"))  # the save continues in the background
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert "resuming from step 2 " in killed.stdout
    again = runs.run(tiny_data, directory)
    assert again.returncode == 0, again.stderr
    runs.assert_same_run(directory, undisturbed, tiny_data)


def test_a_finished_run_has_the_files_of_the_readme(undisturbed):
    results = json.loads((undisturbed / "eval_test.json").read_text())
    assert results["full"]["pairs"] == 12
    assert set(results["full"]["image_to_recipe"]) == {"medr", "medr_from_zero", "r1", "r5", "r10"}
    kept = read_ranks(undisturbed / "ranks_test.npz")
    assert score(kept.protocols) == results
    assert kept.step == max(line["step"] for line in read_metrics(undisturbed / "metrics.jsonl"))
    for name in ("config.json", "dataset.json", "figures/curves.png", "figures/top5_recipe_to_photo.png"):
        assert (undisturbed / name).stat().st_size > 100
    assert list(undisturbed.glob("events.*"))
    assert np.load(undisturbed / "gallery/test/image.npy").shape == (12, 16)


def test_another_configuration_is_refused_with_its_fields(undisturbed, tiny_data):
    config = tiny.small_config(tiny_data, **tiny_run.FIELDS, loss__margin=0.2, batch_size=16)
    with pytest.raises(UserError, match=r"batch_size \(8 → 16\), loss.margin \(0.3 → 0.2\)"):
        train(config, undisturbed)


def test_another_vocabulary_is_refused(undisturbed, tmp_path):
    other = tiny.write_dataset(tmp_path / "data", words=tuple(f"mot{i}" for i in range(40)))
    config = tiny.small_config(other, **tiny_run.FIELDS)
    with pytest.raises(UserError, match="built with a different vocabulary"):
        train(config, undisturbed)
    with pytest.raises(UserError, match="built with a different vocabulary"):
        workdir.load(undisturbed, data={"dir": str(other)}).open_dataset()


def test_a_folder_with_other_files_is_refused(tiny_data, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"contains notes.txt but no config.json"):
        train(tiny.small_config(tiny_data), tmp_path)


def test_a_batch_that_the_devices_cannot_share_is_refused_with_the_nearest(tiny_data, tmp_path):
    with pytest.raises(UserError, match="batch_size = 12: not divisible by the 8 devices; use 8 or 16"):
        train(tiny.small_config(tiny_data, batch_size=12), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_without_a_data_set_is_refused(tmp_path):
    with pytest.raises(UserError, match="no complete recipe1m data set"):
        train(tiny.small_config(tmp_path), tmp_path / "run")


@pytest.mark.parametrize("mark", ["layer1.json", "data_lmdb"])
def test_a_download_in_place_of_a_data_set_is_refused(tmp_path, mark):
    (tmp_path / mark).mkdir()
    with pytest.raises(UserError, match="a download that has not been converted"):
        train(tiny.small_config(tmp_path), tmp_path / "run")


def test_a_second_run_in_the_same_folder_is_refused(tiny_data, tmp_path):
    with (
        workdir.locked(tmp_path / "run"),
        pytest.raises(UserError, match="another run is training there"),
    ):
        train(tiny.small_config(tiny_data), tmp_path / "run")


def test_an_untrained_model_can_be_tested(tiny_data, tmp_path):
    results = train(tiny.small_config(tiny_data, epochs=0), tmp_path / "run")
    assert results["full"]["pairs"] == 12
    assert results == json.loads((tmp_path / "run" / "eval_test.json").read_text())
    assert read_metrics(tmp_path / "run" / "metrics.jsonl") == []


def test_evaluate_gives_the_numbers_of_the_run_again(undisturbed, tiny_data, tmp_path, capsys, monkeypatch):
    (undisturbed / "eval_test.json").rename(undisturbed / "of_the_run.json")
    assert evaluate.main(["--workdir", str(undisturbed), "--split", "test"]) == 0
    first, again = (json.loads((undisturbed / name).read_text()) for name in ("of_the_run.json", "eval_test.json"))
    # Eight devices here, one in the run: rounding may swap at most two neighbours among twelve pairs.
    for direction in ("image_to_recipe", "recipe_to_image"):
        assert abs(first["full"][direction]["r5"]["mean"] - again["full"][direction]["r5"]["mean"]) < 9
    table = capsys.readouterr().out
    assert "test split, checkpoint of step" in table
    assert "image → recipe" in table

    assert evaluate.main(["--workdir", str(undisturbed), "--split", "val", "--protocols", "full,1k"]) == 0
    assert "protocol 1k skipped: it draws 1,000 pairs, the split has 12" in capsys.readouterr().out
    results = json.loads((undisturbed / "eval_val.json").read_text())
    assert set(results) == {"full"}
    assert score(read_ranks(undisturbed / "ranks_val.npz").protocols) == results

    # Another protocol is added to the stored ones; one that needs more pairs than the split has removes nothing.
    assert evaluate.main(["--workdir", str(undisturbed), "--split", "val", "--protocols", "5x3"]) == 0
    assert evaluate.main(["--workdir", str(undisturbed), "--split", "val", "--protocols", "10k"]) == 2
    assert "error: the val split is too small for 10k; give full or" in capsys.readouterr().err
    more = json.loads((undisturbed / "eval_val.json").read_text())
    assert set(more) == {"full", "5x3"}
    assert more["full"] == results["full"]
    assert score(read_ranks(undisturbed / "ranks_val.npz").protocols) == more

    # Results of other recipes are dropped.
    other = tiny.write_dataset(tmp_path / "data", {"train": 48, "test": 12, "val": 9})
    command = ["--workdir", str(undisturbed), "--split", "val", "--protocols", "6x2", "--data-dir", str(other)]
    assert evaluate.main(command) == 0
    assert set(json.loads((undisturbed / "eval_val.json").read_text())) == {"6x2"}


def test_embed_writes_a_gallery_sorted_by_id(undisturbed, tmp_path, capsys):
    out = tmp_path / "gallery"
    assert embed.main(["--workdir", str(undisturbed), "--split", "train", "--out", str(out)]) == 0
    gallery = Gallery(out)
    items = [gallery.item(row) for row in gallery.rows]
    assert [item.id for item in items] == sorted(item.id for item in items)
    assert len(items) == 48
    image, recipe = np.load(out / "image.npy"), np.load(out / "recipe.npy")
    assert image.shape == recipe.shape == (48, 16)
    np.testing.assert_allclose(np.linalg.norm(image, axis=1), 1, rtol=1e-5)
    assert all(item.photo.read_bytes()[:2] == b"\xff\xd8" for item in items)

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    assert embed.main(["--workdir", str(undisturbed), "--out", str(tmp_path / "mine")]) == 2
    assert "exists and is not a gallery" in capsys.readouterr().err


@pytest.mark.parametrize("command", [evaluate.main, lambda flags: embed.main([*flags, "--out", "gallery"])])
def test_a_folder_that_is_no_workdir_is_refused(command, tmp_path, capsys):
    assert command(["--workdir", str(tmp_path)]) == 2
    assert "is not a workdir of `python -m adamine_jax.main`" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["config.json", "dataset.json"])
@pytest.mark.parametrize("content", ["[]", "[" * 100_000, "{}", '{"model": null}', '{"words": 5}', "pipe"])
def test_a_malformed_description_of_a_run_is_one_line(undisturbed, tmp_path, name, content, capsys):
    for file in ("config.json", "dataset.json"):
        (tmp_path / file).write_text((undisturbed / file).read_text())
    if content == "pipe":
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).write_text(content)
    assert evaluate.main(["--workdir", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert name in line
