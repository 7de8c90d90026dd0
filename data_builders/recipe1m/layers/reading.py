"""Reads the three layers of a download and joins them by id into recipes.

The records of `layer1.json` are read block by block, in order. `layer2.json` (photos; `layer2+.json` in Recipe1M+) and
`det_ingrs.json` (detected ingredient names) are indexed first and may be in any order.
"""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.json_array import Element
from data_builders.file_errors import file_exists
from data_builders.recipe1m.layers import fields as layer_fields
from data_builders.recipe1m.layers.fields import BadField
from data_builders.recipe1m.layers.json_blocks import (
    BAD_JSON,
    BLOCK_BYTES,
    Block,
    read_block,
    read_blocks,
    read_text,
)
from data_builders.recipe1m.layers.json_index import ArrayIndex
from data_builders.recipe1m.recipes import NO_ID, Recipe, Unusable, id_numbers

T = TypeVar("T", bound=Any)


class Layers:
    """The text of a download; can be pickled.

    Args:
        source: Folder that contains layer1.json, layer2.json or else layer2+.json, and det_ingrs.json.
        folder: Folder for the indices of layer 2 and det_ingrs.json. None keeps them in memory.
        run: Function that reads the blocks, see `ArrayIndex`.

    Attributes:
        blocks: Blocks of layer 1.
        notes: Irregularities of layer 2 and det_ingrs.json, each as a sentence.

    Raises:
        UserError: A file is missing or is not a JSON list, or layer 1 is empty.
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
        dividing = run(functools.partial(_blocks, BLOCK_BYTES), [self._layer1])  # in parallel with the indexing
        self.notes = []
        self._layer2 = layer2.name
        if self._layer2 != self.PLUS and (source / self.PLUS).is_file():
            self.notes.append(f"{self._layer2} was read and {self.PLUS} was not; remove the former to use the latter")
        self._listed, self._detected = (
            ArrayIndex(path, folder / f"{path.name}.npy" if folder else None, run) for path in (layer2, detected)
        )
        for path, index in ((layer2, self._listed), (detected, self._detected)):
            if index.unusable:
                self.notes.append(f"{path.name}: {index.unusable} records without a valid id were skipped")
            if index.repeated:
                self.notes.append(
                    f"{path.name}: {index.repeated} records repeat an earlier id; the first record with an id is used"
                )
        (self.blocks,) = dividing
        if not self.blocks:
            raise UserError(f"{self._layer1}: the list of recipes is empty")

    @classmethod
    def files(cls, source: Path) -> list[Path]:
        """Returns the three files of a download; the second is `layer2+.json` if only that exists."""
        layer1, layer2, detected = (source / name for name in cls.FILES)
        plus = source / cls.PLUS
        return [layer1, plus if plus.is_file() and not layer2.is_file() else layer2, detected]

    @classmethod
    def check_files(cls, source: Path) -> None:
        """Raises a `UserError` unless `source` is a folder that contains the three files."""
        if not source.is_dir():
            raise UserError(f"--source {source}: no such folder; give the folder that contains layer1.json")
        for path in cls.files(source):
            if not file_exists(path):
                layout = f"{', '.join(cls.FILES)} and images/ (Recipe1M+: {cls.PLUS})"
                raise UserError(f"{path} is missing; a download contains {layout}")

    def read(self, block: Block, judge: Callable[[Recipe], T | None] = lambda _: None) -> list[Recipe | Unusable | T]:
        """Reads the records of a block of layer 1. Repeated ids are not checked, see `SeenIds`.

        Args:
            block: One of `blocks`.
            judge: Function that is called with each recipe before its names are read. If it returns a value other than
                None, this value replaces the recipe, and the names are not read.
        """
        values = self._values(block)
        numbers = id_numbers(layer_fields.ids_of(values))
        results: list[Any] = [None] * len(values)
        without_names: list[int] = []
        problems: dict[int, str] = {}
        for place, listed in enumerate(_find(self._listed, numbers, layer_fields.LISTED)):
            try:
                recipe = self._recipe(values[place], numbers[place] != NO_ID, listed)
                results[place] = judge(recipe)
                if results[place] is None:
                    results[place] = recipe
                    without_names.append(place)
            except BadField as problem:
                problems[place] = str(problem)
        detected = _find(self._detected, numbers[without_names], layer_fields.DETECTED)
        for place, record in zip(without_names, detected, strict=True):
            try:
                if record is not None:
                    names, valid = layer_fields.names_of(record)
                    results[place] = results[place]._replace(names=names, valid=valid)
            except BadField as problem:
                problems[place] = str(problem)
        if problems:
            records = self._read_block(block)
            for place, reason in problems.items():
                offset, _, record = records[place]
                name = _describe(record, block.number + place, offset)
                results[place] = Unusable(name, layer_fields.partition_of(record), reason)
        return results

    def close(self) -> None:
        """Closes the files."""
        self._listed.close()
        self._detected.close()

    def _values(self, block: Block) -> list[Any]:
        """Returns the records of a block in a form that `layer_fields` accepts."""
        if text := read_text(self._layer1, block):
            with contextlib.suppress(*BAD_JSON):
                return layer_fields.RECORDS.decode(text)
        return [record.value for record in self._read_block(block)]

    def _read_block(self, block: Block) -> list[Element]:
        try:
            return read_block(self._layer1, block)
        except UserError:
            if _stamp(self._layer1) != self._stamp:
                raise UserError(f"{self._layer1} was changed while it was being read; run again") from None
            raise

    def _recipe(self, record: Any, has_id: bool, listed: Any | None) -> Recipe:
        """Returns a recipe without its names."""
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


def _find(index: ArrayIndex, numbers: np.ndarray, decoder: msgspec.json.Decoder) -> list[Any | None]:
    """Returns the records with the given ids in a form that `layer_fields` accepts; None for a missing one."""
    texts = index.find_all(numbers)
    values = iter(layer_fields.decoded([text for text in texts if text is not None], decoder, index.value))
    return [None if text is None else next(values) for text in texts]


class SeenIds:
    """Finds records that repeat the id of an earlier record."""

    def __init__(self):
        self._ids: set[int] = set()

    def mark_repeats(self, records: Sequence[T | Unusable], first: int) -> list[T | Unusable]:
        """Replaces each record that repeats an id by an `Unusable`; `first` is the number of the first one, from 1."""
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
    names = [repr(name) for name in (identity, title) if isinstance(name, str)]
    return " ".join([f"record {number} (byte {offset})", *names])
