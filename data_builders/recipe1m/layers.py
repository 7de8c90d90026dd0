"""The three layers of a download, joined by id into recipes.

`layer1.json` leads: its records are read one by one, in its order. `layer2.json` (photos; `layer2+.json` in Recipe1M+)
and `det_ingrs.json` (detected ingredient names) may be in any order; an index of where each record stands is made
first.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adamine_jax.errors import UserError
from data_builders.recipe1m.json_array import ArrayIndex, read_array

PARTITIONS = ("train", "val", "test")

RECIPE_ID = re.compile(r"[0-9a-fA-F]{10}")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One usable record of layer 1 with what the other two layers say about it; all texts are as they were written.

    Attributes:
        id: 10 hex digits.
        partition: "train", "val" or "test".
        ingredients, instructions: the raw lines.
        names: detected ingredient names, empty when det_ingrs.json does not know the recipe.
        valid: for each name, whether the detector was sure.
        images: what layer 2 lists as image ids, in its order and unchecked.
    """

    id: str
    title: str
    url: str
    partition: str
    ingredients: list[str]
    instructions: list[str]
    names: list[str]
    valid: list[bool]
    images: list[Any]


@dataclass(frozen=True, slots=True)
class Unusable:
    """A well-formed record of layer 1 that is no usable recipe.

    Attributes:
        name: what to call it in a report.
        partition: as the record says, or "unknown".
        reason: why it cannot be used.
    """

    name: str
    partition: str
    reason: str


class _BadField(Exception):
    """Carries the reason why a record cannot be used."""


class Layers:
    """The text of a download.

    Args:
        source: the folder that holds layer1.json, layer2.json or else layer2+.json, and det_ingrs.json.

    Attributes:
        notes: what is odd about layer 2 and det_ingrs.json, each a sentence.

    Raises:
        UserError: a file is missing, or is not a JSON list.
    """

    FILES = ("layer1.json", "layer2.json", "det_ingrs.json")
    PLUS = "layer2+.json"

    def __init__(self, source: Path):
        self.check_files(source)
        self._layer1, layer2, detected = self.files(source)
        self._layer2 = layer2.name
        with contextlib.ExitStack() as files:
            self._photos = files.enter_context(contextlib.closing(ArrayIndex(layer2, _key)))
            self._names = files.enter_context(contextlib.closing(ArrayIndex(detected, _key)))
            self._files = files.pop_all()
        self.notes = []
        if self._layer2 != self.PLUS and (source / self.PLUS).is_file():
            self.notes.append(f"{self._layer2} was read and {self.PLUS} not; take the former away to use the latter")
        for name, index in ((self._layer2, self._photos), (detected.name, self._names)):
            if index.unusable:
                self.notes.append(f"{name}: {index.unusable} records without a usable id were passed over")
            if index.repeated:
                self.notes.append(f"{name}: {index.repeated} records repeat an earlier id; the first of each is used")

    @classmethod
    def files(cls, source: Path) -> list[Path]:
        """The three files of a download; the second is Recipe1M+'s where only that is there."""
        layer1, layer2, detected = (source / name for name in cls.FILES)
        plus = source / cls.PLUS
        return [layer1, plus if plus.is_file() and not layer2.is_file() else layer2, detected]

    @classmethod
    def check_files(cls, source: Path) -> None:
        """Raises a `UserError` unless `source` is a folder that holds the three files."""
        if not source.is_dir():
            raise UserError(f"--source {source}: there is no such folder; give the folder that holds layer1.json")
        for path in cls.files(source):
            if not path.is_file():
                layout = f"{', '.join(cls.FILES)} and images/ (Recipe1M+: {cls.PLUS})"
                raise UserError(f"{path} is missing; a download has {layout}")

    def records(self) -> Iterator[Recipe | Unusable]:
        """Yields what each record of layer 1 is, in order.

        Raises:
            UserError: layer 1 is not a JSON list, or is an empty one.
        """
        seen: set[int] = set()
        number = 0
        for number, (offset, _, value) in enumerate(read_array(self._layer1), start=1):
            try:
                recipe = self._join(value)
                if (key := int(recipe.id, 16)) in seen:
                    raise _BadField("id appears a second time")
                seen.add(key)
                yield recipe
            except _BadField as problem:
                yield Unusable(_describe(value, number, offset), _partition(value), str(problem))
        if not number:
            raise UserError(f"{self._layer1}: the list is empty; it should hold the recipes")

    def close(self) -> None:
        """Closes the files."""
        self._files.close()

    def _join(self, record: Any) -> Recipe:
        if not isinstance(record, dict):
            raise _BadField("the record is not an object")
        key = _key(record)
        if key is None:
            raise _BadField("id is not 10 hex digits")
        if _partition(record) == "unknown":
            raise _BadField("partition is not train, val or test")
        title, url, ingredients, instructions = _texts_of(record)
        names, valid, images = [], [], []
        if (detected := self._names.find(key)) is not None:
            names = _texts(detected.get("ingredients"), "det_ingrs.json: ingredients are not a list of texts")
            valid = detected.get("valid")
            if not isinstance(valid, list) or not all(isinstance(flag, bool) for flag in valid):
                raise _BadField("det_ingrs.json: valid is not a list of true and false")
            if len(valid) != len(names):
                raise _BadField("det_ingrs.json: valid and ingredients differ in length")
        if (listed := self._photos.find(key)) is not None:
            photos = listed.get("images")
            if not isinstance(photos, list):
                raise _BadField(f"{self._layer2}: images are not a list")
            images = [photo.get("id") if isinstance(photo, dict) else photo for photo in photos]
        return Recipe(record["id"], title, url, record["partition"], ingredients, instructions, names, valid, images)


