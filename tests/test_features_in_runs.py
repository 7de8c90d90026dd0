"""Runs on features of another encoder, on given sentence vectors, and on cached features of a frozen ResNet."""

import errno
import json
import os

import jax
import numpy as np
import pytest

from adamine_jax import evaluate, train
from adamine_jax.base.errors import DiskFull, UserError
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.input import pipeline
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.record_index import load_index
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.runs import workdir
from adamine_jax.training import frozen_features
from configs.features import get_config
from tests import tiny


@pytest.fixture
def feature_files(tiny_data, tmp_path):
    """Files of features (20 numbers) of every photo, and of vectors (12 numbers) of two sentences per recipe."""
    rng = np.random.default_rng(0)
    dataset = open_dataset(tiny_data)
    indices = [load_index(dataset.shards(split)) for split in ("train", "val", "test")]
    photos = [photo.decode() for index in indices for photo in index.photo_ids]
    sentences = [identifier.decode() for index in indices for identifier in index.ids for _ in range(2)]
    for name, ids, length in (("photos", photos, 20), ("sentences", sentences, 12)):
        np.save(tmp_path / f"{name}.npy", rng.standard_normal((len(ids), length)).astype(np.float16))
        (tmp_path / f"{name}.txt").write_text("\n".join(ids))
    return tmp_path / "photos.npy", tmp_path / "sentences.npy"


def one_device():
    return make_mesh(jax.devices()[:1])


def leaves(directory, checkpoint="last"):
    return jax.device_get(workdir.load(directory, checkpoint=checkpoint).variables)


@pytest.mark.slow
def test_the_preset_for_small_collections_runs(tiny_data, feature_files, tmp_path):
    config = get_config()
    config.data.dir, config.data.image_features = str(tiny_data), str(feature_files[0])
    config.batch_size, config.epochs, config.optim.decay_epochs = 8, 1, 1
    results = train.train(config, tmp_path / "run", one_device())
    assert set(results) == {"full"}
    params = leaves(tmp_path / "run")["params"]
    assert params["image_tower"]["fc"]["kernel"].shape == (20, 512)
    assert params["recipe_tower"]["fc"]["kernel"].shape == (2 * 128 + 256, 512)
    assert np.isfinite(params["recipe_tower"]["fc"]["kernel"]).all()


def test_a_run_without_pixels_trains_resumes_and_is_evaluated(tiny_data, feature_files, tmp_path):
    photos, sentences = map(str, feature_files)
    fields = {
        "data__image_features": photos,
        "data__sentence_vectors": sentences,
        "model__recipe__instructions": "vectors",
        "unfreeze_epoch": 1,
        "seed": 2,  # a seed for which the last epoch is not the best one
    }
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train.train(tiny.small_config(tiny_data, **fields, epochs=3), whole, one_device())
    train.train(tiny.small_config(tiny_data, **fields, epochs=1), parts, one_device())
    train.train(tiny.small_config(tiny_data, **fields, epochs=3), parts, one_device())
    assert set(leaves(whole)["params"]["image_tower"]) == {"fc"}
    assert leaves(whole)["params"]["image_tower"]["fc"]["kernel"].shape == (20, 16)
    assert leaves(whole)["params"]["recipe_tower"]["instruction_lstm"]["input_kernel"].shape[0] == 12
    jax.tree.map(np.testing.assert_array_equal, leaves(whole), leaves(parts))
    kernels = [leaves(whole, which)["params"]["image_tower"]["fc"]["kernel"] for which in ("best", "last")]
    assert not np.array_equal(*kernels)

    first = (whole / "eval_test.json").read_text()
    (whole / "eval_test.json").unlink()
    evaluate.main(["--workdir", str(whole)])
    assert json.loads((whole / "eval_test.json").read_text()) == json.loads(first)


CACHED = {"cache_frozen_features": 2, "unfreeze_epoch": 2, "epochs": 3, "data__flip": True}


@pytest.fixture(scope="module")
def cached_run(tiny_data, tmp_path_factory):
    """(directory, config) of a run whose first two epochs read cached features."""
    directory = tmp_path_factory.mktemp("cached") / "run"
    config = tiny.small_config(tiny_data, **CACHED)
    train.train(config, directory, one_device())
    return directory, config


