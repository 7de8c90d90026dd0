"""Reads and checks the fields of the records of each layer.

`msgspec` decodes and checks a whole block of valid records at once, into the classes below. If that fails, the records
of the block are decoded as plain values and checked one at a time here, to find the reason. Hence every function
accepts both forms.
"""

import contextlib
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from data_builders.recipe1m.layers.json_blocks import BAD_JSON, as_list
from data_builders.recipe1m.recipes import PARTITIONS

T = TypeVar("T")

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Line(msgspec.Struct, gc=False):
    """A line of text."""

    text: str


class Record(msgspec.Struct, gc=False):
    """A record of layer 1, whose id is unchecked."""

    id: str
    title: str
    partition: Literal["train", "val", "test"]
    ingredients: list[Line]
    instructions: list[Line]
    url: str = ""


class Image(msgspec.Struct, gc=False):
    """An image of a record of layer 2."""

    id: str


class Listed(msgspec.Struct, gc=False):
    """A record of layer 2."""

    images: list[Image]


class Detected(msgspec.Struct, gc=False):
    """A record of det_ingrs.json."""

    ingredients: list[Line]
    valid: list[bool]


RECORDS = msgspec.json.Decoder(list[Record])
LISTED = msgspec.json.Decoder(list[Listed])
DETECTED = msgspec.json.Decoder(list[Detected])


class BadField(Exception):
    """A record cannot be used; the message is the reason."""


def decoded(texts: Sequence[bytes], decoder: msgspec.json.Decoder[list[T]], plain: Callable[[bytes], Any]) -> list[Any]:
    """Decodes several JSON texts with `decoder` or, if that fails for any of them, all with `plain`."""
    with contextlib.suppress(*BAD_JSON):
        values = decoder.decode(as_list(b",".join(texts)))
        if len(values) == len(texts):
            return values
    return [plain(text) for text in texts]


def ids_of(records: Sequence[Any]) -> list[Any]:
    """Returns the ids of records of layer 1, unchecked."""
    return [record.id if isinstance(record, Record) else _field(record, "id") for record in records]


def partition_of(record: Any) -> str:
    """Returns the partition of a record of layer 1, or "unknown" if it is invalid."""
    partition = record.partition if isinstance(record, Record) else _field(record, "partition")
    return partition if isinstance(partition, str) and partition in PARTITIONS else "unknown"


def texts_of(record: Any) -> tuple[str, str, list[str], list[str]]:
    """Returns the title, link, ingredient lines and instructions of a record of layer 1.

    Raises:
        BadField: One of them is missing or not text; only the link may be missing.
    """
    if isinstance(record, Record):
        ingredients = [line.text for line in record.ingredients]
        return record.title, record.url, ingredients, [line.text for line in record.instructions]
    return (
        _text(record.get("title"), "title is not text"),
        _text(record.get("url", ""), "url is not text"),
        _texts(record.get("ingredients"), "ingredients are not a list of texts"),
        _texts(record.get("instructions"), "instructions are not a list of texts"),
    )


def raw_texts(record: Any) -> tuple[str, str, list[str], list[str]] | None:
    """Returns the same as `texts_of`, or None if a field is invalid."""
    try:
        return texts_of(record)
    except BadField:
        return None


def images_of(record: Any, file: str) -> list[str]:
    """Returns the image ids of a record of layer 2 as text, in order and unchecked.

    Args:
        record: Record of layer 2.
        file: Name of the file, for messages.

    Raises:
        BadField: The images are not a list.
    """
    if isinstance(record, Listed):
        return [image.id for image in record.images]
    images = record.get("images")
    if not isinstance(images, list):
        raise BadField(f"{file}: images are not a list")
    ids = [image.get("id") if isinstance(image, dict) else image for image in images]
    return [storable(image_id if isinstance(image_id, str) else str(image_id)) for image_id in ids]


def names_of(record: Any) -> tuple[list[str], list[bool]]:
    """Returns the names of a record of det_ingrs.json, and whether the detector marked each as valid.

    Raises:
        BadField: One of the two is malformed, or they differ in length.
    """
    if isinstance(record, Detected):
        names, valid = [line.text for line in record.ingredients], record.valid
    else:
        names = _texts(record.get("ingredients"), "det_ingrs.json: ingredients are not a list of texts")
        valid = record.get("valid")
        if not isinstance(valid, list) or not all(isinstance(flag, bool) for flag in valid):
            raise BadField("det_ingrs.json: valid is not a list of true and false")
    if len(valid) != len(names):
        raise BadField("det_ingrs.json: valid and ingredients differ in length")
    return names, valid


def storable(text: str) -> str:
    """Replaces unpaired surrogates, which JSON and pickles may contain but UTF-8 may not, by U+FFFD."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def _field(record: Any, name: str) -> Any:
    return record.get(name) if isinstance(record, dict) else None


def _text(value: Any, reason: str) -> str:
    if not isinstance(value, str):
        raise BadField(reason)
    return storable(value)


def _texts(value: Any, reason: str) -> list[str]:
    if not isinstance(value, list):
        raise BadField(reason)
    texts: list[Any] = [line.get("text") if isinstance(line, dict) else None for line in value]
    if not all(isinstance(text, str) for text in texts):
        raise BadField(reason)
    return [storable(text) for text in texts]
