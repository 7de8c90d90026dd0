"""What a record of each layer says, once it is known to say it in the right form.

Records of the right form are read and checked by `msgspec` in one step, a whole block of them at once, into the classes
below. Where that fails, all of the block are read as plain values, and each is checked here, for the reason that is
told of it. So every function takes either.
"""

import contextlib
import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

import msgspec

from data_builders.recipe1m.layers.json_blocks import NO_JSON, as_list
from data_builders.recipe1m.recipes import PARTITIONS

T = TypeVar("T")

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Line(msgspec.Struct, gc=False):
    """A line of text."""

    text: str


class Record(msgspec.Struct, gc=False):
    """Of layer 1; the id may still be none."""

    id: str
    title: str
    partition: Literal["train", "val", "test"]
    ingredients: list[Line]
    instructions: list[Line]
    url: str = ""


class Image(msgspec.Struct, gc=False):
    """Of a recipe in layer 2."""

    id: str


class Listed(msgspec.Struct, gc=False):
    """Of layer 2."""

    images: list[Image]


class Detected(msgspec.Struct, gc=False):
    """Of det_ingrs.json."""

    ingredients: list[Line]
    valid: list[bool]


RECORDS = msgspec.json.Decoder(list[Record])
LISTED = msgspec.json.Decoder(list[Listed])
DETECTED = msgspec.json.Decoder(list[Detected])


class BadField(Exception):
    """Carries the reason why a record cannot be used."""


def decoded(texts: Sequence[bytes], decoder: msgspec.json.Decoder[list[T]], plain: Callable[[bytes], Any]) -> list[Any]:
    """Values of several JSON texts: all as `decoder` makes them, or else all as `plain` does."""
    with contextlib.suppress(*NO_JSON):
        values = decoder.decode(as_list(b",".join(texts)))
        if len(values) == len(texts):
            return values
    return [plain(text) for text in texts]


def ids_of(records: Sequence[Any]) -> list[Any]:
    """The ids of records of layer 1, or what stands in their place."""
    return [record.id if isinstance(record, Record) else _field(record, "id") for record in records]


def partition_of(record: Any) -> str:
    """The partition of a record of layer 1; "unknown": it has none of the three."""
    partition = record.partition if isinstance(record, Record) else _field(record, "partition")
    return partition if isinstance(partition, str) and partition in PARTITIONS else "unknown"


def texts_of(record: Any) -> tuple[str, str, list[str], list[str]]:
    """Title, link, ingredient lines and instructions of a record of layer 1.

    Raises:
        BadField: one of them is no text.
    """
    if isinstance(record, Record):
        ingredients, instructions = (
            [line.text for line in record.ingredients],
            [line.text for line in record.instructions],
        )
        return record.title, record.url, ingredients, instructions
    # A recipe without its link is as good as any; a link that is not text says that something went wrong.
    return (
        _text(record.get("title"), "title is not text"),
        _text(record.get("url", ""), "url is not text"),
        _texts(record.get("ingredients"), "ingredients are not a list of texts"),
        _texts(record.get("instructions"), "instructions are not a list of texts"),
    )


def raw_texts(record: Any) -> tuple[str, str, list[str], list[str]] | None:
    """`texts_of` a record; None where one of them is no text."""
    try:
        return texts_of(record)
    except BadField:
        return None


def images_of(record: Any, file: str) -> list[str]:
    """The image ids of a record of layer 2, in its order and unchecked, whatever stands there as text.

    Args:
        record: a record.
        file: its name, for messages.

    Raises:
        BadField: there is no list of them.
    """
    if isinstance(record, Listed):
        return [image.id for image in record.images]
    images = record.get("images")
    if not isinstance(images, list):
        raise BadField(f"{file}: images are not a list")
    ids = [image.get("id") if isinstance(image, dict) else image for image in images]
    return [storable(image_id if isinstance(image_id, str) else str(image_id)) for image_id in ids]


def names_of(record: Any) -> tuple[list[str], list[bool]]:
    """The names of a record of det_ingrs.json, and of each whether the detector was sure.

    Raises:
        BadField: something else stands there.
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
    """A text as it can be stored: half of a surrogate pair, which JSON and pickles may hold, becomes U+FFFD."""
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
