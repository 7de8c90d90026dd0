"""A conversion of `data_lmdb`, whose records are as those of the JSON layers as far as it can be.

A recipe's class and ingredients are those that are stored; its instructions are stored as sentence vectors only, which
are not part of a record (`vectors.py` writes them). Their words are unknown, so `word_ids` is empty and
`sentence_lengths` has a 0 for each sentence: a model of vectors reads neither, one of words would read empty sentences.
Title, link and raw texts are empty without a `layer1.json`. The names of ingredients are the words of their ids.
"""

import contextlib
import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import track
from adamine_jax.recipes import decoding
from adamine_jax.recipes.words import FIRST_WORD_ID
from data_builders.file_errors import file_exists
from data_builders.recipe1m import filters
from data_builders.recipe1m.classes import BACKGROUND
from data_builders.recipe1m.duplicates import content_digest
from data_builders.recipe1m.layers import fields as layer_fields
from data_builders.recipe1m.layers.json_index import ArrayIndex
from data_builders.recipe1m.layers.source_files import classes_file, digests
from data_builders.recipe1m.legacy.vocabulary import load_classes
from data_builders.recipe1m.lmdb import data_lmdb
from data_builders.recipe1m.lmdb import pickles as lmdb_pickles
from data_builders.recipe1m.lmdb.data_lmdb import Partition, StoredPhoto, StoredRecipe
from data_builders.recipe1m.lmdb.environment import environment_file
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.passes import photos
from data_builders.recipe1m.passes.photo_pass import small_files
from data_builders.recipe1m.passes.text_pass import encode
from data_builders.recipe1m.recipes import PARTITIONS, Recipe, Unusable
from data_builders.recipe1m.report.report import Report
from data_builders.recipe1m.spool import Spool
from data_builders.recipe1m.vocabulary import Vocabulary, load_vocabulary

# Where no file says how many there are: a damaged number may say anything. Recipe1M has 1,048.
_MOST_CLASSES = 10_000
_NO_PHOTO = "no photo listed in numims"
_BEYOND = "an ingredient id that the vocabulary does not have"
_NO_NAME = "a class that has no name"
_REPEATED = "id appears a second time"
_VECTORS = "instructions are sentence vectors: `vectors` writes them, model.recipe.instructions = 'vectors' reads them"


def vocabulary_file(source: Path, options: Options) -> Path:
    """The vectors to use: those that were asked for, or else the folder's.

    Raises:
        UserError: there are none, without which the ids of ingredients say nothing.
    """
    places = [options.vocab] if options.vocab else [source / f"vocab.{ending}" for ending in ("bin", "pkl", "txt")]
    for place in places:
        if options.vocab or file_exists(place):
            return place
    raise UserError(
        f"{source}: data_lmdb has ids of ingredients and not their words; give the vocabulary that it was made with: "
        "--vocab FILE, or vocab.bin, vocab.pkl or vocab.txt in the folder"
    )


def text_file(source: Path) -> Path | None:
    """The `layer1.json` with the recipes' texts: in the folder, or where AdaMine's code has it; None without one."""
    places = (source / "layer1.json", source / "recipe1M" / "layer1.json")
    return next((place for place in places if file_exists(place)), None)


def check_files(source: Path) -> None:
    """Raises a `UserError` unless every partition that is there has its databases."""
    for folder in data_lmdb.folders(source).values():
        for name in (*data_lmdb.RECIPES, *data_lmdb.PHOTOS):
            environment_file(folder, name)


def fingerprint(source: Path, options: Options) -> dict[str, str]:
    """SHA-256 of each file, but those of photos, that decides what a conversion gives."""
    files = {
        f"data_lmdb/{partition}/{name}.lmdb": environment_file(folder, name)
        for partition, folder in data_lmdb.folders(source).items()
        for name in (*data_lmdb.RECIPES, "imnames")
    }
    files |= {"layer1.json": text_file(source), "remove1M.txt": source / "remove1M.txt"}
    files |= {"the vocabulary": vocabulary_file(source, options), "the file of classes": classes_file(source, options)}
    return digests(files)


@dataclass(frozen=True, slots=True)
class _Dropped:
    record: Recipe | Unusable
    reason: str


@dataclass(frozen=True, slots=True)
class _Kept:
    """A recipe that passed the filter, as far as its photos do not decide."""

    recipe: Recipe
    stored: StoredRecipe


