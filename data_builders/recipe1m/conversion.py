"""The passes over a download: read its text, keep what the rules keep, name the classes, hand out the records.

1. Words, where no vocabulary is given: the train recipes' sentences go to a file, and word2vec reads it.
2. Recipes: each is filtered, its photos are decoded and made small, and what stays goes to a spool on disk; the
   bigrams of the train titles are counted.
3. Classes are named from the bigrams and the titles that stayed; the records come back from the spool.

The text is read by several processes, block by block, see `text_pass`; photos are decoded by threads of this one.
"""

import collections
import contextlib
import itertools
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import Progress, track
from adamine_jax.recipes import words
from data_builders.recipe1m import filters
from data_builders.recipe1m.classes import BigramCounter, class_of_title, food101_names, name_classes
from data_builders.recipe1m.layers.json_blocks import Block
from data_builders.recipe1m.layers.reading import Layers, Seen
from data_builders.recipe1m.layers.source_files import classes_file, vocabulary_file
from data_builders.recipe1m.legacy.unpickling import load_classes
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.passes import photo_places, photos
from data_builders.recipe1m.passes.photo_pass import TEXT, LoadPhotos, has_files, small_files, split_of
from data_builders.recipe1m.passes.text_pass import Decide, Encoded, Fate, ReadWords
from data_builders.recipe1m.recipes import Unusable
from data_builders.recipe1m.report.dataset_report import Report
from data_builders.recipe1m.spool import Spool
from data_builders.recipe1m.vocabulary import (
    Vocabulary,
    frequent_words,
    load_vocabulary,
    number_words,
    train_vocabulary,
)
from data_builders.recipe1m.workers import Workers

if TYPE_CHECKING:  # Apache Beam may be absent
    from data_builders.recipe1m.cluster import Cluster

T = TypeVar("T")

SMALL_TEXT = 32 << 20
"""Bytes of text below which starting processes takes longer than the reading."""


class _Kept(NamedTuple):
    """What is remembered of a recipe until there are classes."""

    split: str
    partition: str
    title: str
    id: str


