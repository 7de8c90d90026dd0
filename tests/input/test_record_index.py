"""The record index matches TensorFlow's sequential reader; damaged shards."""

import errno
import os
import shutil
import struct

import numpy as np
import pytest
import tensorflow as tf

from adamine_jax.base import storage
from adamine_jax.base.errors import UserError
from adamine_jax.input import record_index
from adamine_jax.input.damage import Damage, DamagedRecord
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.tfrecords import masked_crc
from tests import damaging


@pytest.fixture
def shards(tiny_data, tmp_path):
    return [shutil.copy(path, tmp_path / path.name) for path in open_dataset(tiny_data).shards("train")]


def test_records_match_a_sequential_reader(shards):
    expected = [record.numpy() for record in tf.data.TFRecordDataset([str(path) for path in shards])]
    index = record_index.load_index(shards)
    assert len(index) == len(expected) == 48

    order = np.random.default_rng(0).permutation(48)
    reader = record_index.RecordReader(index)
    assert [reader.read(number) for number in order] == [expected[number] for number in order]
    for number, payload in enumerate(expected):
        example = tf.train.Example.FromString(payload).features.feature
        assert index.ids[number] == example["id"].bytes_list.value[0]
        assert index.class_id[number] == example["class_id"].int64_list.value[0]
        photo_ids = index.photo_ids[index.first_photo[number] : index.first_photo[number + 1]]
        assert list(photo_ids) == list(example["image_ids"].bytes_list.value)
    assert len(index.photo_ids) == index.first_photo[-1]


def test_the_checksum_matches_the_tfrecord_format(tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "one")) as writer:
        writer.write(b"some bytes")
    written = (tmp_path / "one").read_bytes()
    assert int.from_bytes(written[-4:], "little") == masked_crc(b"some bytes")


def test_the_cache_is_used_until_a_shard_changes(shards, monkeypatch):
    first = record_index.load_index(shards)
    with monkeypatch.context() as patch:
        patch.setattr(record_index, "build_index", lambda *_: pytest.fail("rebuilt"))
        second = record_index.load_index(shards)
    for field in ("shard", "offset", "length", "ids", "class_id"):
        np.testing.assert_array_equal(getattr(first, field), getattr(second, field))

    extra = next(iter(tf.data.TFRecordDataset([str(shards[0])]))).numpy()
    with tf.io.TFRecordWriter(str(shards[0])) as writer:
        writer.write(extra)
    assert len(record_index.load_index(shards)) == 25


def test_a_damaged_cache_is_rebuilt(shards):
    record_index.load_index(shards)
    (cache,) = shards[0].parent.glob(".*.index.npz")
    cache.write_bytes(cache.read_bytes()[:200])
    assert len(record_index.load_index(shards)) == 48


def test_a_damaged_record_is_reported_when_read_and_the_others_are_readable(shards):
    index = record_index.load_index(shards)
    damaging.damage_payload(index, 3)
    reader = record_index.RecordReader(index)
    assert all(reader.read(number) for number in (2, 4))
    where = rf"{shards[0].name}, byte {index.offset[3] - 12}, recipe {index.ids[3].decode()}"
    with pytest.raises(DamagedRecord, match=f"{where}: record with a wrong checksum"):
        reader.read(3)
    reader.close()


def test_a_read_error_is_a_damaged_record(shards, monkeypatch):
    index = record_index.load_index(shards)
    reader = record_index.RecordReader(index)

    def pread(file, length, offset):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(storage.os, "pread", pread)
    with pytest.raises(DamagedRecord, match=r"recipe \w+: cannot be read \(Input/output error\)"):
        reader.read(3)
    reader.close()


@pytest.mark.parametrize("cut", [1, 3, 5, 200])
def test_a_truncated_shard_is_reported(shards, cut):
    os.truncate(shards[1], shards[1].stat().st_size - cut)
    with pytest.raises(UserError, match=rf"{shards[1].name}, byte \d+: the file ends inside a record"):
        record_index.load_index(shards)


def test_a_damaged_header_is_reported(shards):
    damaging.flip_bit(shards[1], 3)
    with pytest.raises(UserError, match=rf"{shards[1].name}, byte 0: damaged TFRecord header"):
        record_index.load_index(shards)


