"""Batches of damaged shards match those of intact shards in all undamaged rows."""

import shutil

import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.input import features, pipeline
from adamine_jax.input.damage import Damage
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.draws import Draws
from adamine_jax.input.plan import epoch_plan
from adamine_jax.input.record_index import load_index
from tests import damaging
from tests.input.batches import assert_equal, batch_config, train_batches

RECIPE_FIELDS = ("ingredients", "words", "num_sentences", "class_id")
PAYLOADS, PHOTOS = (1, 4, 6, 29), (12, 33)
DAMAGED = [*PAYLOADS, *PHOTOS]


@pytest.fixture(scope="module")
def damaged(tiny_data, tmp_path_factory):
    """The index of a copy, made before some of its records, and all photos of others, were damaged."""
    folder = tmp_path_factory.mktemp("damaged") / "data"
    shutil.copytree(tiny_data, folder)
    copy = load_index(open_dataset(folder).shards("train"))
    for number in PAYLOADS:
        damaging.damage_payload(copy, number)
    for number in PHOTOS:
        for photo in range(copy.first_photo[number + 1] - copy.first_photo[number]):
            damaging.damage_photo(copy, number, photo)
    return copy


@pytest.fixture(scope="module")
def plan(index):
    return np.concatenate([epoch_plan(index.class_id, 0, epoch, 8) for epoch in range(4)])


def photo_records_of(index, batches, data):
    """Returns the record of each drawn photo, which does not depend on damage."""
    draws = Draws(index, 7, batch_config(**data).data)
    return [draws(step, batch["record"]).photo_records for step, batch in enumerate(batches)]


@pytest.mark.parametrize("data", [{}, {"mismatch": 0.5}, {"shuffle_photos": True}])
def test_a_damaged_row_is_masked_and_the_others_do_not_change(index, damaged, plan, data):
    damage = Damage()
    config = batch_config(**data)
    batches, clean = train_batches(damaged, plan, config, damage=damage), train_batches(index, plan, config)
    seen = 0
    for batch, expected, photos in zip(batches, clean, photo_records_of(index, clean, data), strict=True):
        no_recipe = np.isin(expected["record"], PAYLOADS)
        unreadable = no_recipe | np.isin(photos, DAMAGED)
        np.testing.assert_array_equal(batch["has_image"], ~unreadable)
        assert expected["has_image"].all()
        for name, rows in batch.items():
            np.testing.assert_array_equal(rows[~unreadable], expected[name][~unreadable], err_msg=name)
        for name in RECIPE_FIELDS:  # a recipe without its photo is still read
            np.testing.assert_array_equal(batch[name][~no_recipe], expected[name][~no_recipe], err_msg=name)
            assert not batch[name][no_recipe].any()
        assert not batch["image"][unreadable].any()
        np.testing.assert_array_equal(batch["record"], expected["record"])
        np.testing.assert_array_equal(batch["match"], expected["match"])
        seen += unreadable.sum()
    assert seen > 8
    assert len(PAYLOADS) < damage.count <= len(DAMAGED)  # shuffled photos are not all drawn


@pytest.mark.parametrize("shards", ["index", "damaged"])
def test_batches_do_not_depend_on_the_number_of_processes_or_on_interruptions(request, plan, shards):
    index = request.getfixturevalue(shards)
    whole = train_batches(index, plan)
    parts = [train_batches(index, plan, rows=slice(2 * p, 2 * p + 2)) for p in range(4)]
    steps = zip(*parts, strict=True)
    joined = [{name: np.concatenate([part[name] for part in step]) for name in step[0]} for step in steps]
    assert_equal(joined, whole)
    assert_equal(train_batches(index, plan[5:], first_step=5), whole[5:])


def test_photos_without_features_are_masked(index, damaged, plan):
    values = np.random.default_rng(0).standard_normal((len(index.photo_ids), 5)).astype(np.float32)
    rows = np.arange(len(values))[:, None]
    clean = train_batches(index, plan, vectors=features.Vectors(features.PhotoFeatures(values, rows, "x.npy")))
    for number in PHOTOS:
        values[index.first_photo[number] : index.first_photo[number + 1]] = np.nan
    gaps = features.Vectors(features.PhotoFeatures(values, rows, "x.npy", has_gaps=True))
    for batch, expected in zip(train_batches(damaged, plan, vectors=gaps), clean, strict=True):
        unreadable = np.isin(batch["record"], DAMAGED)
        np.testing.assert_array_equal(batch["has_image"], ~unreadable)
        np.testing.assert_array_equal(batch["image"][~unreadable], expected["image"][~unreadable])
        assert np.isfinite(batch["image"]).all()


def test_evaluation_marks_damaged_records(index, damaged):
    arguments = {"config": batch_config(), "batch_size": 16, "rows": slice(None)}
    numbers = index.sorted_by_id()
    damage = Damage()
    read = list(pipeline.evaluation_batches(damaged, numbers, **arguments, times=2, damage=damage))
    clean = list(pipeline.evaluation_batches(index, numbers, **arguments, times=2))
    readable = np.concatenate([batch["readable"] for batch in read])
    np.testing.assert_array_equal(readable, np.tile([number not in DAMAGED for number in numbers], 2))
    assert all(batch["readable"].all() for batch in clean)
    assert damage.count == len(DAMAGED)
    for batch, expected in zip(read, clean, strict=True):
        for name in batch:
            rows = batch["readable"]
            np.testing.assert_array_equal(batch[name][rows], expected[name][rows], err_msg=name)
            assert name in ("record", "readable") or not batch["image"][~rows].any()


def test_photo_batches_mark_damaged_photos(damaged, index):
    photos = np.arange(len(index.photo_ids))
    owners = np.searchsorted(index.first_photo, photos, side="right") - 1
    for draws in (None, np.random.default_rng(0).random((len(photos), 3), np.float32)):
        batches = pipeline.photo_batches(damaged, photos, draws, batch_config(), batch_size=30, rows=slice(None))
        readable = np.concatenate([batch["readable"] for batch in batches])[: len(photos)]
        np.testing.assert_array_equal(readable, [owner not in DAMAGED for owner in owners])


@pytest.mark.parametrize("limit", [0, 3])
def test_exceeding_the_limit_stops_training_with_one_line(damaged, plan, limit, capsys):
    with pytest.raises(UserError) as error:
        train_batches(damaged, plan, damage=Damage(limit))
    assert "\n" not in str(error.value)
    assert "recipe " in str(error.value)
    assert ("3 other damaged records were skipped before" in str(error.value)) == (limit == 3)
    assert len(capsys.readouterr().err.splitlines()) == limit
