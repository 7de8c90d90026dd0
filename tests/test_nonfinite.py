"""Batches with a non-finite loss: each is skipped, and a series of them stops the run and is listed."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adamine_jax import train
from adamine_jax.base.errors import UserError
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.plan import epoch_plan
from adamine_jax.input.record_index import load_index
from adamine_jax.runs import workdir
from adamine_jax.runs.metrics_log import read_metrics
from tests import tiny


@pytest.fixture
def config(tiny_data, tmp_path):
    """Run on photo features, without a ResNet to compile."""
    index = [load_index(open_dataset(tiny_data).shards(split)) for split in ("train", "val", "test")]
    photos = [photo.decode() for part in index for photo in part.photo_ids]
    np.save(tmp_path / "photos.npy", np.random.default_rng(0).standard_normal((len(photos), 20)).astype(np.float32))
    (tmp_path / "photos.txt").write_text("\n".join(photos))
    return tiny.small_config(
        tiny_data,
        bag=True,
        data__image_features=str(tmp_path / "photos.npy"),
        train__nonfinite_streak=3,
        train__log_every_steps=1,
    )


def with_step(monkeypatch, change):
    """Training whose step is change(step function, state, batch, steps done)."""
    make = train.make_train_step

    def changed(*arguments):
        step = make(*arguments)
        return lambda state, batch, frozen: change(step, state, batch, int(state.step))

    monkeypatch.setattr(train, "make_train_step", changed)


def poisoned(bad):
    def change(step, state, batch, done):
        if done in bad:
            batch = batch | {"image": batch["image"] * jnp.nan}
        return step(state, batch, frozen=False)

    return change


def test_a_nonfinite_batch_changes_nothing(config, tmp_path, monkeypatch):
    mesh = make_mesh(jax.devices()[:1])
    with monkeypatch.context() as patch:
        with_step(patch, poisoned({2, 7}))
        train.train(config, tmp_path / "poisoned", mesh)

    def left_out(step, state, batch, done):
        if done in {2, 7}:
            return dataclasses.replace(state, step=state.step + 1)
        return step(state, batch, frozen=False)

    with monkeypatch.context() as patch:
        with_step(patch, left_out)
        train.train(config, tmp_path / "clean", mesh)
    ours, clean = (workdir.load(tmp_path / name, "last").variables["params"] for name in ("poisoned", "clean"))
    for one, other in zip(*map(jax.tree.leaves, (ours, clean)), strict=True):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()
    lines = [line for line in read_metrics(tmp_path / "poisoned" / "metrics.jsonl") if line["split"] == "train"]
    assert [line["skipped_steps"] for line in lines] == [0, 0, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2]
    assert all(np.isfinite(line["loss"]) for line in lines)


def test_a_series_of_nonfinite_batches_stops_the_run_and_is_listed(config, tmp_path, monkeypatch):
    mesh, directory = make_mesh(jax.devices()[:1]), tmp_path / "run"
    with monkeypatch.context() as patch:
        with_step(patch, poisoned(range(4, 100)))
        with pytest.raises(UserError, match=r"not finite in the last 3 steps, up to step 7.*nonfinite_batches\.jsonl"):
            train.train(config, directory, mesh)
    listed = [json.loads(line) for line in (directory / "nonfinite_batches.jsonl").read_text().splitlines()]
    assert [batch["step"] for batch in listed] == [5, 6, 7]  # across the end of the first epoch
    index = load_index(open_dataset(config.data.dir).shards("train"))
    plans = np.concatenate([epoch_plan(index.class_id, config.seed, epoch, 8) for epoch in range(2)])
    for batch in listed:
        assert batch["ids"] == [index.ids[number].decode() for number in plans[batch["step"] - 1]]
    train.train(config, directory, mesh)  # without the cause it resumes from the last checkpoint
    assert read_metrics(directory / "metrics.jsonl")[-1]["step"] == 12