def test_a_new_index_omits_damaged_records_and_every_load_reports_them(shards, capsys):
    whole = record_index.build_index(shards)
    damaging.damage_payload(whole, 3)
    damaging.damage_payload(whole, 30)
    for damage in (Damage(), Damage()):  # built, then read from the cache
        index = record_index.load_index(shards, damage)
        assert list(index.ids) == list(np.delete(whole.ids, [3, 30]))
        assert damage.count == 2
        lines = sorted(capsys.readouterr().err.splitlines())
        for line, number in zip(lines, (3, 30), strict=True):
            place = f"{whole.shards[number // 24]}, byte {whole.offset[number] - 12}"
            assert line.startswith(f"{place}: record with a wrong checksum; skipped, damaged record ")


def test_the_index_omits_payloads_that_are_not_recipes(shards, tmp_path):
    with tf.io.TFRecordWriter(str(tmp_path / "x.tfrecord-00000-of-00001")) as writer:
        reader = record_index.RecordReader(record_index.load_index(shards))
        for payload in (b"some bytes", b"", reader.read(0), reader.read(1)):
            writer.write(payload)
    damage = Damage()
    assert len(record_index.load_index([tmp_path / "x.tfrecord-00000-of-00001"], damage)) == 2
    assert damage.count == 2


def test_a_record_damaged_after_indexing_keeps_its_number(shards, capsys):
    whole = record_index.load_index(shards)
    damaging.damage_payload(whole, 3)
    damage = Damage()
    assert_same(record_index.load_index(shards, damage), whole)
    assert damage.count == 1
    assert f"recipe {whole.ids[3].decode()}: record with a wrong checksum" in capsys.readouterr().err
    # The kept index also identifies later damage.
    damaging.damage_payload(whole, 40)
    assert_same(record_index.load_index(shards), whole)


def test_an_earlier_index_locates_records_after_a_damaged_header(shards):
    whole = record_index.load_index(shards)
    damaging.damage_header(whole, 5)
    damaging.damage_header(whole, 6)
    damaging.damage_payload(whole, 6)
    damage = Damage()
    index = record_index.load_index(shards, damage)
    assert_same(index, whole)
    reader = record_index.RecordReader(index)
    assert reader.read(5)  # without its header
    assert reader.read(7)
    with pytest.raises(DamagedRecord):
        reader.read(6)
    reader.close()
    assert damage.count == 1


def test_records_truncated_after_indexing_keep_their_numbers(shards):
    whole = record_index.load_index(shards)
    damaging.cut_off(whole, 40)
    damage = Damage()
    index = record_index.load_index(shards, damage)
    assert_same(index, whole)
    assert damage.count == 8
    reader = record_index.RecordReader(index)
    assert all(reader.read(number) for number in range(40))
    for number in range(40, 48):
        with pytest.raises(DamagedRecord, match="the file ends inside a record"):
            reader.read(number)
    reader.close()


def test_an_omitted_record_stays_omitted_after_its_header_is_damaged(shards):
    whole = record_index.build_index(shards)
    damaging.damage_payload(whole, 3)
    without = record_index.load_index(shards)
    damaging.damage_header(whole, 3)
    damage = Damage()
    index = record_index.load_index(shards, damage)
    assert list(index.offset) == list(without.offset)
    assert list(index.ids) == list(np.delete(whole.ids, 3))
    assert damage.count == 1


def test_an_index_of_other_recipes_is_not_reused(shards):
    """The files have the same names and sizes but other recipes, one of them damaged."""
    whole = record_index.load_index(shards)
    content = bytearray(shards[0].read_bytes())
    first, length = int(whole.offset[0]), int(whole.length[0])
    payload = bytes(content[first : first + length]).replace(whole.ids[0], b"f" * 10)
    content[first : first + length + 4] = payload + struct.pack("<I", masked_crc(payload))
    shards[0].write_bytes(content)
    damaging.damage_payload(whole, 3)
    index = record_index.load_index(shards)
    assert list(index.ids) == [b"f" * 10, *np.delete(whole.ids, 3)[1:]]


@pytest.mark.parametrize(("limit", "damaged"), [(0, 1), (2, 3)])
def test_exceeding_the_limit_is_a_one_line_error(shards, limit, damaged, capsys):
    index = record_index.build_index(shards)
    for number in range(damaged):
        damaging.damage_payload(index, 2 * number)
    with pytest.raises(UserError, match="record with a wrong checksum") as error:
        record_index.load_index(shards, Damage(limit))
    assert "\n" not in str(error.value)
    assert ("2 other damaged records were skipped before" in str(error.value)) == bool(limit)
    assert len(capsys.readouterr().err.splitlines()) == limit
    assert not list(shards[0].parent.glob(".*.index.npz"))
    if limit:
        damage = Damage(damaged)
        record_index.load_index(shards, damage)
        assert damage.count == damaged


def assert_same(one, other):
    for field in record_index.ARRAYS:
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=field)