def text_index(path: Path) -> ArrayIndex:
    """Finds records of layer 1 by their id, read as a number; `raw_texts` has what they say."""
    return ArrayIndex(path, _key)


def raw_texts(record: Any) -> tuple[str, str, list[str], list[str]] | None:
    """Title, link, ingredient lines and instructions of a record of layer 1; None where one of them is no text."""
    try:
        return _texts_of(record)
    except _BadField:
        return None


def _texts_of(record: dict[str, Any]) -> tuple[str, str, list[str], list[str]]:
    # A recipe without its link is as good as any; a link that is not text says that something went wrong.
    return (
        _text(record.get("title"), "title is not text"),
        _text(record.get("url", ""), "url is not text"),
        _texts(record.get("ingredients"), "ingredients are not a list of texts"),
        _texts(record.get("instructions"), "instructions are not a list of texts"),
    )


def _key(record: Any) -> int | None:
    """The id of a record as a number, None when it has no usable one."""
    text = record.get("id") if isinstance(record, dict) else None
    return int(text, 16) if isinstance(text, str) and RECIPE_ID.fullmatch(text) else None


def _partition(record: Any) -> str:
    partition = record.get("partition") if isinstance(record, dict) else None
    return partition if isinstance(partition, str) and partition in PARTITIONS else "unknown"


def _text(value: Any, reason: str) -> str:
    if not isinstance(value, str):
        raise _BadField(reason)
    # Half of an escaped surrogate pair is valid JSON but no Unicode text, and could not be stored.
    return value if value.isascii() else _LONE_SURROGATE.sub("\ufffd", value)


def _texts(value: Any, reason: str) -> list[str]:
    if not isinstance(value, list):
        raise _BadField(reason)
    return [_text(line.get("text") if isinstance(line, dict) else None, reason) for line in value]


def _describe(record: Any, number: int, offset: int) -> str:
    title = record.get("title") if isinstance(record, dict) else None
    identity = record.get("id") if isinstance(record, dict) else None
    words = [repr(part) for part in (identity, title) if isinstance(part, str)]
    return " ".join([f"record {number} (byte {offset})", *words])
