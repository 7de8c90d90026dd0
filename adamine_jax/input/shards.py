"""TFRecord files as they lie on the disk: each record's place, checksum and what the index keeps of it."""

import dataclasses
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

import google_crc32c
import tqdm

from adamine_jax.input.damage import Damage, DamagedRecord
from adamine_jax.input.examples import DecodeError, features_of

HEADER_BYTES = 12
"""uint64 length of the payload and the masked CRC-32C of these 8 bytes; 4 bytes of payload CRC follow it."""
FOOTER_BYTES = 4
MOST_CLASSES = 2**31 - 1
"""A batch has classes as int32."""


class Row(NamedTuple):
    """What the index keeps of a record.

    Attributes:
        offset: first byte of its payload.
        length: bytes of its payload.
        id: of the recipe.
        class_id: None where the record has no such field.
        photo_ids: of its photos; empty ones where it has none.
    """

    offset: int
    length: int
    id: bytes
    class_id: int | None
    photo_ids: list[bytes]


@dataclasses.dataclass
class Scanned:
    """A shard that was read from its beginning to its end.

    Attributes:
        rows: of its records, in order.
        left_out: (first byte, reason) of the damaged ones that have no row.
    """

    rows: list[Row] = dataclasses.field(default_factory=list)
    left_out: list[tuple[int, str]] = dataclasses.field(default_factory=list)


def scan(path: Path, earlier: Mapping[int, Row], damage: Damage) -> Scanned:
    """Reads every record of a shard.

    A damaged record is reported. It has the row of the earlier index where there is one, so that the record numbers
    of a training that goes on stay what they were, and none where there is not. A header that is damaged and an end
    that is missing lose the place of all that follows: only the earlier index still knows it.

    Args:
        path: the TFRecord file.
        earlier: rows of an earlier index of the same shard, by their offset.
        damage: takes the damaged records.

    Raises:
        UserError: too many records are damaged, or places are lost that no earlier index knows.
    """
    scanned = Scanned()
    start = 0
    with open(path, "rb") as file:
        while header := file.read(HEADER_BYTES):
            offset = start + HEADER_BYTES
            known = earlier.get(offset)
            if len(header) == HEADER_BYTES and masked_crc(header[:8]) == struct.unpack("<I", header[8:])[0]:
                length = struct.unpack("<Q", header[:8])[0]
            elif known is not None:
                _note(f"{path}, byte {start}: damaged TFRecord header; an earlier index tells where the record lies")
                length = known.length
            else:
                lost = DamagedRecord(path, start, b"", "damaged TFRecord header")
                if not (rest := _from(offset, earlier)):
                    raise lost
                damage.report(lost)
                scanned.left_out.append((start, lost.reason))
                start = file.seek(rest[0].offset - HEADER_BYTES)
                continue
            try:
                row = _read_row(file, path, start, length)
            except EOFError:
                if not (rest := _from(offset, earlier)):
                    raise DamagedRecord(path, start, b"", "the file ends inside a record") from None
                _note(f"{path}, byte {start}: the file ends inside a record; an earlier index knows {len(rest)} more")
                scanned.rows += rest
                break
            except DamagedRecord as damaged:
                if known is not None and known.length == length:
                    damage.report(DamagedRecord(path, start, known.id, damaged.reason))
                    scanned.rows.append(known)
                else:
                    damage.report(damaged)
                    scanned.left_out.append((start, damaged.reason))
            else:
                if known is not None and (known.length, known.id) != (length, row.id):
                    earlier = {}  # of other files with these names
                scanned.rows.append(row)
            start = file.seek(offset + length + FOOTER_BYTES)  # a read that failed stopped somewhere
    return scanned


def _from(offset: int, rows: Mapping[int, Row]) -> list[Row]:
    """The rows from an offset on, in order."""
    return [row for place, row in sorted(rows.items()) if place >= offset]


def _read_row(file: BinaryIO, path: Path, start: int, length: int) -> Row:
    """Reads the record whose header ends here.

    Raises:
        EOFError: the file ends before it does.
        DamagedRecord: its payload is not what was written, or no recipe.
    """
    try:
        payload, footer = file.read(length), file.read(FOOTER_BYTES)
    except OSError as error:  # a bad place on the disk
        raise DamagedRecord(path, start, b"", f"cannot be read ({error.strerror})") from None
    if len(payload) < length or len(footer) < FOOTER_BYTES:
        raise EOFError
    if reason := fault(payload, footer, length):
        raise DamagedRecord(path, start, b"", reason)
    try:
        example = features_of(payload)
        identifier = example["id"].bytes_list.value[0]
    except (DecodeError, IndexError):
        raise DamagedRecord(path, start, b"", "not the record of a recipe") from None
    labels = example["class_id"].int64_list.value
    if labels and abs(labels[0]) > MOST_CLASSES:
        raise DamagedRecord(path, start, b"", "not the record of a recipe")
    photos, photo_ids = len(example["images"].bytes_list.value), list(example["image_ids"].bytes_list.value)
    if len(photo_ids) != photos:
        photo_ids = [b""] * photos
    return Row(start + HEADER_BYTES, length, identifier, labels[0] if labels else None, photo_ids)


def fault(payload: bytes, footer: bytes, length: int) -> str:
    """What is wrong with a record of `length` bytes, by its checksum; empty where nothing is."""
    if len(payload) < length or len(footer) < FOOTER_BYTES:
        return "the file ends inside a record"
    return "" if masked_crc(payload) == struct.unpack("<I", footer)[0] else "record with a wrong checksum"


def masked_crc(payload: bytes) -> int:
    """TFRecord's checksum: CRC-32C rotated right by 15 bits, plus a constant."""
    crc = google_crc32c.value(payload)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _note(line: str) -> None:
    tqdm.tqdm.write(line, file=sys.stderr)
    sys.stderr.flush()
