"""Converts `data_lmdb` to the same records as the JSON layers, as far as its contents allow.

Classes and ingredient ids are taken from the database. Instructions are stored only as sentence vectors, which are not
part of a record (the command `vectors` writes them): `word_ids` is empty and `sentence_lengths` has a 0 for each
sentence. Title, link and raw texts come from `layer1.json` and are empty without it. The ingredient names are the words
of the ids.
"""

import contextlib
import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

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
from data_builders.recipe1m.legacy.unpickling import load_classes
from data_builders.recipe1m.lmdb import data_lmdb
from data_builders.recipe1m.lmdb import pickles as lmdb_pickles
from data_builders.recipe1m.lmdb.data_lmdb import StoredPhoto, StoredRecipe, open_partition
from data_builders.recipe1m.lmdb.environment import environment_file
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.passes import photos
from data_builders.recipe1m.passes.photo_pass import small_files
from data_builders.recipe1m.passes.text_pass import encode
from data_builders.recipe1m.recipes import PARTITIONS, Recipe, Unusable
from data_builders.recipe1m.report.dataset_report import Report
from data_builders.recipe1m.spool import Spool
from data_builders.recipe1m.vocabulary import Vocabulary, load_vocabulary

# Upper bound when no file lists the classes, because a damaged number can have any value. Recipe1M has 1,048.
_MAX_CLASSES = 10_000
_NO_PHOTO = "no photo listed in numims"
_UNKNOWN_INGREDIENT = "ingredient id outside the vocabulary"
_UNNAMED_CLASS = "class without a name"
_REPEATED = "id appears a second time"
_VECTORS_NOTE = (
    "the instructions are sentence vectors: write them with `vectors`, train with model.recipe.instructions='vectors'"
)


def vocabulary_file(source: Path, options: Options) -> Path:
    """Returns `options.vocab` or the vocabulary in the source folder; raises a `UserError` if there is neither."""
    if options.vocab:
        return options.vocab
    for suffix in ("bin", "pkl", "txt"):
        if file_exists(path := source / f"vocab.{suffix}"):
            return path
    raise UserError(
        f"{source}: data_lmdb stores ingredient ids without their words; give the vocabulary it was built with as "
        "--vocab FILE, or as vocab.bin, vocab.pkl or vocab.txt in this folder"
    )


def text_file(source: Path) -> Path | None:
    """Returns the `layer1.json` with the recipes' texts, in `source` or in AdaMine's subfolder, or None."""
    return next(filter(file_exists, (source / "layer1.json", source / "recipe1M" / "layer1.json")), None)


def check_files(source: Path) -> None:
    """Raises a `UserError` if a database of an existing partition is missing."""
    for folder in data_lmdb.folders(source).values():
        for name in (*data_lmdb.RECIPES, *data_lmdb.PHOTOS):
            environment_file(folder, name)


def fingerprint(source: Path, options: Options) -> dict[str, str]:
    """Returns the SHA-256 of each file, except those of photos, that affects the result of a conversion."""
    files = {
        f"data_lmdb/{partition}/{name}.lmdb": environment_file(folder, name)
        for partition, folder in data_lmdb.folders(source).items()
        for name in (*data_lmdb.RECIPES, "imnames")
    }
    files |= {"layer1.json": text_file(source), "remove1M.txt": source / "remove1M.txt"}
    files |= {"the vocabulary": vocabulary_file(source, options), "the file of classes": classes_file(source, options)}
    return digests(files)


class _Dropped(NamedTuple):
    record: Recipe | Unusable
    reason: str


class _Kept(NamedTuple):
    """A recipe that passed all filters except for its photos."""

    recipe: Recipe
    stored: StoredRecipe


