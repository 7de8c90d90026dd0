"""Records with a correct checksum and unusable content."""

import shutil

import numpy as np
import pytest

from adamine_jax.input.damage import Damage
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.features import PhotoFeatures, Vectors
from adamine_jax.input.reading import BatchReader, Rows, read_recipes
from adamine_jax.input.record_index import load_index
from adamine_jax.models import registry
from adamine_jax.recipes import crops
from tests import damaging, tiny

FIELDS = registry.recipe_fields(tiny.small_config("unused").model)


@pytest.fixture
def read(tiny_data, tmp_path):
    """The index of a copy, and a function that reads records with their first photos."""
    index = load_index(open_dataset(shutil.copytree(tiny_data, tmp_path / "data")).shards("train"))

    def read(numbers, index=index, damage=None):
        reader = BatchReader(index, crops.center_crops(40, 32), FIELDS, damage=damage)
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
def test_a_damaged_record_with_a_correct_checksum_is_masked(read, capsys, damage_record, reason):
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


def with_values(**values):
    def change(features):
        for name, numbers in values.items():
            features[name].int64_list.value[:] = numbers

    return change


@pytest.mark.parametrize(
    ("change", "is_recipe", "reason"),
    [
        # The sentence lengths do not add up to the number of words; the last ones do if a 64-bit sum overflows.
        *(
            (with_values(word_ids=[5, 6], sentence_lengths=lengths), False, "not the record of a recipe")
            for lengths in ([1], [10**6], [-1, 3], [2, *[2**62] * 4])
        ),
        (damaging.without_photos, True, "has no photo"),
    ],
)
def test_an_incomplete_or_inconsistent_record_is_damaged(read, capsys, change, is_recipe, reason):
    index, read = read
    damaging.rewrite(index, 5, change)
    batch, readable = read([3, 5], load_index(index.shards))
    np.testing.assert_array_equal(readable, [True, False])
    assert batch["ingredients"][1].any() == is_recipe
    assert f"recipe {index.ids[5].decode()}: {reason}; skipped" in capsys.readouterr().err


def test_a_class_id_beyond_int32_is_damage(read, capsys):
    index, read = read
    damaging.rewrite(index, 5, with_values(class_id=[2**31]))
    assert len(load_index(index.shards).ids) == len(index.ids) - 1
    assert "not the record of a recipe; skipped" in capsys.readouterr().err
    # Both records have the same length, so the earlier index still identifies the damaged one.
    damaging.rewrite(index, 5, with_values(class_id=[-1]))
    index = load_index(index.shards)
    damaging.rewrite(index, 5, with_values(class_id=[-(2**40)]))
    _, readable = read([3, 5], load_index(index.shards))
    np.testing.assert_array_equal(readable, [True, False])
    assert f"recipe {index.ids[5].decode()}: not the record of a recipe; skipped" in capsys.readouterr().err


@pytest.mark.parametrize("place", [5, -1])
def test_a_record_without_photos_has_no_features_of_another_record(read, capsys, place):
    index, _ = read
    number = range(len(index))[place]
    damaging.rewrite(index, number, damaging.without_photos)
    index = load_index(index.shards)
    values = np.arange(2 * len(index.photo_ids), dtype=np.float32).reshape(-1, 2) + 1
    photos = PhotoFeatures(values, np.arange(len(values))[:, None], "x.npy")
    reader = BatchReader(index, crops.center_crops(40, 32), FIELDS, Vectors(photos=photos))
    numbers, zeros = np.array([3, number]), np.zeros(2, np.int64)
    batch, readable = reader(Rows(numbers, numbers, zeros, np.zeros((2, 3), np.float32)))
    reader.close()
    np.testing.assert_array_equal(readable, [True, False])
    np.testing.assert_array_equal(batch["image"], [values[index.first_photo[3]], [0, 0]])
    assert f"recipe {index.ids[number].decode()}: has no photo; skipped" in capsys.readouterr().err


def test_recipes_are_read_without_photos_and_damaged_ones_are_reported(read, capsys):
    index, _ = read
    damaging.rewrite(index, 5, damaging.without_photos)
    index = load_index(index.shards)
    damaging.damage_meaning(index, 6)
    damaging.damage_payload(index, 7)
    damage = Damage()
    photo, without, *damaged = read_recipes(index, np.array([4, 5, 6, 7]), damage)
    assert photo.photo.startswith(b"\xff\xd8")
    assert (without.text.id, without.photo) == (index.ids[5].decode(), None)
    assert damaged == [None, None]
    assert damage.count == 2