class Conversion:
    """One conversion of a download.

    Args:
        source: the download's folder.
        options: what to do.
        folder: where to put temporary files, and the lists of what was left out.
        workers: processes that read the text, and threads that decode photos.
        cluster: what looks after the photos and keeps the records instead; None: this machine.

    Attributes:
        report: what happened.
        class_names: [0] = "background".
        vocabulary: set by `prepare`.
    """

    def __init__(self, source: Path, options: Options, folder: Path, workers: int, cluster: "Cluster | None" = None):
        self._source, self._options, self._folder, self._workers = source, options, folder, workers
        self._cluster = cluster
        self._split_names = options.unknown_ingredients == "words"
        path = classes_file(source, options)
        self._classes = load_classes(path) if path else None
        Layers.check_files(source)
        size = sum(path.stat().st_size for path in Layers.files(source))
        self._text_workers = workers if size > SMALL_TEXT else 1
        self._spool: Spool | None = None
        self._kept: dict[str, list[int]] = {}
        self.report = Report(folder / "dropped.tsv", options)
        self.class_names: list[str] = []
        self.vocabulary: Vocabulary

    def prepare(self) -> None:
        """Everything up to the records.

        Raises:
            UserError: the download cannot be used, or no recipe of it stays.
        """
        with self._reading() as layers:
            vocabulary, source = self._given_vocabulary(), "given"
            if vocabulary is None:
                sentences = self._folder / "sentences.txt"
                counts = self._read_words(layers, sentences)
                vocabulary, source = train_vocabulary(sentences, counts, self._options), "trained"
                sentences.unlink()
            self.vocabulary = vocabulary
            self._spool = None if self._cluster else Spool(self._folder / "spool")
            with contextlib.closing(self._spool) if self._spool else contextlib.nullcontext():
                self._keep_recipes(layers, vocabulary.ids, vocabulary.unknown_id, source)

    def check(self) -> None:
        """The same without word vectors and without storing anything but the report's numbers.

        Words that are too rare for a vocabulary of its own are told of in the report's notes.
        """
        with self._reading() as layers:
            vocabulary, source = self._given_vocabulary(), "given"
            if vocabulary:
                known = vocabulary.words
            else:
                counts, source = self._read_words(layers, None), "trained"
                try:
                    known = frequent_words(counts, self._options)
                except UserError as error:
                    self.report.notes.append(f"it cannot be converted like this: {error}")
                    known = sorted(counts)
            self._keep_recipes(layers, number_words(known), len(known) + words.FIRST_WORD_ID, source)

    def examples(self, partition: str) -> Iterator[dict[str, Any]]:
        """The records of a partition, once; see the builder for their fields."""
        assert self._spool is not None, "`prepare` fills it"
        ids = self._kept[partition]
        for row, (record, jpegs) in enumerate(track(self._spool.drain(partition), partition, len(ids), "recipe")):
            yield {**record, "class_id": ids[row], "images": jpegs}

    def partitions(self) -> list[str]:
        """The partitions that have a record."""
        return list(self._kept)

    def class_ids(self, partition: str) -> list[int]:
        """The classes of a partition's records."""
        return self._kept[partition]

    def _given_vocabulary(self) -> Vocabulary | None:
        path = vocabulary_file(self._source, self._options)
        return load_vocabulary(path) if path else None

    @contextlib.contextmanager
    def _reading(self) -> Generator[Layers]:
        with (
            contextlib.closing(self.report),
            tempfile.TemporaryDirectory(dir=self._folder) as folder,
            Workers(self._text_workers, Path(folder)) as self._processes,
        ):
            layers = Layers(self._source, Path(folder), self._processes.map)
            self.report.notes += layers.notes
            with contextlib.closing(layers):
                yield layers

    def _read(self, layers: Layers, task: Callable[[Block], T], what: str) -> Iterator[T]:
        """What `task` gives for each block that is to be read, with progress in recipes."""
        limit = self._options.limit
        blocks = [block for block in layers.blocks if not limit or block.number <= limit]
        total = sum(block.records for block in blocks)
        with Progress(what, min(limit or total, total), "recipe") as progress:
            for block, result in zip(blocks, self._processes.map(task, blocks), strict=True):
                yield result
                progress.update(min(block.records, (limit or total) - block.number + 1))

    def _read_words(self, layers: Layers, sentences: Path | None) -> collections.Counter[str]:
        """The first pass: counts the train recipes' words, and writes their sentences into a file."""
        counts: collections.Counter[str] = collections.Counter()
        seen, number = Seen(), 1
        task = ReadWords(layers, self._split_names)
        with sentences.open("w", encoding="utf-8", newline="\n") if sentences else contextlib.nullcontext() as file:
            for records, texts, of_block in self._read(layers, task, "words"):
                counts.update(of_block)
                checked = self._up_to_limit(seen.check(records, number), number)
                number += len(records)
                for record, text in itertools.zip_longest(checked, texts):
                    if record is None or isinstance(record, Unusable):
                        counts.subtract(text.split())
                    elif file:
                        file.write(text)
        return +counts

    def _up_to_limit(self, records: list[T], first: int) -> list[T]:
        """Those of a block that are read, whose first one is this in layer 1."""
        limit = self._options.limit
        return records[: max(limit - first + 1, 0)] if limit else records

    def _keep_recipes(self, layers: Layers, ids: dict[str, int], unknown_id: int, vocabulary_source: str) -> None:
        """The second pass: filters, reads photos, fills the spool, and names the classes of what stays."""
        options, bigrams = self._options, BigramCounter()
        kept: list[_Kept] = []
        root = photo_places.image_root(self._source)
        load = LoadPhotos(options.resize, options.jpeg_quality)
        task = Decide(
            layers,
            ids,
            unknown_id,
            removed=filters.read_removed(self._source, options.published_split),
            partitions=options.wanted_partitions,
            without_photos=options.without_photos,
            split_unknown=self._split_names,
            photos=root.absolute(),
            images_per_recipe=options.images_per_recipe,
        )
        fates = self._fates(layers, task, bigrams)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # the oddities of photos are looked after
            for fate, loaded in self._load(load, root, fates):
                if not isinstance(fate, Encoded):
                    self.report.drop(fate, fate.reason)
                elif split := self._keep(fate, load(fate) if loaded is None else loaded):
                    kept.append(_Kept(split, fate.partition, fate.title, fate.id))
        if all(recipe.split == TEXT for recipe in kept):
            raise self._nothing_stays(root)
        self._name_classes(bigrams, kept)
        if self._cluster:
            self.report.show(lambda *place: load.one(photo_places.find_photo(root, *place)))
        self.report.set_vocabulary(vocabulary_source, unknown_id - words.FIRST_WORD_ID)
        assert self.report.adds_up(), "a record was counted twice or not at all"

    def _load(
        self, load: LoadPhotos, root: Path, fates: Iterator[Fate]
    ) -> Iterator[tuple[Fate, list[photos.Photo] | None]]:
        """Each record's fate with the photos of a recipe; with None where no file has to be read."""
        if self._cluster:
            return self._cluster.load(load, root, fates, self._options.without_photos)
        return photos.map_in_order(load, fates, self._workers, has_files)

    def _fates(self, layers: Layers, task: Decide, bigrams: BigramCounter) -> Iterator[Fate]:
        """What the text alone decides about each record, in order; counts the bigrams of the train titles."""
        seen, number, undetected = Seen(), 1, 0
        for decided in self._read(layers, task, "recipes and photos"):
            fates = self._up_to_limit(seen.check(decided.fates, number), number)
            number += len(decided.fates)
            counting = zip(fates, decided.tokens, strict=False)  # the fates end at the limit
            bigrams.add([token for fate, title in counting if not isinstance(fate, Unusable) for token in title])
            undetected += sum(isinstance(fate, Encoded) and fate.names is None for fate in fates)
            yield from fates
        if undetected:
            what = "recipes" if self._options.without_photos else "recipes with a photo"
            self.report.notes.append(f"{undetected} {what} have no ingredient in det_ingrs.json")

    def _keep(self, encoded: Encoded, loaded: list[photos.Photo]) -> str | None:
        """Counts a recipe and puts it with its readable photos into the spool; returns its split, None: it has none."""
        report = self.report
        readable = [photo for photo in loaded if photo.is_readable]
        report.photos_beyond[encoded.partition] += encoded.images_beyond
        for photo in loaded:
            if not photo.is_readable:
                report.photo_problem(encoded, photo)
        split = split_of(encoded, loaded, self._options.without_photos)
        if split is None:
            report.drop(encoded, filters.NO_READABLE_PHOTO)
            return None
        report.keep(encoded, len(readable))
        words, unknown = sum(encoded.sentence_lengths), len(encoded.unknown_words)
        report.count_unknown(words, unknown, encoded.names or 0, len(encoded.unknown_names))
        report.contents.add(encoded, readable)
        if self._spool:
            self._spool.add(split, encoded.record, small_files(loaded))
        return split

    def _nothing_stays(self, root: Path) -> UserError:
        if self.report.photo_problems:
            problems = ", ".join(f"{group.counts.total()} {kind}" for kind, group in self.report.photo_problems.items())
            pattern = photo_places.photo_pattern(root)
            return UserError(f"no photo can be read ({problems}); they are looked for as {pattern}")
        reasons = {reason: group.counts.total() for reason, group in self.report.dropped.items()}
        if not reasons:
            return UserError(f"no recipe of {self._source} has a photo; layer2.json lists them")
        most = max(reasons, key=reasons.__getitem__)
        return UserError(f"no recipe of {self._source} stays; {reasons[most]} are left out for this reason: {most}")

    def _name_classes(self, bigrams: BigramCounter, kept: list[_Kept]) -> None:
        splits, partitions, titles, ids = [list(column) for column in zip(*kept, strict=True)]
        options, notes = self._options, self.report.notes
        if self._classes:
            self.class_names, class_of = self._classes
            class_ids = np.array([class_of.get(recipe_id.lower(), 0) for recipe_id in ids], np.int64)
        else:
            # Recipes without photos get the classes that the others make.
            makes = np.array(splits) != TEXT
            class_ids = np.zeros(len(titles), np.int64)
            self.class_names, class_ids[makes] = name_classes(
                bigrams.most_common(options.class_bigrams),
                food101_names(self._source),
                list(itertools.compress(titles, makes)),
                list(itertools.compress(partitions, makes)),
                options,
            )
            for row in np.flatnonzero(~makes):
                class_ids[row] = class_of_title(titles[row], self.class_names)
        self.report.set_classes(self.class_names, class_ids, partitions)
        self._kept = {name: class_ids[np.array(splits) == name].tolist() for name in dict.fromkeys(splits)}
        notes += [f"no recipe of {name} stays" for name in options.wanted_partitions if name not in self._kept]
        if len(self.class_names) == 1:
            notes.append(
                f"no class has more than {options.class_min_train} train recipes, at least {options.class_min_val} of "
                f"val and at least {options.class_min_test} of test: a small collection needs a smaller "
                "--class-min-train"
            )
