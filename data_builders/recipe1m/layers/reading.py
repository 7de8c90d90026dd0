"""The three layers of a download, joined by id into recipes.

`layer1.json` leads: its records are read block by block, in its order. `layer2.json` (photos; `layer2+.json` in
Recipe1M+) and `det_ingrs.json` (detected ingredient names) may be in any order; an index of where each record stands is
made first.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from adamine_jax.base.errors import UserError
from data_builders.file_errors import is_there
from data_builders.recipe1m.layers import fields as layer_fields
from data_builders.recipe1m.layers.fields import BadField
from data_builders.recipe1m.layers.json_array import Placed
from data_builders.recipe1m.layers.json_blocks import BLOCK_BYTES, NO_JSON, Block, read_block, read_blocks, read_text
from data_builders.recipe1m.layers.json_index import ArrayIndex
from data_builders.recipe1m.recipes import NO_ID, Recipe, Unusable, id_numbers

T = TypeVar("T", bound=Any)


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
        run: Callable[[Callable, Iterable], Iterator] = map,
    ):
        self.check_files(source)
        self._layer1, layer2, detected = self.files(source)
        self._stamp = _stamp(self._layer1)
        cutting = run(functools.partial(_blocks, BLOCK_BYTES), [self._layer1])  # while others begin the indices
        self.notes = []
        self._layer2 = layer2.name
        if self._layer2 != self.PLUS and (source / self.PLUS).is_file():
            self.notes.append(f"{self._layer2} was read and {self.PLUS} not; take the former away to use the latter")
        self._listed, self._detected = (
            ArrayIndex(path, folder / f"{path.name}.npy" if folder else None, run) for path in (layer2, detected)
        )
        for path, index in ((layer2, self._listed), (detected, self._detected)):
            if index.unusable:
                self.notes.append(f"{path.name}: {index.unusable} records without a usable id were passed over")
            if index.repeated:
                self.notes.append(
                    f"{path.name}: {index.repeated} records repeat an earlier id; the first of each is used"
                )
        (self.blocks,) = cutting
        if not self.blocks:
            raise UserError(f"{self._layer1}: the list is empty; it should hold the recipes")

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

    def read(self, block: Block, judge: Callable[[Recipe], T | None] = lambda _: None) -> list[Recipe | Unusable | T]:
        """What each record of a block of layer 1 is, but for records that repeat an id, see `Seen`.

        Args:
            block: of `blocks`.
            judge: sees each recipe without its names. What it returns takes the recipe's place, unless it is None: then
                the names are read.
        """
        values = self._values(block)
        numbers = id_numbers(layer_fields.ids_of(values))
        found: list[Any] = []
        wanted: list[int] = []
        problems: dict[int, str] = {}
        for place, photos in enumerate(_found(self._listed, numbers, layer_fields.LISTED)):
            try:
                recipe = self._recipe(values[place], numbers[place] != NO_ID, photos)
                verdict = judge(recipe)
                found.append(recipe if verdict is None else verdict)
                if verdict is None:
                    wanted.append(place)
            except BadField as problem:
                found.append(None)
                problems[place] = str(problem)
        detected = _found(self._detected, numbers[wanted], layer_fields.DETECTED)
        for place, record in zip(wanted, detected, strict=True):
            try:
                if record is not None:
                    names, valid = layer_fields.names_of(record)
                    found[place] = found[place]._replace(names=names, valid=valid)
            except BadField as problem:
                problems[place] = str(problem)
        if problems:
            placed = self._read_block(block)
            for place, reason in problems.items():
                offset, _, record = placed[place]
                name = _describe(record, block.number + place, offset)
                found[place] = Unusable(name, layer_fields.partition_of(record), reason)
        return found

    def close(self) -> None:
        """Closes the files."""
        self._listed.close()
        self._detected.close()

    def _values(self, block: Block) -> list[Any]:
        """The records of a block, as `layer_fields` takes them."""
        if text := read_text(self._layer1, block):
            with contextlib.suppress(*NO_JSON):
                return layer_fields.RECORDS.decode(text)
        return [placed.value for placed in self._read_block(block)]

    def _read_block(self, block: Block) -> list[Placed]:
        try:
            return read_block(self._layer1, block)
        except UserError:
            if _stamp(self._layer1) != self._stamp:
                raise UserError(f"{self._layer1} was changed while it was being read; run again") from None
            raise

    def _recipe(self, record: Any, has_id: bool, listed: Any | None) -> Recipe:
        """A recipe without its names."""
        if not isinstance(record, (layer_fields.Record, dict)):
            raise BadField("the record is not an object")
        if not has_id:
            raise BadField("id is not 10 hex digits")
        partition = layer_fields.partition_of(record)
        if partition == "unknown":
            raise BadField("partition is not train, val or test")
        identity = record.id if isinstance(record, layer_fields.Record) else record["id"]
        title, url, ingredients, instructions = layer_fields.texts_of(record)
        images = [] if listed is None else layer_fields.images_of(listed, self._layer2)
        return Recipe(identity, title, url, partition, ingredients, instructions, [], [], images)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _blocks(block_bytes: int, path: Path) -> list[Block]:
    return list(read_blocks(path, block_bytes))


def _found(index: ArrayIndex, numbers: np.ndarray, decoder: msgspec.json.Decoder) -> list[Any | None]:
    """The records with these ids, as `layer_fields` takes them; None where there is none."""
    texts = index.find_all(numbers)
    values = iter(layer_fields.decoded([text for text in texts if text is not None], decoder, index.value))
    return [None if text is None else next(values) for text in texts]


class Seen:
    """Finds records that repeat the id of an earlier one."""

    def __init__(self):
        self._ids: set[int] = set()

    def check(self, records: Sequence[T | Unusable], first: int) -> list[T | Unusable]:
        """The records, with an `Unusable` for each whose id came before.

        Args:
            records: each one with an id, a title and a partition, or an `Unusable`.
            first: the place of the first of them in layer 1, from 1.
        """
        usable = [(place, record) for place, record in enumerate(records) if not isinstance(record, Unusable)]
        numbers = id_numbers([record.id for _, record in usable]).tolist()
        checked = list(records)
        if len(set(numbers)) < len(numbers) or not self._ids.isdisjoint(numbers):
            for (place, record), number in zip(usable, numbers, strict=True):
                if number in self._ids:
                    name = f"record {first + place} {record.id!r} {record.title!r}"
                    checked[place] = Unusable(name, record.partition, "id appears a second time")
                self._ids.add(number)
        self._ids.update(numbers)
        return checked


def _describe(record: Any, number: int, offset: int) -> str:
    title = record.get("title") if isinstance(record, dict) else None
    identity = record.get("id") if isinstance(record, dict) else None
    words = [repr(part) for part in (identity, title) if isinstance(part, str)]
    return " ".join([f"record {number} (byte {offset})", *words])
