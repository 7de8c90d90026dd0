"""Reads TFRecord files and the `tf.train.Example`s in them without TensorFlow, whose import takes seconds.

The protocol buffer messages have the fields of TensorFlow's example.proto and feature.proto, which cannot change
without breaking stored TFRecords. They are declared here because the generated modules come only with TensorFlow.
"""

import dataclasses
import struct
from pathlib import Path
from typing import NamedTuple

import google_crc32c
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError as DecodeError
from google.protobuf.message import Message

from adamine_jax.base import storage
from adamine_jax.input.damage import DamagedRecord

HEADER_BYTES = 12
"""uint64 length of the payload and the masked CRC-32C of these 8 bytes. The payload and its 4-byte CRC follow."""
FOOTER_BYTES = 4
MAX_CLASS_ID = 2**31 - 1
"""Batches store classes as int32."""
NOT_A_RECIPE = "not the record of a recipe"
TRUNCATED = "the file ends inside a record"

_Field = descriptor_pb2.FieldDescriptorProto


class Row(NamedTuple):
    """The index entry of a record.

    Attributes:
        offset: First byte of the payload.
        length: Length of the payload in bytes.
        id: Id of the recipe.
        class_id: Class of the recipe; None if the record has no such field.
        photo_ids: Ids of the photos; empty strings if the record does not have them.
    """

    offset: int
    length: int
    id: bytes
    class_id: int | None
    photo_ids: list[bytes]


@dataclasses.dataclass
class Scanned:
    """The records of a shard.

    Attributes:
        rows: Index entries in order.
        left_out: (first byte, reason) of each damaged record, which has no index entry.
    """

    rows: list[Row] = dataclasses.field(default_factory=list)
    left_out: list[tuple[int, str]] = dataclasses.field(default_factory=list)


def scan(path: Path) -> Scanned:
    """Reads every record of a shard and checks it.

    Raises:
        DamagedRecord: A header is damaged or the file is truncated, which hides the positions of all records after it.
    """
    scanned, start = Scanned(), 0
    with storage.open_binary(path) as file:
        while header := file.read(HEADER_BYTES):
            length = payload_length(header)
            if length is None:
                raise DamagedRecord(path, start, b"", "damaged TFRecord header")
            try:
                payload, footer = file.read(length), file.read(FOOTER_BYTES)
                reason = fault(payload, footer, length)
            except OSError as error:  # a bad sector
                payload, reason = b"", f"cannot be read ({error.strerror})"
            if reason == TRUNCATED:
                raise DamagedRecord(path, start, b"", reason)
            row = None if reason else parse_row(payload, start + HEADER_BYTES)
            if row is not None:
                scanned.rows.append(row)
            else:
                scanned.left_out.append((start, reason or NOT_A_RECIPE))
            start = file.seek(
                start + HEADER_BYTES + length + FOOTER_BYTES
            )  # the position after a failed read is undefined
    return scanned


def payload_length(header: bytes) -> int | None:
    """Returns the length of the payload that a record's header gives; None if the header is damaged."""
    if len(header) < HEADER_BYTES or masked_crc(header[:8]) != struct.unpack("<I", header[8:])[0]:
        return None
    return struct.unpack("<Q", header[:8])[0]


def parse_row(payload: bytes, offset: int) -> Row | None:
    """Returns the index entry of a payload at this offset; None if it is not the record of a recipe."""
    try:
        example = parse_example(payload)
        identifier = example["id"].bytes_list.value[0]
    except (DecodeError, IndexError):
        return None
    labels = example["class_id"].int64_list.value
    if labels and abs(labels[0]) > MAX_CLASS_ID:
        return None
    photos, photo_ids = len(example["images"].bytes_list.value), list(example["image_ids"].bytes_list.value)
    if len(photo_ids) != photos:
        photo_ids = [b""] * photos
    return Row(offset, len(payload), identifier, labels[0] if labels else None, photo_ids)


def fault(payload: bytes, footer: bytes, length: int) -> str:
    """Returns what is wrong with a record whose payload should have `length` bytes; empty if nothing is."""
    if len(payload) < length or len(footer) < FOOTER_BYTES:
        return TRUNCATED
    return "" if masked_crc(payload) == struct.unpack("<I", footer)[0] else "record with a wrong checksum"


def masked_crc(payload: bytes) -> int:
    """Computes TFRecord's checksum: CRC-32C rotated right by 15 bits, plus a constant."""
    crc = google_crc32c.value(payload)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def parse_example(payload: bytes) -> dict[str, Message]:
    """Parses a record into its fields.

    Each value is a `Feature` with the fields `bytes_list.value` and `int64_list.value`, empty if the feature is of
    another type. A missing name gives an empty feature.

    Raises:
        DecodeError: The payload is not a `tf.train.Example`.
    """
    return _Example.FromString(payload).features.feature


def _declare_example() -> type[Message]:
    file = descriptor_pb2.FileDescriptorProto(name="adamine_jax/example.proto", package="adamine_jax", syntax="proto3")

    def message(name: str, *fields: _Field) -> descriptor_pb2.DescriptorProto:
        return file.message_type.add(name=name, field=fields)

    def field(name: str, number: int, kind: str | int, label: int = _Field.LABEL_OPTIONAL, **more) -> _Field:
        if isinstance(kind, str):
            more |= {"type_name": f".adamine_jax.{kind}", "type": _Field.TYPE_MESSAGE}
        else:
            more |= {"type": kind}
        return _Field(name=name, number=number, label=label, **more)

    lists = {"BytesList": _Field.TYPE_BYTES, "FloatList": _Field.TYPE_FLOAT, "Int64List": _Field.TYPE_INT64}
    for name, kind in lists.items():
        message(name, field("value", 1, kind, _Field.LABEL_REPEATED))
    kinds = (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List"))
    feature = message("Feature", *(field(name, at, kind, oneof_index=0) for at, (name, kind) in enumerate(kinds, 1)))
    feature.oneof_decl.add(name="kind")
    features = message("Features", field("feature", 1, "Features.FeatureEntry", _Field.LABEL_REPEATED))
    entry = features.nested_type.add(
        name="FeatureEntry", field=[field("key", 1, _Field.TYPE_STRING), field("value", 2, "Feature")]
    )
    entry.options.map_entry = True
    message("Example", field("features", 1, "Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("adamine_jax.Example"))


_Example = _declare_example()
