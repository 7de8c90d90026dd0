"""The offset index against TensorFlow's own sequential reader, and against damage."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from adamine_jax.errors import UserError
from adamine_jax.input import records
from adamine_jax.input.dataset import open_dataset


@pytest.fixture
def shards(tiny_data, tmp_path):
    return [shutil.copy(path, tmp_path / path.name) for path in open_dataset(tiny_data).shards("train")]


def test_records_equal_those_of_a_sequential_reader(shards):
    expected = [record.numpy() for record in tf.data.TFRecordDataset([str(path) for path in shards])]
    index = records.load_index(shards)
    assert len(index) == len(expected) == 48

    order = np.random.default_rng(0).permutation(48)
    read = records.RecordReader(index)(order)
    assert read == [expected[number] for number in order]
    for number, payload in enumerate(expected):
        example = tf.train.Example.FromString(payload).features.feature
        assert index.ids[number] == example["id"].bytes_list.value[0]
        assert index.class_id[number] == example["class_id"].int64_list.value[0]


def test_the_checksum_is_that_of_tfrecords_format(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "one")) as writer:
        writer.write(b"some bytes")
    written = (tmp_path / "one").read_bytes()
    assert int.from_bytes(written[-4:], "little") == records.masked_crc(b"some bytes")


def test_the_cache_is_used_until_a_shard_changes(shards, monkeypatch):
    first = records.load_index(shards)
    with monkeypatch.context() as patch:
        patch.setattr(records, "build_index", lambda _: pytest.fail("built again"))
        second = records.load_index(shards)
    for field in ("shard", "offset", "length", "ids", "class_id"):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))

    extra = next(iter(tf.data.TFRecordDataset([str(shards[0])]))).numpy()
    with tf.io.TFRecordWriter(str(shards[0])) as writer:
        writer.write(extra)
    assert len(records.load_index(shards)) == 25


def test_a_damaged_cache_is_built_again(shards):
    records.load_index(shards)
    (cache,) = shards[0].parent.glob(".*.index.npz")
    cache.write_bytes(cache.read_bytes()[:200])
    assert len(records.load_index(shards)) == 48


def test_a_flipped_bit_is_named_when_indexing_and_when_reading(shards):
    index = records.load_index(shards)
    position = int(index.offset[3]) + 20
    with open(shards[0], "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 4]))

    reader = records.RecordReader(index)
    assert len(reader(np.array([2, 4]))) == 2
    with pytest.raises(
        UserError, match=rf"{shards[0].name}.*recipe {index.ids[3].decode()}: record with a wrong checksum"
    ):
        reader(np.array([3]))
    with pytest.raises(UserError, match=f"byte {index.offset[3] - records.HEADER_BYTES}: record with a wrong checksum"):
        records.build_index(shards)


@pytest.mark.parametrize("cut", [1, 3, 5, 200])
def test_a_shard_that_was_cut_off_is_named(shards, cut):
    os.truncate(shards[1], shards[1].stat().st_size - cut)
    with pytest.raises(UserError, match=rf"{shards[1].name}, byte \d+: the file ends inside a record"):
        records.load_index(shards)
