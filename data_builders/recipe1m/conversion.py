"""The passes over a download: read its text, keep what the rules keep, name the classes, hand out the records.

1. Text: the train recipes' sentences go to a file and their words and the titles' bigrams are counted.
2. Between: the vocabulary is loaded, or trained on that file.
3. Recipes: each is filtered, its photos are decoded and made small, and what stays goes to a spool on disk.
4. Classes are named from the bigrams and the titles that stayed; the records come back from the spool.
"""

import collections
import contextlib
import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from adamine_jax.errors import UserError
from adamine_jax.progress import track
from data_builders.recipe1m import filters, photos, words
from data_builders.recipe1m.classes import BigramCounter, food101_names, name_classes
from data_builders.recipe1m.layers import PARTITIONS, Layers, Recipe, Unusable
from data_builders.recipe1m.legacy import load_classes
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.report import Report
from data_builders.recipe1m.spool import Spool
from data_builders.recipe1m.vocabulary import (
    Vocabulary,
    frequent_words,
    load_vocabulary,
    number_words,
    train_vocabulary,
)

# The files of a download that decide what comes out, besides the layers and the photos.
_LISTS = ("remove1M.txt", "food101_classes_renamed.txt")


def vocabulary_file(source: Path, options: Options) -> Path | None:
    """The vectors to use: those that were asked for, or else the download's; None: train them."""
    return options.vocab or _first_there(source / "vocab.bin", source / "vocab.pkl")


def classes_file(source: Path, options: Options) -> Path | None:
    """The classes to use: those that were asked for, or else the download's; None: make them from the titles."""
    return options.classes or _first_there(source / "classes1M.pkl")


def fingerprint(source: Path, options: Options) -> dict[str, str]:
    """SHA-256 of each file but photos that decides what a conversion of `source` gives."""
    files = {path.name: path for path in (*Layers.files(source), *(source / name for name in _LISTS))}
    files |= {"the vocabulary": vocabulary_file(source, options), "the file of classes": classes_file(source, options)}
    return digests(files)


def digests(files: dict[str, Path | None]) -> dict[str, str]:
    """SHA-256 of those files that are there."""
    found = {}
    for name, path in files.items():
        if path and path.is_file():
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def _first_there(*paths: Path) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


@dataclass
class _TextCounts:
    words: collections.Counter[str] = field(default_factory=collections.Counter)
    bigrams: BigramCounter = field(default_factory=BigramCounter)
    records: int = 0


@dataclass(frozen=True, slots=True)
class _Dropped:
    """A record that is left out without a look at its photos."""

    record: Recipe | Unusable
    reason: str


@dataclass(frozen=True, slots=True)
class _Encoded:
    """A recipe that passed the filter, its words as ids."""

    recipe: Recipe
    ingredient_ids: list[int]
    sentences: list[list[int]]
    unknown_names: int


