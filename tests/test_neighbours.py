"""Batches with groups of near neighbours: hard negatives from the whole train split."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.base.errors import UserError
from adamine_jax.distributed.preemption import RUN_AGAIN, StopRequest
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.plan import neighbour_plan
from adamine_jax.retrieval.neighbours import near_negatives
from adamine_jax.runs import workdir
from adamine_jax.runs.metrics_log import read_metrics
from adamine_jax.train import train
from adamine_jax.training import neighbours
from tests import tiny
from tests.faults import runs


def unit(rng, rows, width):
    values = rng.normal(size=(rows, width))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32), rows=st.sampled_from([1, 5, 40, 300]), margin=st.sampled_from([0.5, 0.95, 2.0]))
def test_negatives_are_those_of_a_naive_loop(seed, rows, margin):
    rng = np.random.default_rng(seed)
    recipe = unit(rng, rows, 6)
    image = unit(rng, rows, 6) * 0.5 + recipe
    group = rng.integers(-1, rows, rows).astype(np.int32)
    found = near_negatives(image, recipe, group, margin=margin, top=4)
    similarities = image.astype(np.float64) @ recipe.T.astype(np.float64)
    for i in range(rows):
        negatives = [
            j
            for j in range(rows)
            if min(group[i], group[j]) >= 0 and group[i] != group[j]
            if similarities[i, j] < margin * similarities[i, i]
        ]
        expected = sorted(similarities[i, negatives], reverse=True)[:4]
        rows_found = found[i][found[i] >= 0]
        assert len(rows_found) == len(expected)
        assert set(rows_found) <= set(negatives)
        np.testing.assert_allclose(similarities[i, rows_found], expected, atol=1e-5)
        assert (found[i][len(expected) :] == -1).all()


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(4, 60),
    batch_size=st.integers(2, 20),
    size=st.integers(2, 5),
    share=st.floats(0, 1),
)
def test_a_plan_has_groups_of_neighbours_and_repeats_no_record(seed, count, batch_size, size, share):
    batch_size = min(batch_size, count)
    rng = np.random.default_rng(seed)
    near = rng.permuted(np.tile(np.arange(count), (count, 1)), axis=1)[:, :6].astype(np.int32)
    near[rng.random(near.shape) < 0.1] = -1
    near[near == np.arange(count)[:, None]] = -1
    plan = neighbour_plan(near, seed, 3, batch_size, share, size)
    assert plan.shape == (count // batch_size, batch_size)
    assert len(set(plan.ravel())) == plan.size
    assert set(plan.ravel()) <= set(range(count))
    np.testing.assert_array_equal(plan, neighbour_plan(near.copy(), seed, 3, batch_size, share, size))
    for batch in plan:
        limit = round(share * batch_size) // size
        groups = [batch[at : at + size] for at in range(0, limit * size, size)]
        is_group = [set(group[1:]) <= set(near[group[0]]) for group in groups]
        assert is_group == sorted(is_group, reverse=True)  # groups come first


def test_all_groups_are_found_where_neighbours_are_many():
    clusters = np.arange(64).reshape(16, 4)
    near = np.stack([np.delete(clusters[number // 4], number % 4) for number in range(64)])
    plan = neighbour_plan(near, 0, 0, 16, 0.5, 4)
    for batch in plan:
        first, second = batch[:4] // 4, batch[4:8] // 4
        assert len(set(first)) == len(set(second)) == 1
    assert neighbour_plan(near[:, :0], 0, 0, 16, 0.5, 4).shape == (4, 16)  # no table yet: random batches


FLAGS = ("--config.batches=neighbours", "--config.epochs=3", "--config.neighbours.size=2")


@pytest.mark.slow
def test_a_stopped_run_resumes_to_the_same_bits(tiny_data, tmp_path):
    undisturbed, directory = tmp_path / "undisturbed", tmp_path / "run"
    finished = runs.run(tiny_data, undisturbed, *FLAGS)
    assert finished.returncode == 0, finished.stderr
    assert sorted(path.name for path in (undisturbed / "neighbours").iterdir()) == ["epoch_0001.npy", "epoch_0002.npy"]
    # Step 10 of 18, in the epoch of the first table.
    log = ("adamine_jax.train:_Run.log_train", 5, "before")
    stopped = runs.run(tiny_data, directory, *FLAGS, kill=log, sent="SIGTERM")
    assert stopped.returncode == RUN_AGAIN, stopped.stderr
    again = runs.run(tiny_data, directory, *FLAGS)
    assert again.returncode == 0, again.stderr
    assert "resuming from step 10 " in again.stdout
    runs.assert_same_run(directory, undisturbed, tiny_data)


def config_with_features(data_dir, tmp_path, **fields):
    features = str(tiny.write_image_features(data_dir, tmp_path / "photos.npy"))
    defaults = {"batches": "neighbours", "neighbours__size": 2, "data__image_features": features, "epochs": 3}
    return tiny.small_config(data_dir, bag=True, **defaults | fields)


def test_a_resumed_run_computes_the_same_table(tiny_data, tmp_path):
    config = config_with_features(tiny_data, tmp_path)
    train(config, tmp_path / "whole")
    runs.train_in_two_parts(config, tmp_path / "parts")
    tables = [np.load(tmp_path / name / "neighbours/epoch_0002.npy") for name in ("whole", "parts")]
    np.testing.assert_array_equal(*tables)
    runs.assert_same_bits(*(workdir.load(tmp_path / name, "last").variables for name in ("whole", "parts")))


@pytest.mark.slow
def test_a_missing_table_is_computed_again_and_reported(tiny_data, tmp_path, capfd):
    config = config_with_features(tiny_data, tmp_path, epochs=4, neighbours__every_epochs=2)
    path = tmp_path / "run/neighbours/epoch_0002.npy"
    runs.train_in_two_parts(config, tmp_path / "run", path.unlink)
    line = "epoch_0002.npy: missing or damaged; recomputing it from the parameters of step 18"
    assert line in capfd.readouterr().out
    assert np.load(path).shape == (48, 16)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:200]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not an array"),
        lambda path: np.save(path, np.load(path)[:-1]),
        lambda path: np.save(path, np.load(path) + 40),
        lambda path: np.save(path, np.load(path).astype(np.float32)),
    ],
)
def test_a_damaged_table_is_not_used(tiny_data, tmp_path, damage):
    train_index = open_dataset(tiny_data).index("train")
    config = tiny.small_config(tiny_data, bag=True, batches="neighbours")
    tables = neighbours.Neighbours(tmp_path, config, None, None, None, train_index)
    path = tmp_path / "neighbours/epoch_0001.npy"
    path.parent.mkdir()
    table = np.full((48, 16), 47, np.int32)
    np.save(path, table)
    np.testing.assert_array_equal(tables.table(1), table)
    damage(path)
    with pytest.raises(UserError, match=r"epoch_0001\.npy: missing or damaged; rerun the command"):
        tables.table(1)


@pytest.mark.slow
def test_a_stop_is_noticed_while_the_split_is_embedded(tiny_data, tmp_path, monkeypatch):
    config = config_with_features(tiny_data, tmp_path)
    train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        embedding = []
        batches = neighbours.split_batches
        patch.setattr(neighbours, "split_batches", lambda *args, **kw: embedding.append(1) or batches(*args, **kw))
        patch.setattr(StopRequest, "made", lambda self: bool(embedding))
        with pytest.raises(SystemExit) as stopped:
            train(config, tmp_path / "run")
    assert stopped.value.code == RUN_AGAIN
    assert not (tmp_path / "run/neighbours").exists()
    train(config, tmp_path / "run")
    runs.assert_same_bits(*(workdir.load(tmp_path / name, "last").variables for name in ("whole", "run")))


def test_neighbours_of_cached_features_are_found(tiny_data, tmp_path, monkeypatch):
    fields = {"neighbours__size": 2, "batches": "neighbours", "epochs": 3, "unfreeze_epoch": 3}
    config = tiny.small_config(tiny_data, bag=True, cache_frozen_features=2, **fields)
    train(config, tmp_path / "run")
    assert (np.load(tmp_path / "run/neighbours/epoch_0001.npy") >= 0).any()


def test_semantic_losses_are_reported(tiny_data, tmp_path, capfd):
    train(config_with_features(tiny_data, tmp_path, epochs=2), tmp_path / "run")
    assert "batches contain same-class pairs only by chance" in capfd.readouterr().out


def test_neighbours_that_would_never_be_used_are_refused(tiny_data, tmp_path):
    config = config_with_features(tiny_data, tmp_path, neighbours__every_epochs=3)
    with pytest.raises(UserError, match=r"every_epochs = 3: no neighbours would be computed in config.epochs = 3"):
        train(config, tmp_path / "run")


def test_a_table_serves_several_epochs(tiny_data, tmp_path):
    config = tiny.small_config(tiny_data, bag=True, epochs=3, batches="neighbours", train__log_every_steps=1)
    config.neighbours.every_epochs = 2
    config.data.image_features = str(tiny.write_image_features(tiny_data, tmp_path / "photos.npy"))
    train(config, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run/neighbours").iterdir()] == ["epoch_0002.npy"]
    table = np.load(tmp_path / "run/neighbours/epoch_0002.npy")
    assert table.shape == (len(open_dataset(tiny_data).index("train")), 16)
    assert (table >= 0).any()
    lines = [line for line in read_metrics(tmp_path / "run/metrics.jsonl") if line["split"] == "train"]
    assert [line["step"] for line in lines] == list(range(1, 19))


def test_a_batch_too_small_for_a_group_is_refused(tiny_data, tmp_path):
    config = tiny.small_config(tiny_data, bag=True, batches="neighbours")
    config.neighbours.share = 0.4
    with pytest.raises(
        UserError, match=r"neighbours.share = 0.4: not one group of config.neighbours.size = 4 in the 8"
    ):
        train(config, tmp_path / "run")
