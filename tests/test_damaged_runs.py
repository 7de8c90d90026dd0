"""Whole runs on damaged records: they equal runs in which these records are masked.

Most of them read features instead of photos, because a ResNet takes long to compile; photos that cannot be decoded are
covered by the slow tests and the tests of the input.
"""

import dataclasses
import json
import shutil
import types

import jax
import numpy as np
import pytest

from adamine_jax import embed, evaluate, figures
from adamine_jax.base.errors import UserError
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.gallery.folder.store import Gallery
from adamine_jax.gallery.split_building import write_split
from adamine_jax.input import pipeline
from adamine_jax.input.damage import Damage
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.record_index import load_index
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.runs import workdir
from adamine_jax.runs.metrics_log import read_metrics
from adamine_jax.train import train
from adamine_jax.training import frozen_features
from tests import damaging, tiny
from tests.faults import runs

PAYLOADS, PHOTO = (4, 6, 29), 33


def index_of(data, split="train"):
    return load_index(open_dataset(data).shards(split))


def damage_payloads(data):
    index = index_of(data)
    for number in PAYLOADS:
        damaging.damage_payload(index, number)


def damage_photos(data):
    index = index_of(data)
    for photo in range(index.first_photo[PHOTO + 1] - index.first_photo[PHOTO]):
        damaging.damage_photo(index, PHOTO, photo)


@pytest.fixture
def data(tiny_data, tmp_path):
    """A copy of the data set to damage, with its index."""
    shutil.copytree(tiny_data, tmp_path / "data")
    for split in ("train", "val", "test"):
        index_of(tmp_path / "data", split)
    return tmp_path / "data"


@pytest.fixture(scope="module")
def without_photos(tiny_data, tmp_path_factory):
    """Fields of a configuration that reads image features."""
    path = tmp_path_factory.mktemp("features") / "photos.npy"
    return {"data__image_features": str(tiny.write_image_features(tiny_data, path))}


@pytest.fixture
def masked(monkeypatch):
    """A function that masks records by hand, as `input.pipeline` masks damaged ones."""

    def use(payloads, photos=()):
        read = pipeline.BatchReader.__call__

        def masking(self, rows):
            batch, readable = read(self, rows)
            if "train" not in self._index.shards[0].name:
                return batch, readable
            no_recipe = np.isin(rows.numbers, list(payloads))
            unreadable = no_recipe | np.isin(rows.photo_records, [*payloads, *photos])
            for name, values in batch.items():
                if name not in ("record", "image"):
                    values[no_recipe] = 0
            batch["image"][unreadable] = 0
            return batch, readable & ~unreadable

        monkeypatch.setattr(pipeline.BatchReader, "__call__", masking)

    return use


def run(data, directory, **fields):
    return train(tiny.small_config(data, **fields), directory, make_mesh(jax.devices()[:1]))


def assert_same(one, other, data):
    """Asserts bit-identical last checkpoints."""
    variables = [jax.device_get(workdir.load(path, "last", {"dir": str(data)}).variables) for path in (one, other)]
    jax.tree.map(np.testing.assert_array_equal, *variables)


def lines_of(directory, split):
    return [line for line in read_metrics(directory / "metrics.jsonl") if line["split"] == split]


def scores(directory):
    """Returns all lines of metrics without machine-dependent fields and counts of damaged records."""
    lines = read_metrics(directory / "metrics.jsonl")
    return [runs.without_measurements(line) | {"damaged_records": None} for line in lines]


def test_a_run_on_damaged_records_equals_one_that_masks_them(data, tiny_data, tmp_path, without_photos, masked, capsys):
    damage_payloads(data)
    run(data, tmp_path / "damaged", **without_photos)
    errors = capsys.readouterr().err.splitlines()
    assert sum("skipped, damaged record" in line for line in errors) == 3
    assert lines_of(tmp_path / "damaged", "train")[-1]["damaged_records"] == 3
    masked(PAYLOADS)
    run(tiny_data, tmp_path / "clean", **without_photos)
    assert_same(tmp_path / "damaged", tmp_path / "clean", data)
    assert {line["damaged_records"] for line in lines_of(tmp_path / "clean", "train")} == {0}
    assert scores(tmp_path / "damaged") == scores(tmp_path / "clean")


@pytest.mark.slow
@pytest.mark.parametrize("fields", [{}, {"cache_frozen_features": 2}])
def test_so_is_a_run_on_photos_that_cannot_be_decoded(data, tiny_data, tmp_path, masked, fields):
    damage_payloads(data)
    damage_photos(data)
    run(data, tmp_path / "damaged", **fields)
    assert lines_of(tmp_path / "damaged", "train")[-1]["damaged_records"] == 4
    run(data, tmp_path / "resumed", **fields, epochs=1)
    run(data, tmp_path / "resumed", **fields, epochs=2)
    assert_same(tmp_path / "damaged", tmp_path / "resumed", data)
    masked(PAYLOADS, [PHOTO])
    run(tiny_data, tmp_path / "clean", **fields)
    assert_same(tmp_path / "damaged", tmp_path / "clean", data)
    assert scores(tmp_path / "damaged") == scores(tmp_path / "clean")


def test_a_photo_that_cannot_be_read_has_no_features_of_the_frozen_resnet(data, tmp_path):
    config = tiny.small_config(data, cache_frozen_features=2)
    model = build_model(config.model, table_rows=len(tiny.WORDS) + 3)
    variables = init_variables(model, jax.random.key(0), config.model, image_size=config.data.image_size)
    damage_payloads(data)
    damage_photos(data)
    damage, index = Damage(), index_of(data)
    mesh = make_mesh(jax.devices()[:1])
    frozen = frozen_features.FrozenBackbone(tmp_path, config, model, variables, mesh, damage)
    photos = np.arange(len(index.photo_ids))
    features = frozen.random_crops(index)(photos, np.zeros(len(photos), np.float32))
    owners = np.searchsorted(index.first_photo, photos, side="right") - 1
    is_damaged = np.isin(owners, [*PAYLOADS, PHOTO])
    assert np.isnan(features[is_damaged]).all()
    assert np.isfinite(features[~is_damaged]).all()
    assert damage.count == 4


