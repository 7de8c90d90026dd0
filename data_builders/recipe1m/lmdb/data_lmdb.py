"""Reads `data_lmdb`, the form of Recipe1M that AdaMine's published code reads.

`data_lmdb/{train,val,test}/<name>.lmdb` are LMDB environments. Keys are pickled numbers 0, 1, ..., values are pickles:

    ids, classes         recipe id; class, counted from 1
    ingrs                ingredient ids of the word table, terminated by the end mark (1) and padded with 0
    rlens, rbps          number of sentences; row of the first sentence in `stvecs`, counted from 1
    numims, impos        number of photos; their positions in `imnames` and `ims`, counted from 1
    stvecs               sentence vector, by row
    imnames, ims         path of a photo and the photo itself, by position
"""

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.words import END_ID
from data_builders.recipe1m import sentences
from data_builders.recipe1m.legacy import unpickling
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
    """A photo of the database.

    Attributes:
        id: File name, or "place N" if the name is missing.
        pickled: Pickle of the image, or None if it is missing.
        problem: Reason why `pickled` is None.
    """

    id: str
    pickled: bytes | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class StoredRecipe:
    """A recipe of the database.

    Attributes:
        id: 10 hexadecimal digits.
        class_id: Class; 0 is the background.
        ingredient_ids: Ingredient ids, terminated by `END_ID`.
        sentences: Number of sentences of the instructions.
        listed: Number of photos.
        photos: The first photos.
    """

    id: str
    class_id: int
    ingredient_ids: list[int]
    sentences: int
    listed: int
    photos: list[StoredPhoto]


def folders(source: Path) -> dict[str, Path]:
    """Returns the folder of each existing partition; raises a `UserError` if none exists."""
    paths = {name: source / FOLDER / name for name in PARTITIONS}
    found = {name: path for name, path in paths.items() if path.is_dir()}
    if not found:
        raise UserError(f"{source / FOLDER}: contains none of the folders {', '.join(PARTITIONS)}")
    return found


@contextmanager
def open_partition(folder: Path, names: tuple[str, ...]) -> Generator["Partition"]:
    """Opens the databases `names` of a partition's folder; raises the errors of `Environment`."""
    with ExitStack() as stack:
        yield Partition({name: stack.enter_context(closing(Environment(folder, name))) for name in names})


class Partition(dict[str, Environment]):
    """The open databases of a partition, by name."""

    def recipes(self, partition: str, max_photos: int) -> Iterator[StoredRecipe | Unusable]:
        """Yields the recipes with their first photos; `partition` is reported with unusable records."""
        for number in range(len(self["ids"])):
            name = f"record {number}"
            try:
                name = f"{name} {(identity := self['ids'].text(number))!r}"
                yield self._recipe(number, identity, max_photos)
            except BadValueError as error:
                yield Unusable(name, partition, str(error))

    def sentences(self, length: int) -> Iterator[Sentences]:
        """Yields the sentence vectors, of this length, of the recipes in the order of their numbers."""
        for number in range(len(self["ids"])):
            identity = ""
            try:
                identity = self["ids"].text(number)
                first, count = self["rbps"].integer(number, 1) - 1, self["rlens"].integer(number, 0)
                if count > sentences.MAX_SENTENCES:
                    yield Sentences(identity, None, sentences.TOO_MANY)
                    continue
                vectors = [self.vector(row) for row in range(first, first + count)]
                if any(len(vector) != length for vector in vectors):
                    raise BadValueError(f"stvecs: a vector's length is not {length}")
                yield Sentences(identity, np.array(vectors).reshape(count, length))
            except BadValueError as error:
                yield Sentences(identity, None, f"recipes that cannot be read: {error}")

    def length(self) -> int:
        """Returns the length of the first readable vector, or 0."""
        for row in range(len(self["stvecs"])):
            with suppress(BadValueError):
                return len(self.vector(row))
        return 0

    def vector(self, row: int) -> np.ndarray:
        """Returns the (D,) vector of a sentence."""
        value = self["stvecs"].value(row)
        if not isinstance(value, unpickling.Array) or value.values.dtype.kind != "f":
            raise BadValueError("stvecs: not a vector of floating-point numbers")
        return value.values.reshape(-1)

    def _recipe(self, number: int, identity: str, max_photos: int) -> StoredRecipe:
        if not RECIPE_ID.fullmatch(identity):
            raise BadValueError("id is not 10 hex digits")
        ingredient_ids = self["ingrs"].integers(number)
        while ingredient_ids and not ingredient_ids[-1]:
            ingredient_ids.pop()
        if not ingredient_ids or ingredient_ids[-1] != END_ID or min(ingredient_ids) < END_ID:
            raise BadValueError(f"ingrs: not ingredient ids terminated by the end mark {END_ID}")
        listed = self["numims"].integer(number, 0)
        positions = self["impos"].integers(number)[:listed]
        if len(positions) < listed:
            raise BadValueError("impos: fewer positions than numims")
        return StoredRecipe(
            identity,
            self["classes"].integer(number, 1) - 1,
            ingredient_ids,
            self["rlens"].integer(number, 0),
            listed,
            [self._photo(position) for position in positions[:max_photos]],
        )

    def _photo(self, position: int) -> StoredPhoto:
        name = f"place {position}"
        try:
            if position < 1:
                raise BadValueError("impos: a position below 1")
            name = self["imnames"].text(position - 1).rpartition("/")[2]
            if not IMAGE_ID.fullmatch(name):
                raise BadValueError("imnames: the file name is not 10 hex digits and .jpg")
            return StoredPhoto(name, self["ims"].pickled(position - 1))
        except BadValueError as error:
            return StoredPhoto(name, None, str(error))


class StoredVectors:
    """The sentence vectors of the `data_lmdb` in a folder, as a `sentences.Source`."""

    def __init__(self, source: Path):
        self._folders = folders(source)
        self.recipes, self.rows, self.length = {}, 0, 0
        for name, folder in self._folders.items():
            with open_partition(folder, SENTENCES) as stored:
                self.recipes[name] = len(stored["ids"])
                self.rows += len(stored["stvecs"])
                self.length = self.length or stored.length()
        if not self.length:
            raise UserError(f"{source / FOLDER}: no stvecs.lmdb contains a readable vector")

    def read(self, partition: str) -> Iterator[Sentences]:
        """Yields the recipes of a partition in the order of their numbers."""
        with open_partition(self._folders[partition], SENTENCES) as stored:
            yield from stored.sentences(self.length)
