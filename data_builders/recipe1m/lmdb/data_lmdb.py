"""`data_lmdb`, the form of Recipe1M that AdaMine's published code read.

`data_lmdb/{train,val,test}/<name>.lmdb` are LMDB environments. A key is a pickled number, 0, 1, ..., a value a pickle:

    ids, classes         a recipe's id, and its class, counted from 1
    ingrs                ids of its ingredients, the end mark (1) last and padded with 0: those of the word table
    rlens, rbps          how many sentences it has, and the row of its first one in `stvecs`, counted from 1
    numims, impos        how many photos it has, and their places, counted from 1
    stvecs               by row: a sentence's vector
    imnames, ims         by place: a photo's path and the photo itself
"""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.words import END_ID
from data_builders.recipe1m import sentences
from data_builders.recipe1m.legacy import vocabulary as legacy
from data_builders.recipe1m.lmdb.environment import BadValueError, Environment
from data_builders.recipe1m.passes.photo_places import IMAGE_ID
from data_builders.recipe1m.recipes import PARTITIONS, RECIPE_ID, Unusable
from data_builders.recipe1m.sentences import Sentences

FOLDER = "data_lmdb"
RECIPES = ("ids", "classes", "ingrs", "rlens", "numims", "impos")
PHOTOS = ("imnames", "ims")
SENTENCES = ("ids", "rlens", "rbps", "stvecs")


@dataclass(frozen=True, slots=True)
class StoredPhoto:
    """A photo as it lies in the database.

    Attributes:
        id: the name of its file; its place in words where it has none.
        pickled: the pickle of the image; None where there is none.
        problem: why not.
    """

    id: str
    pickled: bytes | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class StoredRecipe:
    """A recipe as it lies in the database.

    Attributes:
        id: 10 hex digits.
        class_id: 0 = background.
        ingredient_ids: ending with `END_ID`.
        sentences: how many its instructions have.
        listed: how many photos it has.
        photos: the first of them.
    """

    id: str
    class_id: int
    ingredient_ids: list[int]
    sentences: int
    listed: int
    photos: list[StoredPhoto]


def folders(source: Path) -> dict[str, Path]:
    """Partition -> its folder, of those that are there.

    Raises:
        UserError: none is.
    """
    places = {name: source / FOLDER / name for name in PARTITIONS}
    found = {name: place for name, place in places.items() if place.is_dir()}
    if not found:
        raise UserError(f"{source / FOLDER}: holds none of {', '.join(PARTITIONS)}")
    return found


class Partition:
    """One of the folders, open.

    Args:
        folder: the folder.
        names: of the databases that are wanted.

    Raises:
        UserError: see `Environment`.
    """

    def __init__(self, folder: Path, names: tuple[str, ...]):
        with ExitStack() as opened:
            self._of = {}
            for name in names:
                self._of[name] = Environment(folder, name)
                opened.callback(self._of[name].close)
            self._opened = opened.pop_all()

    def __enter__(self) -> "Partition":
        return self

    def __exit__(self, *_) -> None:
        self._opened.close()

    def __getitem__(self, name: str) -> Environment:
        return self._of[name]

    def __len__(self) -> int:
        """Recipes."""
        return len(self._of["ids"])

    def recipes(self, partition: str, most_photos: int) -> Iterator[StoredRecipe | Unusable]:
        """Yields the recipes in the order of their numbers.

        Args:
            partition: what an unusable record is said to be of.
            most_photos: photos that are read of a recipe.
        """
        for number in range(len(self)):
            name = f"record {number}"
            try:
                name = f"{name} {(identity := self['ids'].text(number))!r}"
                yield self._recipe(number, identity, most_photos)
            except BadValueError as problem:
                yield Unusable(name, partition, str(problem))

    def sentences(self, length: int) -> Iterator[Sentences]:
        """Yields the vectors of the recipes' sentences, of this length, in the order of the recipes' numbers."""
        for number in range(len(self)):
            identity = ""
            try:
                identity = self["ids"].text(number)
                first, count = self["rbps"].whole(number, 1) - 1, self["rlens"].whole(number, 0)
                if count > sentences.MAX_SENTENCES:
                    yield Sentences(identity, None, sentences.TOO_MANY)
                    continue
                vectors = [self.vector(row) for row in range(first, first + count)]
                if any(len(vector) != length for vector in vectors):
                    raise BadValueError(f"stvecs: a vector that has not {length} numbers")
                yield Sentences(identity, np.array(vectors).reshape(count, length))
            except BadValueError as problem:
                yield Sentences(identity, None, f"recipes that cannot be read: {problem}")

    def length(self) -> int:
        """Of the first vector that can be read; 0 where none can."""
        for row in range(len(self["stvecs"])):
            with suppress(BadValueError):
                return len(self.vector(row))
        return 0

    def vector(self, row: int) -> np.ndarray:
        """(D,) of a sentence, as it is stored."""
        value = self["stvecs"].value(row)
        if not isinstance(value, legacy.Array) or value.values.dtype.kind != "f":
            raise BadValueError("stvecs: no vector of floating numbers")
        return value.values.reshape(-1)

    def _recipe(self, number: int, identity: str, most_photos: int) -> StoredRecipe:
        if not RECIPE_ID.fullmatch(identity):
            raise BadValueError("id is not 10 hex digits")
        ingredient_ids = self["ingrs"].wholes(number)
        while ingredient_ids and not ingredient_ids[-1]:
            ingredient_ids.pop()
        if not ingredient_ids or ingredient_ids[-1] != END_ID or min(ingredient_ids) < END_ID:
            raise BadValueError(f"ingrs: not ids of words with {END_ID}, the end mark, behind them")
        listed = self["numims"].whole(number, 0)
        places = self["impos"].wholes(number)[:listed]
        if len(places) < listed:
            raise BadValueError("impos: fewer places than numims says")
        return StoredRecipe(
            identity,
            self["classes"].whole(number, 1) - 1,
            ingredient_ids,
            self["rlens"].whole(number, 0),
            listed,
            [self._photo(place) for place in places[:most_photos]],
        )

    def _photo(self, place: int) -> StoredPhoto:
        name = f"place {place}"
        try:
            if place < 1:
                raise BadValueError("impos: a place below 1")
            name = self["imnames"].text(place - 1).rpartition("/")[2]
            if not IMAGE_ID.fullmatch(name):
                raise BadValueError("imnames: the name of a photo is not 10 hex digits and .jpg")
            return StoredPhoto(name, self["ims"].pickled(place - 1))
        except BadValueError as problem:
            return StoredPhoto(name, None, str(problem))


class StoredVectors:
    """The sentence vectors of `data_lmdb`, as a `sentences.Source`.

    Args:
        source: the folder that holds it.

    Raises:
        UserError: see `Environment`; or there is no vector.
    """

    def __init__(self, source: Path):
        self._folders = folders(source)
        self.recipes, self.rows, self.length = {}, 0, 0
        for name, folder in self._folders.items():
            with Partition(folder, SENTENCES) as stored:
                self.recipes[name] = len(stored)
                self.rows += len(stored["stvecs"])
                self.length = self.length or stored.length()
        if not self.length:
            raise UserError(f"{source / FOLDER}: no stvecs.lmdb has a vector that can be read")

    def read(self, partition: str) -> Iterator[Sentences]:
        """Yields the recipes of a partition in the order of their numbers."""
        with Partition(self._folders[partition], SENTENCES) as stored:
            yield from stored.sentences(self.length)