class Conversion:
    """One conversion of a download.

    Args:
        source: the download's folder.
        options: what to do.
        folder: where to put temporary files, and the lists of what was left out.
        workers: threads that decode photos.

    Attributes:
        report: what happened.
        class_names: [0] = "background".
        vocabulary: None when `check` ran.
    """

    def __init__(self, source: Path, options: Options, folder: Path, workers: int):
        self._source, self._options, self._folder, self._workers = source, options, folder, workers
        self._split_names = options.unknown_ingredients == "words"
        path = classes_file(source, options)
        self._classes = load_classes(path) if path else None
        self._layers = Layers(source)
        self._spool: Spool | None = None
        self._kept: dict[str, list[int]] = {}
        self.report = Report(folder / "dropped.tsv")
        self.report.notes += self._layers.notes
        self.class_names: list[str] = []
        self.vocabulary: Vocabulary | None = None

    def prepare(self) -> None:
        """Everything up to the records.

        Raises:
            UserError: the download cannot be used, or no recipe of it stays.
        """
        with contextlib.closing(self._layers), contextlib.closing(self.report):
            vocabulary, source = self._given_vocabulary(), "given"
            sentences = self._folder / "sentences.txt"
            counts = self._read_text(sentences, count_words=vocabulary is None)
            if vocabulary is None:
                vocabulary, source = train_vocabulary(sentences, counts.words, self._options), "trained"
            sentences.unlink()
            self.vocabulary = vocabulary
            self._spool = Spool(self._folder / "spool")
            with contextlib.closing(self._spool):
                self._keep_recipes(vocabulary.ids, vocabulary.unknown_id, counts, source)

    def check(self) -> None:
        """The same without word vectors and without storing anything but the report's numbers.

        Words that are too rare for a vocabulary of its own are told of in the report's notes.
        """
        with contextlib.closing(self._layers), contextlib.closing(self.report):
            vocabulary = self._given_vocabulary()
            counts = self._read_text(None, count_words=vocabulary is None)
            try:
                known = vocabulary.words if vocabulary else frequent_words(counts.words, self._options)
            except UserError as error:
                self.report.notes.append(f"it cannot be converted like this: {error}")
                known = sorted(counts.words)
            unknown_id = len(known) + words.FIRST_WORD_ID
            self._keep_recipes(number_words(known), unknown_id, counts, "given" if vocabulary else "trained")

    def examples(self, partition: str) -> Iterator[dict[str, Any]]:
        """The records of a partition, once; see the builder for their fields."""
        ids = self._kept[partition]
        for row, (record, jpegs) in enumerate(track(self._spool.drain(partition), partition, len(ids), "recipe")):
            yield {**record, "class_id": ids[row], "images": jpegs}

    def partitions(self) -> list[str]:
        """The partitions that have a record."""
        return list(self._kept)

    def _given_vocabulary(self) -> Vocabulary | None:
        path = vocabulary_file(self._source, self._options)
        return load_vocabulary(path) if path else None

    def _read_text(self, sentences: Path | None, *, count_words: bool) -> _TextCounts:
        """The first pass: counts, and writes the train recipes' sentences, if their words matter, into a file."""
        counts = _TextCounts()
        with sentences.open("w", encoding="utf-8", newline="\n") if sentences else contextlib.nullcontext() as file:
            for recipe in track(self._layers.records(), "text", unit="recipe"):
                counts.records += 1
                if isinstance(recipe, Unusable) or recipe.partition != "train":
                    continue
                counts.bigrams.add(recipe.title)
                if not count_words:
                    continue
                for sentence in words.training_sentences(
                    recipe.names, recipe.valid, recipe.instructions, split_names=self._split_names
                ):
                    counts.words.update(sentence)
                    if file and sentence:
                        file.write(" ".join(sentence) + "\n")
        return counts

    def _keep_recipes(self, ids: dict[str, int], unknown_id: int, counts: _TextCounts, vocabulary_source: str) -> None:
        """The second pass: filters, reads photos, fills the spool, and names the classes of what stays."""
        kept: list[tuple[str, str, str]] = []
        root = photos.image_root(self._source)

        def load(encoded: _Encoded) -> list[photos.Photo]:
            listed = encoded.recipe.images[: self._options.images_per_recipe]
            return [photos.load_photo(root, encoded.recipe.partition, name, self._options.resize) for name in listed]

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # the oddities of photos are looked after
            decisions = self._decide(ids, unknown_id, counts.records)
            for decision, loaded in photos.map_in_order(
                load, decisions, self._workers, lambda decision: isinstance(decision, _Encoded)
            ):
                if isinstance(decision, _Dropped):
                    self.report.drop(decision.record, decision.reason)
                elif self._keep(decision, loaded, unknown_id):
                    kept.append((decision.recipe.partition, decision.recipe.title, decision.recipe.id))
        if not kept:
            raise self._nothing_stays(root)
        self._name_classes(counts.bigrams, kept)
        self.report.set_vocabulary(vocabulary_source, unknown_id - words.FIRST_WORD_ID)
        assert self.report.adds_up(), "a record was counted twice or not at all"

    def _decide(self, ids: dict[str, int], unknown_id: int, total: int) -> Iterator[_Encoded | _Dropped]:
        """What the text alone decides about each record, in order."""
        removed = filters.read_removed(self._source, self._options.published_split)
        undetected = 0
        for recipe in track(self._layers.records(), "recipes and photos", total, "recipe"):
            if isinstance(recipe, Unusable):
                yield _Dropped(recipe, recipe.reason)
                continue
            ingredient_ids = words.ingredient_ids(recipe.names, ids)
            if reason := filters.reason_to_drop(recipe, ingredient_ids, removed):
                yield _Dropped(recipe, reason)
                continue
            if self._split_names:  # after the filter: the words of a name do not make a recipe longer
                ingredient_ids = words.ingredient_ids(recipe.names, ids, split_unknown=True)
            undetected += not recipe.names
            sentences = [
                words.word_ids(words.instruction_words(line, recipe.names, recipe.valid), ids, unknown_id)
                for line in recipe.instructions
            ]
            unknown_names = sum(words.ingredient_word(name) not in ids for name in recipe.names)
            yield _Encoded(recipe, ingredient_ids, sentences, unknown_names)
        if undetected:
            self.report.notes.append(f"{undetected} recipes with a photo have no ingredient in det_ingrs.json")

    def _keep(self, encoded: _Encoded, loaded: list[photos.Photo], unknown_id: int) -> bool:
        """Puts a recipe with its readable photos into the spool; returns whether it has any."""
        recipe, report = encoded.recipe, self.report
        readable = [photo for photo in loaded if photo.jpeg is not None]
        report.photos_beyond[recipe.partition] += len(recipe.images) - len(loaded)
        for photo in loaded:
            if photo.jpeg is None:
                report.photo_problem(recipe, photo)
        if not readable:
            report.drop(recipe, filters.NO_READABLE_PHOTO)
            return False
        word_ids = [word for sentence in encoded.sentences for word in sentence]
        report.keep(recipe, len(readable))
        report.count_unknown(len(word_ids), word_ids.count(unknown_id), len(recipe.names), encoded.unknown_names)
        if self._spool:
            self._spool.add(recipe.partition, _record(encoded, word_ids, readable), [photo.jpeg for photo in readable])
        return True

    def _nothing_stays(self, root: Path) -> UserError:
        if self.report.photo_problems:
            problems = ", ".join(f"{group.counts.total()} {kind}" for kind, group in self.report.photo_problems.items())
            return UserError(f"no photo can be read ({problems}); they are looked for as {photos.photo_pattern(root)}")
        reasons = {reason: group.counts.total() for reason, group in self.report.dropped.items()}
        most = max(reasons, key=reasons.get)
        return UserError(f"no recipe of {self._source} stays; {reasons[most]} are left out for this reason: {most}")

    def _name_classes(self, bigrams: BigramCounter, kept: list[tuple[str, str, str]]) -> None:
        partitions, titles, ids = [list(column) for column in zip(*kept, strict=True)]
        options, notes = self._options, self.report.notes
        if self._classes:
            self.class_names, class_of = self._classes
            class_ids = np.array([class_of.get(recipe_id, 0) for recipe_id in ids], np.int64)
        else:
            self.class_names, class_ids = name_classes(
                bigrams.most_common(options.class_bigrams), food101_names(self._source), titles, partitions, options
            )
        self.report.set_classes(self.class_names, class_ids, partitions)
        self._kept = {name: class_ids[np.array(partitions) == name].tolist() for name in dict.fromkeys(partitions)}
        notes += [f"no recipe of {name} stays" for name in PARTITIONS if name not in self._kept]
        if len(self.class_names) == 1:
            notes.append(
                f"no class has more than {options.class_min_train} train recipes, at least {options.class_min_val} of "
                f"val and at least {options.class_min_test} of test: a small collection needs a smaller "
                "--class-min-train"
            )


def _record(encoded: _Encoded, flat: list[int], readable: list[photos.Photo]) -> dict[str, Any]:
    recipe = encoded.recipe
    return {
        "id": recipe.id,
        "title": recipe.title,
        "url": recipe.url,
        "ingredients": recipe.ingredients,
        "instructions": recipe.instructions,
        "ingredient_names": recipe.names,
        "ingredient_ids": encoded.ingredient_ids,
        "word_ids": flat,
        "sentence_lengths": [len(sentence) for sentence in encoded.sentences],
        "image_ids": [photo.id for photo in readable],
    }