def test_cached_features_are_the_frozen_resnets(cached_run, tiny_data):
    """Validation features equal the model's; crops of one training photo differ, but less than photos."""
    directory, config = cached_run
    (stored,) = (directory / frozen_features.FOLDER).glob("*/train.npy")
    assert sorted(path.name for path in stored.parent.iterdir()) == ["train.npy", "val.npy"]
    dataset = open_dataset(tiny_data)
    model = build_model(config.model, table_rows=dataset.table_rows)
    variables = init_variables(model, jax.random.key(config.seed), config.model, image_size=config.data.image_size)
    index = load_index(dataset.shards("val"))
    (batch,) = pipeline.evaluation_batches(
        index,
        np.arange(len(index)),
        config,
        batch_size=12,
        rows=slice(None),
    )
    expected = jax.jit(lambda v, x: model.apply(v, x, method="image_features"))(variables, batch["image"])
    np.testing.assert_allclose(np.load(stored.with_name("val.npy")), expected, rtol=2e-3, atol=1e-3)

    photos = len(load_index(dataset.shards("train")).photo_ids)
    features = np.load(stored).astype(np.float32).reshape(photos, 2, -1)
    within = np.linalg.norm(features[:, 0] - features[:, 1], axis=1)
    between = np.linalg.norm(features[1:, 0] - features[:-1, 0], axis=1)
    assert 0 < np.median(within) < np.median(between)


@pytest.mark.slow
def test_the_resnet_is_frozen_while_cached_and_trained_afterwards(cached_run, tiny_data, tmp_path):
    directory, config = cached_run
    config = config.copy_and_resolve_references()
    config.epochs = 2
    train.train(config, tmp_path / "frozen", one_device())
    start = tiny.small_config(tiny_data, **(CACHED | {"epochs": 0}))
    train.train(start, tmp_path / "start", one_device())
    at_start, frozen, after = (leaves(path) for path in (tmp_path / "start", tmp_path / "frozen", directory))
    for collection in ("params", "batch_stats"):
        jax.tree.map(
            np.testing.assert_array_equal,
            frozen[collection]["image_tower"]["resnet"],
            at_start[collection]["image_tower"]["resnet"],
        )
    assert not np.array_equal(
        frozen["params"]["recipe_tower"]["fc"]["kernel"], at_start["params"]["recipe_tower"]["fc"]["kernel"]
    )
    assert not np.array_equal(
        after["params"]["image_tower"]["resnet"]["conv1"]["kernel"],
        frozen["params"]["image_tower"]["resnet"]["conv1"]["kernel"],
    )
    # Resuming from the frozen phase equals a run that was never interrupted.
    config.epochs = 3
    train.train(config, tmp_path / "frozen", one_device())
    jax.tree.map(np.testing.assert_array_equal, leaves(tmp_path / "frozen"), after)


@pytest.mark.slow
def test_an_interrupted_computation_is_resumed(cached_run, tiny_data, tmp_path, monkeypatch):
    directory, config = cached_run
    monkeypatch.setattr(frozen_features, "_SAVE_EVERY", 1)
    whole = frozen_features.FrozenBackbone._features
    seen = []

    def interrupted(*arguments):
        for number, features in enumerate(whole(*arguments)):
            if number == 3:
                raise KeyboardInterrupt
            yield features

    def counted(*arguments):
        for features in whole(*arguments):
            seen.append(len(features))
            yield features

    monkeypatch.setattr(frozen_features.FrozenBackbone, "_features", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train.train(config, tmp_path / "run", one_device())
    monkeypatch.setattr(frozen_features.FrozenBackbone, "_features", counted)
    train.train(config, tmp_path / "run", one_device())
    (expected,) = (directory / frozen_features.FOLDER).glob("*/train.npy")
    (stored,) = (tmp_path / "run" / frozen_features.FOLDER).glob("*/train.npy")
    np.testing.assert_array_equal(np.load(stored), np.load(expected))
    crops = len(np.load(expected))
    assert sum(seen[:-2]) < crops - 2 * config.eval.batch_size  # three batches are not recomputed; two belong to val
    jax.tree.map(np.testing.assert_array_equal, leaves(tmp_path / "run"), leaves(directory))


def test_a_full_disk_is_one_line(tiny_data, tmp_path, monkeypatch):
    def full(descriptor, offset, length):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(frozen_features.os, "posix_fallocate", full)
    message = r"train.npy: no space left on device \(.* MiB are free\); the features need .* GiB: free some space"
    with pytest.raises(DiskFull, match=message):
        train.train(tiny.small_config(tiny_data, **CACHED), tmp_path / "run", one_device())


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"cache_frozen_features": 2, "unfreeze_epoch": 0}, "config.unfreeze_epoch = 0"),
        (
            {"cache_frozen_features": 2, "data__image_features": "x.npy"},
            "'features' has no pretrained backbone",
        ),
        ({"model__recipe__instructions": "vectors"}, "set config.data.sentence_vectors"),
        ({"data__sentence_vectors": "x.npy"}, "the model does not read it"),
        ({"data__image_features": "x.npy"}, "x.npy is missing"),
    ],
)
def test_contradictions_are_refused_before_training(tiny_data, tmp_path, fields, named):
    with pytest.raises(UserError, match=named):
        train.train(tiny.small_config(tiny_data, **fields), tmp_path / "run", one_device())
    assert not (tmp_path / "run").exists()
