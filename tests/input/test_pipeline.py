"""Batches match single records that TensorFlow reads."""

import io
import threading

import jax
import numpy as np
import psutil
import pytest
import tensorflow as tf
from PIL import Image

from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.input import pipeline
from adamine_jax.input.plan import epoch_plan
from adamine_jax.input.reading import _text_digest
from adamine_jax.models.image.resnet_tower import ResNetTower
from adamine_jax.recipes.crops import Resizing, center_crops, random_crops
from tests.input.batches import MAX_SENTENCES, MAX_WORDS, batch_config, train_batches


@pytest.fixture(scope="module")
def examples(index):
    payloads = tf.data.TFRecordDataset([str(path) for path in index.shards])
    return [tf.train.Example.FromString(payload.numpy()).features.feature for payload in payloads]


def naive_words(example):
    words, lengths = example["word_ids"].int64_list.value, example["sentence_lengths"].int64_list.value
    block, start = np.zeros((MAX_SENTENCES, MAX_WORDS), int), 0
    for row, length in enumerate(lengths[:MAX_SENTENCES]):
        kept = words[start : start + length][:MAX_WORDS]
        block[row, : len(kept)] = kept
        start += length
    return block


def test_texts_and_classes_come_from_the_planned_records(index, examples):
    plan = epoch_plan(index.class_id, 0, 0, 8)
    batches = train_batches(index, plan)
    assert len(batches) == len(plan)
    for batch, numbers in zip(batches, plan, strict=True):
        np.testing.assert_array_equal(batch["record"], numbers)
        for row, number in enumerate(numbers):
            example = examples[number]
            ingredients = list(example["ingredient_ids"].int64_list.value)
            assert batch["ingredients"][row].tolist() == ingredients + [0] * (20 - len(ingredients))
            assert batch["num_sentences"][row] == min(len(example["sentence_lengths"].int64_list.value), MAX_SENTENCES)
            assert batch["class_id"][row] == example["class_id"].int64_list.value[0]
            np.testing.assert_array_equal(batch["words"][row], naive_words(example))


def closest_photo(crop, example):
    """Returns (photo, mean absolute difference) for the photo that a crop was most likely taken from."""
    distances = []
    for jpeg in example["images"].bytes_list.value:
        pixels = np.asarray(Image.open(io.BytesIO(jpeg)), float)  # 40 × 48: the shorter side is not resized
        windows = [pixels[top : top + 32, left : left + 32] for top in range(9) for left in range(17)]
        distances.append(min(np.abs(crop - window).mean() for window in windows))
    return int(np.argmin(distances)), min(distances)


def test_crops_come_from_all_photos_of_the_recipe(index, examples):
    drawn = set()
    for epoch in range(4):
        plan = epoch_plan(index.class_id, 0, epoch, 8)
        for batch in train_batches(index, plan, first_step=100 * epoch):
            for number, crop in zip(batch["record"], batch["image"], strict=True):
                photo, distance = closest_photo(crop, examples[number])
                assert distance < 1
                drawn.add((number, photo))
    photos = sum(len(example["images"].bytes_list.value) for example in examples)
    assert len(drawn) > 0.7 * photos


def test_another_seed_gives_other_crops(index):
    plan, config = epoch_plan(index.class_id, 0, 0, 8), batch_config()
    config.seed = 8
    first, *_ = train_batches(index, plan)
    other, *_ = train_batches(index, plan, config)
    assert not np.array_equal(first["image"], other["image"])


