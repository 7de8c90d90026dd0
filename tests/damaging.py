"""Functions that damage the shards of a data set."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from adamine_jax.input.record_index import RecordIndex
from adamine_jax.input.tfrecords import HEADER_BYTES, masked_crc


def flip_bit(path: Path, position: int) -> None:
    """Flips a bit of a file and changes its modification time."""
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 4]))
    touch(path)


def touch(path: Path) -> None:
    """Changes the modification time of a file; two writes may have the same time stamp."""
    time = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(time, time))


def damage_payload(index: RecordIndex, number: int) -> None:
    """Flips a bit in the middle of a record."""
    flip_bit(index.shards[index.shard[number]], int(index.offset[number] + index.length[number] // 2))


def damage_header(index: RecordIndex, number: int) -> None:
    """Flips a bit of a record's length."""
    flip_bit(index.shards[index.shard[number]], int(index.offset[number]) - HEADER_BYTES + 1)


def damage_photo(index: RecordIndex, number: int, photo: int = 0) -> None:
    """Overwrites a photo of a record and corrects the checksum."""
    path, offset, length = index.shards[index.shard[number]], int(index.offset[number]), int(index.length[number])
    payload = path.read_bytes()[offset : offset + length]
    jpeg = tf.train.Example.FromString(payload).features.feature["images"].bytes_list.value[photo]
    _replace(index, number, payload.replace(jpeg, b"\0" * len(jpeg)))


def damage_meaning(index: RecordIndex, number: int) -> None:
    """Overwrites a record with bytes that are not a recipe, with a correct checksum."""
    _replace(index, number, b"\xff" * int(index.length[number]))


def cut_off(index: RecordIndex, number: int) -> None:
    """Truncates a shard in the middle of a record."""
    os.truncate(index.shards[index.shard[number]], int(index.offset[number] + index.length[number] // 2))


def rewrite(index: RecordIndex, number: int, change: Callable[[Any], None]) -> None:
    """Rewrites the shard of a record, after `change` has modified the features of the record."""
    shard = index.shards[index.shard[number]]
    payloads = list(tf.data.TFRecordDataset(str(shard)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for example in map(tf.train.Example.FromString, payloads):
            if example.features.feature["id"].bytes_list.value[0] == index.ids[number]:
                change(example.features.feature)
            writer.write(example.SerializeToString())
    touch(shard)


def without_photos(features: Any) -> None:
    """Removes the photos of a record, for `rewrite`."""
    del features["images"].bytes_list.value[:]
    del features["image_ids"].bytes_list.value[:]


def _replace(index: RecordIndex, number: int, payload: bytes) -> None:
    """Replaces a payload by one of the same length, with its checksum."""
    path, offset = index.shards[index.shard[number]], int(index.offset[number])
    content = bytearray(path.read_bytes())
    content[offset : offset + len(payload) + 4] = payload + struct.pack("<I", masked_crc(payload))
    path.write_bytes(content)
    touch(path)
