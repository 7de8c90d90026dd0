"""Data sets with missing shards, with or without the list of shards that TFDS writes."""

import json
import shutil

import pytest

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