def test_a_validation_recipe_without_photos_has_no_features_of_the_frozen_resnet(data, tmp_path, monkeypatch):
    damaging.rewrite(index_of(data, "val"), 11, damaging.without_photos)  # the last record
    index, config = index_of(data, "val"), tiny.small_config(data, cache_frozen_features=2)
    np.save(tmp_path / "val.npy", np.arange(11.0)[:, None])
    backbone = frozen_features.FrozenBackbone(tmp_path, config, None, {}, None, Damage())
    stored = []

    def store(self, split, index, photos, draws):
        stored.append(photos)
        return tmp_path / "val.npy"

    monkeypatch.setattr(frozen_features.FrozenBackbone, "_stored", store)
    features = backbone.central_crops(index)
    np.testing.assert_array_equal(stored[0], index.first_photo[:11])
    np.testing.assert_array_equal(features(index.first_photo[:11], np.zeros(11))[:, 0], np.arange(11))


def test_a_run_resumes_after_records_were_damaged(data, tmp_path, without_photos):
    run(data, tmp_path / "run", epochs=1, **without_photos)
    damage_payloads(data)
    run(data, tmp_path / "run", epochs=2, **without_photos)
    assert [line["damaged_records"] for line in lines_of(tmp_path / "run", "train")] == [0] * 3 + [3] * 3
    # Without the earlier index, a damaged record has no number and the plans differ.
    for cache in data.rglob(".*.index.npz"):
        cache.unlink()
    with pytest.raises(UserError, match=r"its train split of 45 recipes differs from that of .*, which has 48"):
        run(data, tmp_path / "run", epochs=3, **without_photos)


def test_evaluation_and_galleries_skip_damaged_records_and_stay_aligned(data, tmp_path, without_photos, capsys):
    damaging.damage_payload(index_of(data, "val"), 2)
    run(data, tmp_path / "run", bag=True, epochs=1, **without_photos)
    (line,) = lines_of(tmp_path / "run", "val")
    assert 1 <= line["medr_image_to_recipe"] <= 11
    assert "1 damaged record was skipped (listed above)" in capsys.readouterr().out

    command = ["--workdir", str(tmp_path / "run")]
    assert embed.main([*command, "--out", str(tmp_path / "whole")]) == 0
    assert "damaged" not in capsys.readouterr().out
    index = index_of(data, "test")
    order = index.sorted_by_id()
    for row in (3, 8):
        damaging.damage_payload(index, order[row])
    kept = np.delete(np.arange(12), [3, 8])

    assert embed.main([*command, "--out", str(tmp_path / "rest")]) == 0
    printed = capsys.readouterr()
    assert f"{tmp_path / 'rest'}: 10 pairs" in printed.out
    assert "2 damaged records were skipped (listed above)" in printed.out
    for row in (3, 8):
        assert printed.err.count(f"recipe {index.ids[order[row]].decode()}: ") == 1
    galleries = [Gallery(tmp_path / name) for name in ("whole", "rest")]
    whole, rest = ([dataclasses.replace(g.item(row), photo=None) for row in g.rows] for g in galleries)
    assert rest == [whole[row] for row in kept]
    for side in ("image.npy", "recipe.npy"):
        whole, rest = (np.load(tmp_path / name / side) for name in ("whole", "rest"))
        np.testing.assert_allclose(rest, whole[kept], atol=1e-6)

    assert evaluate.main(command) == 0
    assert "2 damaged records were skipped (listed above)" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "eval_test.json").read_text())["full"]["pairs"] == 10
    assert figures.main(command) == 0


def test_a_gallery_skips_records_that_became_unreadable_after_embedding(data, tmp_path):
    index = index_of(data, "test")
    order = index.sorted_by_id()
    damaging.damage_payload(index, order[5])
    rows = np.arange(24, dtype=np.float32).reshape(12, 2)
    damage = Damage()
    names = ("background", *(f"class {number}" for number in range(1, 5)))
    trained = types.SimpleNamespace(class_names=names, digest="0", step=1)
    assert write_split(trained, index, "test", order, rows, -rows, tmp_path / "gallery", damage) == 11
    assert damage.count == 1
    np.testing.assert_array_equal(np.load(tmp_path / "gallery" / "recipe.npy"), -np.delete(rows, 5, axis=0))
    ids = Gallery(tmp_path / "gallery").ids.tolist()
    assert ids == [index.ids[number].decode() for number in np.delete(order, 5)]


def test_a_split_without_readable_records_is_one_line(data, tmp_path, without_photos):
    index = index_of(data, "val")
    for number in range(len(index)):
        damaging.damage_payload(index, number)
    with pytest.raises(UserError, match="none of the 12 records of recipe1m-val"):
        run(data, tmp_path / "run", epochs=1, **without_photos)


def test_too_many_damaged_records_stop_the_training_in_one_line(data, tmp_path, without_photos):
    damage_payloads(data)
    with pytest.raises(UserError, match="2 other damaged records") as error:
        run(data, tmp_path / "run", data__max_damaged=2, **without_photos)
    assert "\n" not in str(error.value)
    # The same workdir can be used afterwards.
    run(data, tmp_path / "run", data__max_damaged=3, epochs=1, **without_photos)
    assert len(lines_of(tmp_path / "run", "train")) == 3