def test_evaluation_reads_the_central_crop_of_the_first_photo_of_every_recipe_once(index, examples):
    numbers = index.sorted_by_id()[:13]
    batches = pipeline.evaluation_batches(index, numbers, batch_config(), batch_size=4, rows=slice(None))
    batches = list(batches)
    rows = {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
    assert len(rows["image"]) == 16
    np.testing.assert_array_equal(rows["record"][:13], numbers)
    assert (rows["record"][13:] == numbers[-1]).all()
    for number, crop in zip(numbers, rows["image"], strict=False):
        first = np.asarray(Image.open(io.BytesIO(examples[number]["images"].bytes_list.value[0])), int)
        assert np.abs(crop - first[4:36, 8:40]).max() <= 3


def test_photos_are_resized_as_the_image_tower_needs(index, examples, monkeypatch):
    squash, config, numbers = Resizing("bicubic", squash=True), batch_config(), np.arange(4)
    jpegs = [examples[number]["images"].bytes_list.value[0] for number in numbers]
    first, plan = index.first_photo[numbers], epoch_plan(index.class_id, 0, 0, 8)
    default, *_ = train_batches(index, plan)
    monkeypatch.setattr(ResNetTower, "resizing", classmethod(lambda tower, section: squash))

    central, _ = center_crops(config.data.resize, config.data.image_size, squash)(jpegs, np.zeros((4, 3), np.float32))
    (batch,) = pipeline.evaluation_batches(index, numbers, config, batch_size=4, rows=slice(None))
    np.testing.assert_array_equal(batch["image"], central)
    (batch,) = pipeline.photo_batches(index, first, None, config, batch_size=4, rows=slice(None))
    np.testing.assert_array_equal(batch["image"], central)

    draws = np.random.default_rng(0).random((4, 3), np.float32)
    random, _ = random_crops(config.data.resize, config.data.image_size, config.data.flip, squash)(jpegs, draws)
    (batch,) = pipeline.photo_batches(index, first, draws, config, batch_size=4, rows=slice(None))
    np.testing.assert_array_equal(batch["image"], random)
    batch, *_ = train_batches(index, plan)
    assert np.abs(batch["image"].astype(int) - default["image"]).max() > 10


def test_closing_unfinished_batches_stops_the_threads_and_closes_the_shards(index):
    def threads():
        return [thread for thread in threading.enumerate() if thread.name.startswith("input")]

    def open_shards():
        return {(file.path, file.fd) for file in psutil.Process().open_files() if ".tfrecord" in file.path}

    open_before = open_shards()  # opened by other tests
    plan = np.tile(epoch_plan(index.class_id, 0, 0, 8), (50, 1))
    batches = pipeline.train_batches(index, plan, batch_config(), first_step=0, rows=slice(None))
    next(batches)
    assert threads()
    assert open_shards() > open_before
    batches.close()
    assert not threads()
    assert open_shards() == open_before


def test_shuffled_photos_belong_to_other_recipes(index, examples):
    plan = epoch_plan(index.class_id, 0, 0, 8)
    own = 0
    for batch in train_batches(index, plan, batch_config(shuffle_photos=True)):
        for number, crop in zip(batch["record"], batch["image"], strict=True):
            own += closest_photo(crop, examples[number])[1] < 1
    assert own <= 4  # a permutation of 48 has one fixed point on average


def test_mismatched_pairs_have_the_photo_and_class_of_another_recipe(index, examples):
    plan = epoch_plan(index.class_id, 0, 0, 8)
    first, *_ = train_batches(index, plan, batch_config(mismatch=0.8))
    for row, number in enumerate(first["record"]):
        fits = [n for n, example in enumerate(examples) if closest_photo(first["image"][row], example)[1] < 1]
        assert (number in fits) == (first["match"][row] > 0)
        assert first["image_class_id"][row] in index.class_id[fits]
    batches = train_batches(index, np.concatenate([plan] * 4), batch_config(mismatch=0.8))
    assert {match for batch in batches for match in batch["match"]} == {-1, 1}
    share = np.mean([np.mean(batch["match"] < 0) for batch in batches])
    np.testing.assert_allclose(share, 0.8, atol=0.08)  # of 192 pairs


def test_without_mismatch_all_pairs_match(index):
    for batch in train_batches(index, epoch_plan(index.class_id, 0, 0, 8)):
        assert (batch["match"] == 1).all()
        np.testing.assert_array_equal(batch["image_class_id"], batch["class_id"])


def test_recipes_of_the_same_text_are_a_group(index, examples, tmp_path):
    groups = {}
    for batch in train_batches(index, epoch_plan(index.class_id, 0, 0, 8)):
        groups |= dict(zip(batch["record"].tolist(), batch["group"].tolist(), strict=True))
    assert min(groups.values()) >= 0
    assert len(set(groups.values())) == len(groups)  # all texts differ
    fields = {name: [b"Tea", b"1 cup of TEA"] for name in ("title", "ingredients", "instructions")}
    digests = {_text_digest(recipe({**fields, "title": [title]})) for title in (b"Tea", b"tea", b"Tea ")}
    assert len(digests) == 2


def recipe(fields):
    example = tf.train.Example()
    for name, values in fields.items():
        example.features.feature[name].bytes_list.value.extend(values)
    return example.features.feature


@pytest.mark.parametrize("count", [1, 8])
def test_global_batches_keep_the_row_order(index, count):
    mesh = make_mesh(jax.devices()[:count])
    plan = epoch_plan(index.class_id, 0, 0, 8)
    host = train_batches(index, plan)
    device = list(pipeline.to_devices(iter(host), mesh))
    assert len(device) == len(host)
    for batch, rows in zip(device, host, strict=True):
        assert len(batch["image"].sharding.device_set) == count
        np.testing.assert_array_equal(batch["image"], rows["image"])