class LmdbConversion:
    """One conversion of `data_lmdb`; arguments, attributes and methods are those of `conversion.Conversion`."""

    def __init__(self, source: Path, options: Options, folder: Path, workers: int):
        self._source, self._options, self._folder, self._workers = source, options, folder, workers
        if options.without_photos:
            raise UserError("data_lmdb has no recipes without photos: leave --without-photos out")
        there = data_lmdb.folders(source)
        self._folders = {name: there[name] for name in there if name in options.wanted_partitions}
        path = classes_file(source, options)
        self._names, self._class_of = load_classes(path) if path else ([], {})
        self._spool: Spool | None = None
        self._seen: set[int] = set()
        self._kept: dict[str, int] = {}
        self._without_text = self._other_class = 0
        self.report = Report(folder / "dropped.tsv", options, "data_lmdb")
        self.class_names: list[str] = []
        self.vocabulary: Vocabulary  # `check` reads it

    def prepare(self) -> None:
        """Everything up to the records.

        Raises:
            UserError: the folder cannot be used, or no recipe of it stays.
        """
        self._spool = Spool(self._folder / "spool")
        with contextlib.closing(self._spool):
            self.check()

    def check(self) -> None:
        """The same without storing anything but the report's numbers."""
        with contextlib.closing(self.report), contextlib.ExitStack() as opened:
            self.vocabulary = load_vocabulary(vocabulary_file(self._source, self._options))
            texts, path = None, text_file(self._source)
            if path:
                texts = opened.enter_context(contextlib.closing(ArrayIndex(path)))
            self._keep_recipes(texts)
            notes = self.report.notes
            notes.append(_VECTORS)
            if path is None:
                notes.append("there is no layer1.json: the recipes have neither titles nor texts")
            elif self._without_text:
                notes.append(f"{self._without_text} recipes have no usable texts in {path}")
            if self._other_class:
                notes.append(
                    f"{self._other_class} recipes have another class in the file of classes; that of data_lmdb counts"
                )
            if not self._names:
                notes.append("there is no classes1M.pkl: the classes have numbers for names")

    def examples(self, partition: str) -> Iterator[dict[str, Any]]:
        """The records of a partition, once; see the builder for their fields."""
        assert self._spool is not None, "`prepare` fills it"
        for record, jpegs in track(self._spool.drain(partition), partition, self._kept[partition], "recipe"):
            yield {**record, "images": jpegs}

    def partitions(self) -> list[str]:
        """The partitions that have a record."""
        return list(self._kept)

    def _keep_recipes(self, texts: ArrayIndex | None) -> None:
        class_ids, partitions = [], []
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # the oddities of photos are looked after
            for partition, folder in self._folders.items():
                decisions = self._decide(partition, folder, texts)
                for decision, loaded in photos.map_in_order(
                    self._load, decisions, self._workers, lambda decision: isinstance(decision, _Kept)
                ):
                    if isinstance(decision, _Dropped):
                        self.report.drop(decision.record, decision.reason)
                    elif self._keep(decision, loaded or []):
                        class_ids.append(decision.stored.class_id)
                        partitions.append(partition)
        if not partitions:
            raise self._nothing_stays()
        numbered = [BACKGROUND, *(f"class {number}" for number in range(1, max(class_ids) + 1))]
        self.class_names = self._names or numbered
        self._kept = {name: partitions.count(name) for name in dict.fromkeys(partitions)}
        self.report.notes += [f"no recipe of {name} stays" for name in PARTITIONS if name not in self._kept]
        self.report.set_classes(self.class_names, np.array(class_ids, np.int64), partitions)
        self.report.set_vocabulary("given", len(self.vocabulary.words))
        assert self.report.adds_up(), "a record was counted twice or not at all"

    def _nothing_stays(self) -> UserError:
        told = [f"{group.counts.total()}: {reason}" for reason, group in self.report.dropped.items()]
        told += [f"{kind} photos such as {group.first[0]}" for kind, group in self.report.photo_problems.items()]
        return UserError(f"no recipe of {self._source / 'data_lmdb'} stays ({'; '.join(told) or 'there is none'})")

    def _decide(self, partition: str, folder: Path, texts: ArrayIndex | None) -> Iterator[_Kept | _Dropped]:
        """What can be said of each record without its photos, in order."""
        removed = filters.read_removed(self._source, self._options.published_split)
        with Partition(folder, (*data_lmdb.RECIPES, *data_lmdb.PHOTOS)) as database:
            records = database.recipes(partition, self._options.images_per_recipe)
            left = self._left(len(database))
            records = itertools.islice(records, left)
            for stored in track(records, f"recipes and photos of {partition}", left, "recipe"):
                if isinstance(stored, Unusable):
                    yield _Dropped(stored, stored.reason)
                    continue
                found = layer_fields.raw_texts(record) if texts and (record := texts.find(int(stored.id, 16))) else None
                recipe = self._recipe(stored, partition, found or ("", "", [], []))
                if reason := self._reason_to_drop(stored, removed):
                    yield _Dropped(recipe, reason)
                    continue
                self._without_text += found is None
                self._other_class += self._class_of.get(stored.id, stored.class_id) != stored.class_id
                yield _Kept(recipe, stored)

    def _left(self, number: int) -> int:
        """How many of a partition's records are read."""
        limit = self._options.limit
        return min(number, max(limit - self.report.records.total(), 0)) if limit else number

    def _reason_to_drop(self, stored: StoredRecipe, removed: frozenset[str]) -> str | None:
        key = int(stored.id, 16)
        if key in self._seen:
            return _REPEATED
        self._seen.add(key)
        if stored.id.lower() in removed:
            return filters.REMOVED
        if not stored.listed:
            return _NO_PHOTO
        if stored.sentences >= filters.INSTRUCTION_LIMIT:
            return filters.MANY_INSTRUCTIONS
        if len(stored.ingredient_ids) >= filters.INGREDIENT_LIMIT:
            return filters.MANY_INGREDIENTS
        if max(stored.ingredient_ids) > self.vocabulary.unknown_id:
            return _BEYOND
        if stored.class_id >= (len(self._names) or _MOST_CLASSES):
            return _NO_NAME
        return None

    def _recipe(self, stored: StoredRecipe, partition: str, texts: tuple[str, str, list[str], list[str]]) -> Recipe:
        """The recipe with the texts that layer 1 has of it."""
        title, url, ingredients, instructions = texts
        words = self.vocabulary.words
        rows = [word_id - FIRST_WORD_ID for word_id in stored.ingredient_ids]
        names = [words[row].replace("_", " ") for row in rows if 0 <= row < len(words)]
        images = [photo.id for photo in stored.photos]
        return Recipe(stored.id, title, url, partition, ingredients, instructions, names, [True] * len(names), images)

    def _load(self, kept: _Kept) -> list[photos.Photo]:
        return [_load_photo(photo, self._options) for photo in kept.stored.photos]

    def _keep(self, kept: _Kept, loaded: list[photos.Photo]) -> bool:
        """Puts a recipe with its readable photos into the spool; returns whether it has any."""
        recipe, stored, report = kept.recipe, kept.stored, self.report
        readable = [photo for photo in loaded if photo.is_readable]
        report.photos_beyond[recipe.partition] += stored.listed - len(loaded)
        for photo in loaded:
            if not photo.is_readable:
                report.photo_problem(recipe, photo)
        if not readable:
            report.drop(recipe, filters.NO_READABLE_PHOTO)
            return False
        names, unknown = len(stored.ingredient_ids) - 1, stored.ingredient_ids.count(self.vocabulary.unknown_id)
        sentences = [[]] * stored.sentences  # of words that nobody knows
        encoded = encode(recipe, stored.ingredient_ids, sentences, [], names, [], class_id=stored.class_id)
        report.keep(encoded, len(readable))
        report.count_unknown(0, 0, names, unknown)
        report.contents.add(encoded, readable)
        if self._spool:
            self._spool.add(recipe.partition, encoded.record, small_files(loaded))
        return True


def _load_photo(stored: StoredPhoto, options: Options) -> photos.Photo:
    """Reads a stored photo and makes it small; never raises for a bad one."""
    if stored.pickled is None:
        return photos.Photo(stored.id, problem=stored.problem)
    try:
        jpeg, size = decoding.encoded(lmdb_pickles.picture(stored.pickled), options.resize, options.jpeg_quality)
        return photos.Photo(stored.id, jpeg, size=size, format="RGB", digest=content_digest(jpeg))
    except UserError as error:
        return photos.Photo(stored.id, problem=str(error))
    except Exception as error:  # Pillow raises whatever the damage leads it to, of many types
        return photos.Photo(stored.id, problem=f"not a whole image ({error})")