class LmdbConversion:
    """Converts `data_lmdb`; arguments, attributes and methods are those of `conversion.Conversion`."""

    def __init__(self, source: Path, options: Options, folder: Path, workers: int):
        self._source, self._options, self._folder, self._workers = source, options, folder, workers
        if options.without_photos:
            raise UserError("data_lmdb contains only recipes with photos; remove --without-photos")
        folders = data_lmdb.folders(source)
        self._folders = {name: path for name, path in folders.items() if name in options.wanted_partitions}
        path = classes_file(source, options)
        self._names, self._class_of = load_classes(path) if path else ([], {})
        self._spool: Spool | None = None
        self._seen: set[int] = set()
        self._kept: dict[str, int] = {}
        self._without_text = self._other_class = 0
        self.report = Report(folder / "dropped.tsv", options, "data_lmdb")
        self.class_names: list[str] = []
        self.vocabulary: Vocabulary  # set by `check`

    def prepare(self) -> None:
        """Reads, filters and spools the recipes; raises a `UserError` if none is kept."""
        self._spool = Spool(self._folder / "spool")
        with contextlib.closing(self._spool):
            self.check()

    def check(self) -> None:
        """Does the same as `prepare` without storing records."""
        with contextlib.closing(self.report):
            self.vocabulary = load_vocabulary(vocabulary_file(self._source, self._options))
            path, notes = text_file(self._source), self.report.notes
            with contextlib.closing(ArrayIndex(path)) if path else contextlib.nullcontext() as texts:
                self._keep_recipes(texts)
            notes.append(_VECTORS_NOTE)
            if path is None:
                notes.append("layer1.json is missing: the recipes have neither titles nor texts")
            elif self._without_text:
                notes.append(f"{self._without_text} recipes have no usable texts in {path}")
            if self._other_class:
                notes.append(f"{self._other_class} recipes have another class in the file of classes; it is ignored")
            if not self._names:
                notes.append("classes1M.pkl is missing: the classes are named by their numbers")

    def examples(self, partition: str) -> Iterator[dict[str, Any]]:
        """Yields the records of a partition once; the builder documents their fields."""
        assert self._spool is not None, "call `prepare` first"
        for record, jpegs in track(self._spool.drain(partition), partition, self._kept[partition], "recipe"):
            yield {**record, "images": jpegs}

    def partitions(self) -> list[str]:
        """Returns the partitions with at least one record."""
        return list(self._kept)

    def _keep_recipes(self, texts: ArrayIndex | None) -> None:
        class_ids, partitions = [], []
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # unreadable photos are reported
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
            raise self._nothing_kept()
        self.class_names = self._names or [BACKGROUND, *(f"class {n}" for n in range(1, max(class_ids) + 1))]
        self._kept = {name: partitions.count(name) for name in dict.fromkeys(partitions)}
        self.report.notes += [f"no recipe of {name} is kept" for name in PARTITIONS if name not in self._kept]
        self.report.set_classes(self.class_names, np.array(class_ids, np.int64), partitions)
        self.report.set_vocabulary("given", len(self.vocabulary.words))
        assert self.report.adds_up(), "a record was counted twice or not at all"

    def _nothing_kept(self) -> UserError:
        reasons = [f"{group.counts.total()}: {reason}" for reason, group in self.report.dropped.items()]
        reasons += [f"{kind} photos such as {group.first[0]}" for kind, group in self.report.photo_problems.items()]
        return UserError(
            f"{self._source / 'data_lmdb'}: no recipe can be used ({'; '.join(reasons) or 'the databases are empty'})"
        )

    def _decide(self, partition: str, folder: Path, texts: ArrayIndex | None) -> Iterator[_Kept | _Dropped]:
        """Yields, for each record in order, what its fields other than the photos decide."""
        removed = filters.read_removed(self._source, self._options.published_split)
        with open_partition(folder, (*data_lmdb.RECIPES, *data_lmdb.PHOTOS)) as database:
            records = database.recipes(partition, self._options.images_per_recipe)
            number = len(database["ids"])
            if self._options.limit:
                number = min(number, max(self._options.limit - self.report.records.total(), 0))
            records = itertools.islice(records, number)
            for stored in track(records, f"recipes and photos of {partition}", number, "recipe"):
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

    def _reason_to_drop(self, stored: StoredRecipe, removed: frozenset[str]) -> str | None:
        key = int(stored.id, 16)
        if key in self._seen:
            return _REPEATED
        self._seen.add(key)
        if stored.id.lower() in removed:
            return filters.REMOVED
        if not stored.listed:
            return _NO_PHOTO
        if reason := filters.many_instructions(stored.sentences, self._options) or filters.many_ingredients(
            stored.ingredient_ids, self._options
        ):
            return reason
        if max(stored.ingredient_ids) > self.vocabulary.unknown_id:
            return _UNKNOWN_INGREDIENT
        if stored.class_id >= (len(self._names) or _MAX_CLASSES):
            return _UNNAMED_CLASS
        return None

    def _recipe(self, stored: StoredRecipe, partition: str, texts: tuple[str, str, list[str], list[str]]) -> Recipe:
        title, url, ingredients, instructions = texts
        words = self.vocabulary.words
        rows = [word_id - FIRST_WORD_ID for word_id in stored.ingredient_ids]
        names = [words[row].replace("_", " ") for row in rows if 0 <= row < len(words)]
        images = [photo.id for photo in stored.photos]
        return Recipe(stored.id, title, url, partition, ingredients, instructions, names, [True] * len(names), images)

    def _load(self, kept: _Kept) -> list[photos.Photo]:
        return [_load_photo(photo, self._options) for photo in kept.stored.photos]

    def _keep(self, kept: _Kept, loaded: list[photos.Photo]) -> bool:
        """Spools a recipe with its readable photos and returns True; drops a recipe without any."""
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
        sentences = [[]] * stored.sentences  # their words are unknown
        encoded = encode(recipe, stored.ingredient_ids, sentences, [], names, [], class_id=stored.class_id)
        report.keep(encoded, len(readable))
        report.count_unknown(0, 0, names, unknown)
        report.contents.add(encoded, readable)
        if self._spool:
            self._spool.add(recipe.partition, encoded.record, small_files(loaded))
        return True


def _load_photo(stored: StoredPhoto, options: Options) -> photos.Photo:
    """Decodes and shrinks a stored photo. Errors are returned as the photo's `problem`."""
    if stored.pickled is None:
        return photos.Photo(stored.id, problem=stored.problem)
    try:
        jpeg, size = decoding.encoded(lmdb_pickles.picture(stored.pickled), options.resize, options.jpeg_quality)
        return photos.Photo(stored.id, jpeg, size=size, format="RGB", digest=content_digest(jpeg))
    except UserError as error:
        return photos.Photo(stored.id, problem=str(error))
    except Exception as error:  # Pillow raises many types of errors for damaged data
        return photos.Photo(stored.id, problem=f"not a whole image ({error})")
