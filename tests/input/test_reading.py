"""Records with a correct checksum and unusable content."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from adamine_jax.input.damage import Damage
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.reading import BatchReader, Rows
from adamine_jax.input.records import load_index
from adamine_jax.models import registry
from adamine_jax.recipes import crops as images
from tests import damaging, tiny

FIELDS = registry.recipe_fields(tiny.small_config("unused").model)


@pytest.fixture
def read(tiny_data, tmp_path):
    """An index of a copy, and what reads its first photos."""
    index = load_index(open_dataset(shutil.copytree(tiny_data, tmp_path / "data")).shards("train"))

    def read(numbers, index=index, damage=None):
        reader = BatchReader(index, images.center_crops(40, 32), FIELDS, damage=damage)
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
    expected, _ = read([3, 5, 8])
    damage_record(index, 5)
    damage = Damage()
    batch, readable = read([3, 5, 8], damage=damage)
    np.testing.assert_array_equal(readable, [True, False, True])
    assert batch["ingredients"][1].any() == (reason == "cannot be decoded")
    line = capsys.readouterr().err
    assert damage.count == 1
    assert f"recipe {index.ids[5].decode()}: " in line
    assert reason in line
    for name, rows in batch.items():
        np.testing.assert_array_equal(rows[[0, 2]], expected[name][[0, 2]], err_msg=name)
    assert not batch["image"][1].any()


def rewrite(index, number, change):
    """Writes the shard of a record anew, with a change in that record's features."""
    shard = index.shards[index.shard[number]]
    examples = [
        tf.train.Example.FromString(payload) for payload in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator()
    ]
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for example in examples:
            if example.features.feature["id"].bytes_list.value[0] == index.ids[number]:
                change(example.features.feature)
            writer.write(example.SerializeToString())
    damaging.touch(shard)


def with_lengths(lengths):
    def change(features):
        features["word_ids"].int64_list.value[:] = [5, 6]
        features["sentence_lengths"].int64_list.value[:] = lengths

    return change


def with_class(class_id):
    def change(features):
        features["class_id"].int64_list.value[:] = [class_id]

    return change


def without_photos(features):
    del features["images"].bytes_list.value[:]
    del features["image_ids"].bytes_list.value[:]


@pytest.mark.parametrize(
    ("change", "is_recipe", "reason"),
    [
        # Sentences that are not those of the words; the sum of the last ones is right in 64 bits.
        *((with_lengths(lengths), False, "not the record of a recipe") for lengths in ([1], [10**6], [-1, 3])),
        (with_lengths([2, *[2**62] * 4]), False, "not the record of a recipe"),
        (without_photos, True, "has no photo"),
    ],
)
def test_an_incomplete_or_inconsistent_record_is_damaged(read, capsys, change, is_recipe, reason):
    index, read = read
    rewrite(index, 5, change)
    batch, readable = read([3, 5], load_index(index.shards))
    np.testing.assert_array_equal(readable, [True, False])
    assert batch["ingredients"][1].any() == is_recipe
    assert f"recipe {index.ids[5].decode()}: {reason}; skipped" in capsys.readouterr().err


def test_a_class_id_beyond_int32_is_damage(read, capsys):
    index, read = read
    rewrite(index, 5, with_class(2**31))
    assert len(load_index(index.shards).ids) == len(index.ids) - 1
    assert "not the record of a recipe; skipped" in capsys.readouterr().err
    # As long as before, so that an earlier index knows whose record it is.
    rewrite(index, 5, with_class(-1))
    index = load_index(index.shards)
    rewrite(index, 5, with_class(-(2**40)))
    _, readable = read([3, 5], load_index(index.shards))
    np.testing.assert_array_equal(readable, [True, False])
    assert f"recipe {index.ids[5].decode()}: not the record of a recipe; skipped" in capsys.readouterr().err
