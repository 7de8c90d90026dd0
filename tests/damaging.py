"""Ways to damage the shards of a data set, for the tests of what survives them."""

import os
import struct
from pathlib import Path

import tensorflow as tf

from adamine_jax.input.records import RecordIndex
from adamine_jax.input.shards import HEADER_BYTES, masked_crc


def flip_bit(path: Path, position: int) -> None:
    """Changes a bit of a file, and its time."""
    with open(path, "r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 4]))
    touch(path)


def touch(path: Path) -> None:
    """Gives a file another time, as copying does; two writes may fall into one tick of the clock."""
    time = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(time, time))


def damage_payload(index: RecordIndex, number: int) -> None:
    """Flips a bit in the middle of a record."""
    flip_bit(index.shards[index.shard[number]], int(index.offset[number] + index.length[number] // 2))


def damage_header(index: RecordIndex, number: int) -> None:
    """Flips a bit of a record's length."""
    flip_bit(index.shards[index.shard[number]], int(index.offset[number]) - HEADER_BYTES + 1)


def damage_photo(index: RecordIndex, number: int, photo: int = 0) -> None:
    """Overwrites a photo of a record, whose checksum is right afterwards."""
    path, offset, length = index.shards[index.shard[number]], int(index.offset[number]), int(index.length[number])
    content = bytearray(path.read_bytes())
    payload = bytes(content[offset : offset + length])
    jpeg = tf.train.Example.FromString(payload).features.feature["images"].bytes_list.value[photo]
    payload = payload.replace(jpeg, b"\0" * len(jpeg))
    content[offset : offset + length + 4] = payload + struct.pack("<I", masked_crc(payload))
    path.write_bytes(content)
    touch(path)


def cut_off(index: RecordIndex, number: int) -> None:
    """Ends a shard in the middle of a record."""
    os.truncate(index.shards[index.shard[number]], int(index.offset[number] + index.length[number] // 2))
