"""Data sets with missing shards, with or without the list of shards that TFDS writes."""

import json
import os
import shutil

import pytest
import tensorflow as tf

from adamine_jax.base.errors import UserError
from adamine_jax.input.dataset import open_dataset


@pytest.fixture
def data(tiny_data, tmp_path):
    return shutil.copytree(tiny_data, tmp_path / "data")


def list_shards(dataset):
    """Writes the number of records of each shard, as TFDS does."""
    splits = [{"name": "train", "shardLengths": ["24", "24"]}, {"name": "val", "shardLengths": ["6", "6"]}]
    (dataset.folder / "dataset_info.json").write_text(json.dumps({"name": "recipe1m", "splits": splits}))


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("is_listed", [False, True])
def test_a_missing_shard_is_reported(data, number, is_listed):
    dataset = open_dataset(data)
    if is_listed:
        list_shards(dataset)
    dataset.shards("train")[number].unlink()
    with pytest.raises(
        UserError, match=rf"1 of the 2 files of the train split are missing \(recipe1m-train.*0{number}-of"
    ):
        dataset.shards("train")
    assert len(dataset.shards("val")) == 2


def test_a_split_whose_files_are_all_missing_is_reported(data):
    dataset = open_dataset(data)
    list_shards(dataset)
    for path in dataset.shards("train"):
        path.unlink()
    with pytest.raises(UserError, match="2 of the 2 files of the train split are missing"):
        dataset.shards("train")


def test_shards_of_another_conversion_are_an_error(data):
    dataset = open_dataset(data)
    first, _ = dataset.shards("train")
    shutil.copy(first, first.with_name("recipe1m-train.tfrecord-00000-of-00003"))
    with pytest.raises(UserError, match="2 of the 5 files"):
        dataset.shards("train")


def test_a_split_without_recipes_has_no_files(data):
    assert open_dataset(data).shards("text") == []


@pytest.mark.parametrize("kept", [0, 7, 23])
def test_a_file_that_ends_early_between_two_records_is_reported(data, kept):
    dataset = open_dataset(data)
    list_shards(dataset)
    assert len(dataset.index("train")) == 48
    second = dataset.shards("train")[1]
    records = list(tf.data.TFRecordDataset(str(second)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(second)) as writer:
        for record in records[:kept]:
            writer.write(record)
    with pytest.raises(UserError, match=rf"train.tfrecord-00001-of-00002: {kept} records instead of the 24 that"):
        open_dataset(data).index("train")


def test_a_file_of_another_split_is_reported(data):
    dataset = open_dataset(data)
    list_shards(dataset)
    shutil.copy(dataset.shards("train")[0], dataset.shards("val")[0])
    with pytest.raises(UserError, match=r"val.tfrecord-00000-of-00002: 24 records instead of the 6"):
        dataset.index("val")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_file_that_is_no_file_is_reported(data, make):
    dataset = open_dataset(data)
    shard = dataset.shards("train")[0]
    shard.unlink()
    make(shard)
    with pytest.raises(UserError, match="1 of the 2 files of the train split are missing"):
        dataset.shards("train")
    (dataset.folder / "words.txt").unlink()
    make(dataset.folder / "words.txt")
    with pytest.raises(UserError, match=r"damaged data set \(not a regular file\)"):
        open_dataset(data)


@pytest.mark.parametrize("content", ["[]", "[" * 100_000, '{"options": null}', '{"words": 1}', "x"])
def test_malformed_metadata_are_one_line(data, content):
    (open_dataset(data).folder / "metadata.json").write_text(content)
    with pytest.raises(UserError, match="damaged data set"):
        open_dataset(data)
