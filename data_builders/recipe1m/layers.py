"""The three layers of a download, joined by id into recipes.

`layer1.json` leads: its records are read block by block, in its order. `layer2.json` (photos; `layer2+.json` in
Recipe1M+) and `det_ingrs.json` (detected ingredient names) may be in any order; an index of where each record stands is
made first.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from adamine_jax.errors import UserError
from data_builders.file_errors import is_there
from data_builders.recipe1m.json_blocks import Block, read_block, read_blocks, read_values
from data_builders.recipe1m.json_index import ArrayIndex

T = TypeVar("T")

PARTITIONS = ("train", "val", "test")

RECIPE_ID = re.compile(r"[0-9a-fA-F]{10}")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Recipe(NamedTuple):
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


class Unusable(NamedTuple):
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
    """The text of a download; other processes may be handed it.

    Args:
        source: the folder that holds layer1.json, layer2.json or else layer2+.json, and det_ingrs.json.
        folder: a place to keep where each record stands; None: that is held in memory.
        run: does the reading, see `ArrayIndex`.

    Attributes:
        blocks: the blocks of layer 1.
        notes: what is odd about layer 2 and det_ingrs.json, each a sentence.

    Raises:
        UserError: a file is missing, or is not a JSON list; layer 1 is an empty one.
    """

    FILES = ("layer1.json", "layer2.json", "det_ingrs.json")
    PLUS = "layer2+.json"

    def __init__(
        self,
        source: Path,
        folder: Path | None = None,
        run: Callable[[Callable, Iterable[Block]], Iterator] = map,
    ):
        self.check_files(source)
        self._layer1, layer2, detected = self.files(source)
        self.blocks = list(read_blocks(self._layer1))
        if not self.blocks:
            raise UserError(f"{self._layer1}: the list is empty; it should hold the recipes")
        self.notes = []
        self._layer2 = layer2.name
        if self._layer2 != self.PLUS and (source / self.PLUS).is_file():
            self.notes.append(f"{self._layer2} was read and {self.PLUS} not; take the former away to use the latter")
        self._indices = []
        for path in (layer2, detected):
            name = path.name
            store = folder / f"{name}.npy" if folder else None
            index = ArrayIndex(path, record_key, store, run)
            self._indices.append(index)
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
            if not is_there(path):
                layout = f"{', '.join(cls.FILES)} and images/ (Recipe1M+: {cls.PLUS})"
                raise UserError(f"{path} is missing; a download has {layout}")

    def records(self) -> Iterator[Recipe | Unusable]:
        """Yields what each record of layer 1 is, in order."""
        seen = Seen()
        for block in self.blocks:
            for number, record in enumerate(self.read(block), start=block.number):
                yield seen.check(record, number)

    def read(self, block: Block) -> list[Recipe | Unusable]:
        """What each record of a block of layer 1 is, but for records that repeat an id, see `Seen`."""
        values = read_values(self._layer1, block)
        keys = [record_key(value) for value in values]
        listed, detected = (index.find_all(keys) for index in self._indices)
        found, offsets = [], None
        for place, (value, key) in enumerate(zip(values, keys, strict=True)):
            try:
                found.append(self._join(value, key, detected[place], listed[place]))
            except _BadField as problem:
                offsets = offsets or [placed.offset for placed in read_block(self._layer1, block)]
                name = _describe(value, block.number + place, offsets[place])
                found.append(Unusable(name, _partition(value), str(problem)))
        return found

    def close(self) -> None:
        """Closes the files."""
        for index in self._indices:
            index.close()

    def _join(self, record: Any, key: int | None, detected: Any | None, listed: Any | None) -> Recipe:
        if not isinstance(record, dict):
            raise _BadField("the record is not an object")
        if key is None:
            raise _BadField("id is not 10 hex digits")
        if _partition(record) == "unknown":
            raise _BadField("partition is not train, val or test")
        title, url, ingredients, instructions = _texts_of(record)
        names, valid, images = [], [], []
        if detected is not None:
            names = _texts(detected.get("ingredients"), "det_ingrs.json: ingredients are not a list of texts")
            valid = detected.get("valid")
            if not isinstance(valid, list) or not all(isinstance(flag, bool) for flag in valid):
                raise _BadField("det_ingrs.json: valid is not a list of true and false")
            if len(valid) != len(names):
                raise _BadField("det_ingrs.json: valid and ingredients differ in length")
        if listed is not None:
            photos = listed.get("images")
            if not isinstance(photos, list):
                raise _BadField(f"{self._layer2}: images are not a list")
            images = [photo.get("id") if isinstance(photo, dict) else photo for photo in photos]
        return Recipe(record["id"], title, url, record["partition"], ingredients, instructions, names, valid, images)


class Seen:
    """Finds records that repeat the id of an earlier one."""

    def __init__(self):
        self._ids: set[int] = set()

    def check(self, record: T, number: int) -> T | Unusable:
        """The record itself the first time its id comes.

        Args:
            record: one with an id, a title and a partition, or an `Unusable`.
            number: its place in layer 1, from 1.
        """
        if isinstance(record, Unusable):
            return record
        if (key := int(record.id, 16)) in self._ids:
            name = f"record {number} {record.id!r} {record.title!r}"
            return Unusable(name, record.partition, "id appears a second time")
        self._ids.add(key)
        return record


def text_index(path: Path) -> ArrayIndex:
    """Finds records of layer 1 by their id, read as a number; `raw_texts` has what they say."""
    return ArrayIndex(path, record_key)


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


def record_key(record: Any) -> int | None:
    """The id of a record as a number, None when it has no usable one."""
    text = record.get("id") if isinstance(record, dict) else None
    return int(text, 16) if isinstance(text, str) and RECIPE_ID.fullmatch(text) else None


def _partition(record: Any) -> str:
    partition = record.get("partition") if isinstance(record, dict) else None
    return partition if isinstance(partition, str) and partition in PARTITIONS else "unknown"


def _text(value: Any, reason: str) -> str:
    if not isinstance(value, str):
        raise _BadField(reason)
    return storable(value)


def storable(text: str) -> str:
    """A text as it can be stored: half of a surrogate pair, which JSON and pickles may hold, becomes U+FFFD."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def _texts(value: Any, reason: str) -> list[str]:
    if not isinstance(value, list):
        raise _BadField(reason)
    texts = [line.get("text") if isinstance(line, dict) else None for line in value]
    if not all(isinstance(text, str) for text in texts):
        raise _BadField(reason)
    return [text if text.isascii() else storable(text) for text in texts]


def _describe(record: Any, number: int, offset: int) -> str:
    title = record.get("title") if isinstance(record, dict) else None
    identity = record.get("id") if isinstance(record, dict) else None
    words = [repr(part) for part in (identity, title) if isinstance(part, str)]
    return " ".join([f"record {number} (byte {offset})", *words])
