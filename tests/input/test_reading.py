"""Records that are as they were written, by their checksum, but not what is asked for."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from adamine_jax.input import images
from adamine_jax.input.damage import Damage
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.features import Vectors
from adamine_jax.input.reading import BatchReader, Rows
from adamine_jax.input.records import load_index
from tests import damaging, tiny

MODEL = tiny.small_config("unused").model


@pytest.fixture
def read(tiny_data, tmp_path):
    """An index of a copy, and what reads its first photos."""
    index = load_index(open_dataset(shutil.copytree(tiny_data, tmp_path / "data")).shards("train"))

    def read(numbers, index=index, damage=None):
        reader = BatchReader(index, images.center_crops(40, 32), MODEL, Vectors(), damage or Damage())
        zeros = np.zeros(len(numbers), np.int64)
        batch = reader(Rows(np.array(numbers), np.array(numbers), zeros, np.zeros((len(numbers), 3), np.float32)))
        reader.close()
        return batch

    return index, read


@pytest.mark.parametrize(
    ("damage_record", "reason"),
    [
        (damaging.damage_meaning, "not the record of a recipe"),
        (damaging.damage_photo, "cannot be decoded"),
    ],
)
def test_a_right_checksum_does_not_make_a_recipe(read, capsys, damage_record, reason):
    index, read = read
    expected, *_ = read([3, 5, 8])
    damage_record(index, 5)
    damage = Damage()
    batch, has_recipe, has_photo = read([3, 5, 8], damage=damage)
    np.testing.assert_array_equal(has_recipe, [True, reason == "cannot be decoded", True])
    np.testing.assert_array_equal(has_photo, [True, False, True])
    line = capsys.readouterr().err
    assert damage.count == 1
    assert f"recipe {index.ids[5].decode()}: " in line
    assert reason in line
    for name, rows in batch.items():
        np.testing.assert_array_equal(rows[[0, 2]], expected[name][[0, 2]], err_msg=name)
    assert not batch["image"][1].any()


def test_a_record_without_a_photo_is_damaged(read, capsys):
    index, read = read
    shard = index.shards[index.shard[5]]
    examples = [
        tf.train.Example.FromString(payload) for payload in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()
    ]
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for example in examples:
            if example.features.feature["id"].bytes_list.value[0] == index.ids[5]:
                del example.features.feature["images"].bytes_list.value[:]
                del example.features.feature["image_ids"].bytes_list.value[:]
            writer.write(example.SerializeToString())
    damaging.touch(shard)
    _, has_recipe, has_photo = read([3, 5], load_index(index.shards))
    np.testing.assert_array_equal(has_recipe, [True, True])
    np.testing.assert_array_equal(has_photo, [True, False])
    assert f"recipe {index.ids[5].decode()}: has no photo; skipped" in capsys.readouterr().err
