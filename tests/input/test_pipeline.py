"""Batches against single records."""

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
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.plan import epoch_plan
from adamine_jax.input.records import load_index
from tests import tiny

MAX_SENTENCES, MAX_WORDS = 3, 5


@pytest.fixture(scope="module")
def index(tiny_data):
    return load_index(open_dataset(tiny_data).shards("train"))


@pytest.fixture(scope="module")
def examples(index):
    return examples_of(index)


def examples_of(index):
    payloads = tf.data.TFRecordDataset([str(path) for path in index.shards])
    return [tf.train.Example.FromString(payload.numpy()).features.feature for payload in payloads]


def configured(**data):
    fields = {f"data__{name}": value for name, value in data.items()}
    sizes = {"model__recipe__max_sentences": MAX_SENTENCES, "model__recipe__max_words": MAX_WORDS}
    return tiny.small_config("unused", seed=7, **sizes, **fields)


def train_batches(index, plan, config=None, **changes):
    arguments = {"first_step": 0, "rows": slice(None)} | changes
    return list(pipeline.train_batches(index, plan, config or configured(), **arguments))


def naive_words(example):
    words, lengths = example["word_ids"].int64_list.value, example["sentence_lengths"].int64_list.value
    block, start = np.zeros((MAX_SENTENCES, MAX_WORDS), int), 0
    for row, length in enumerate(lengths[:MAX_SENTENCES]):
        kept = words[start : start + length][:MAX_WORDS]
        block[row, : len(kept)] = kept
        start += length
    return block


def test_texts_and_labels_are_those_of_the_planned_records(index, examples):
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
    """(photo, mean difference) of the photo of which the crop is most likely a part."""
    distances = []
    for jpeg in example["images"].bytes_list.value:
        pixels = np.asarray(Image.open(io.BytesIO(jpeg)), float)  # 40 × 48: the shorter side is not resized
        windows = [pixels[top : top + 32, left : left + 32] for top in range(9) for left in range(17)]
        distances.append(min(np.abs(crop - window).mean() for window in windows))
    return int(np.argmin(distances)), min(distances)


def test_each_photo_is_a_crop_of_one_of_the_recipes_own_and_every_one_is_drawn(index, examples):
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


def test_batches_are_the_same_for_one_process_and_for_four(index):
    plan = epoch_plan(index.class_id, 0, 0, 8)
    whole = train_batches(index, plan)
    parts = [train_batches(index, plan, rows=slice(2 * p, 2 * p + 2)) for p in range(4)]
    for step, batch in enumerate(whole):
        for name, rows in batch.items():
            np.testing.assert_array_equal(rows, np.concatenate([part[step][name] for part in parts]), err_msg=name)


def test_resuming_in_the_middle_gives_the_same_batches(index):
    plan = epoch_plan(index.class_id, 0, 0, 8)
    whole, rest = train_batches(index, plan), train_batches(index, plan[2:], first_step=2)
    for batch, again in zip(whole[2:], rest, strict=True):
        for name in batch:
            np.testing.assert_array_equal(batch[name], again[name], err_msg=name)
    config = configured()
    config.seed = 8
    other_seed = train_batches(index, plan, config)
    assert not np.array_equal(whole[0]["image"], other_seed[0]["image"])


def test_evaluation_sees_every_recipe_once_with_the_centre_of_its_first_photo(index, examples):
    numbers = index.sorted_by_id()[:13]
    batches = pipeline.evaluation_batches(index, numbers, configured(), batch_size=4, rows=slice(None))
    rows = {name: np.concatenate(parts) for name, parts in _columns(batches).items()}
    assert len(rows["image"]) == 16
    np.testing.assert_array_equal(rows["record"][:13], numbers)
    assert (rows["record"][13:] == numbers[-1]).all()
    for number, crop in zip(numbers, rows["image"], strict=False):
        first = np.asarray(Image.open(io.BytesIO(examples[number]["images"].bytes_list.value[0])), int)
        assert np.abs(crop - first[4:36, 8:40]).max() <= 3


def test_batches_that_are_not_used_up_stop_when_closed(index):
    def threads():
        return [thread for thread in threading.enumerate() if thread.name.startswith("input")]

    def open_shards():
        return {(file.path, file.fd) for file in psutil.Process().open_files() if ".tfrecord" in file.path}

    open_before = open_shards()  # by other tests
    plan = np.tile(epoch_plan(index.class_id, 0, 0, 8), (50, 1))
    batches = pipeline.train_batches(index, plan, configured(), first_step=0, rows=slice(None))
    next(batches)
    assert threads()
    assert open_shards() > open_before
    batches.close()
    assert not threads()
    assert open_shards() == open_before


def _columns(batches):
    columns = {}
    for batch in batches:
        for name, rows in batch.items():
            columns.setdefault(name, []).append(rows)
    return columns


def test_shuffled_photos_belong_to_other_recipes(index, examples):
    plan = epoch_plan(index.class_id, 0, 0, 8)
    own = 0
    for batch in train_batches(index, plan, configured(shuffle_photos=True)):
        for number, crop in zip(batch["record"], batch["image"], strict=True):
            own += closest_photo(crop, examples[number])[1] < 1
    assert own <= 4  # a permutation of 48 has one fixed point on average


def test_mismatched_pairs_get_a_photo_and_a_class_of_another_recipe(index, examples):
    plan = epoch_plan(index.class_id, 0, 0, 8)
    first, *_ = train_batches(index, plan, configured(mismatch=0.8))
    for row, number in enumerate(first["record"]):
        fits = [n for n, example in enumerate(examples) if closest_photo(first["image"][row], example)[1] < 1]
        assert (number in fits) == (first["match"][row] > 0)
        assert first["image_class_id"][row] in index.class_id[fits]
    batches = train_batches(index, np.concatenate([plan] * 4), configured(mismatch=0.8))
    assert {match for batch in batches for match in batch["match"]} == {-1, 1}
    share = np.mean([np.mean(batch["match"] < 0) for batch in batches])
    np.testing.assert_allclose(share, 0.8, atol=0.08)  # of 192 pairs


def test_without_mismatch_every_pair_is_a_match(index):
    for batch in train_batches(index, epoch_plan(index.class_id, 0, 0, 8)):
        assert (batch["match"] == 1).all()
        np.testing.assert_array_equal(batch["image_class_id"], batch["class_id"])


@pytest.mark.parametrize("count", [1, 8])
def test_global_batches_are_on_the_mesh_in_row_order(index, count):
    mesh = make_mesh(jax.devices()[:count])
    plan = epoch_plan(index.class_id, 0, 0, 8)
    host = train_batches(index, plan)
    device = list(pipeline.to_devices(iter(host), mesh))
    assert len(device) == len(host)
    for batch, rows in zip(device, host, strict=True):
        assert len(batch["image"].sharding.device_set) == count
        np.testing.assert_array_equal(batch["image"], rows["image"])
