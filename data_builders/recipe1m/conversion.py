"""Converts the JSON layers and photos of a download.

1. Words, if no vocabulary is given: the sentences of the train recipes are written to a file that word2vec reads.
2. Recipes: each is filtered, its photos are decoded and reduced, and kept recipes are written to a spool on disk. The
   bigrams of the train titles are counted.
3. Classes are derived from the bigrams and the titles of the kept recipes. The records are read from the spool.

Worker processes read the text block by block (see `text_pass`); threads of this process decode the photos.
"""

import collections
import contextlib
import itertools
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import Progress, track
from adamine_jax.recipes import words
from data_builders.recipe1m import filters
from data_builders.recipe1m.classes import BigramCounter, class_of_title, food101_names, name_classes
from data_builders.recipe1m.layers.json_blocks import Block
from data_builders.recipe1m.layers.reading import Layers, SeenIds
from data_builders.recipe1m.layers.source_files import classes_file, vocabulary_file
from data_builders.recipe1m.legacy.unpickling import load_classes
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.passes import photo_places, photos
from data_builders.recipe1m.passes.photo_pass import TEXT, LoadPhotos, has_files, small_files, split_of
from data_builders.recipe1m.passes.text_pass import CollectSentences, Encoded, FilterAndEncode, Outcome
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
"""Size of the text in bytes below which starting processes takes longer than reading it."""


class Conversion:
    """One conversion of a download.

    Args:
        source: Folder of the download.
        options: Options of the conversion.
        folder: Folder for temporary files and the list of dropped records.
        workers: Number of processes that read text, and of threads that decode photos.
        cluster: Cluster that decodes the photos and writes the records. None does both here.

    Attributes:
        report: What was kept, what was not, and why.
        class_names: Names of the classes; the first one is "background".
        vocabulary: Vocabulary of the records; set by `prepare`.
    """

    def __init__(self, source: Path, options: Options, folder: Path, workers: int, cluster: "Cluster | None" = None):
        self._source, self._options, self._folder, self._workers = source, options, folder, workers
        self._cluster = cluster
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
        """Decides what is kept and stores what `examples` needs.

        Raises:
            UserError: The download cannot be used, or no recipe would be kept.
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
        """Decides what is kept, without training word vectors and without storing records.

        A note in the report says if a conversion would fail because too few words are frequent.
        """
        with self._reading() as layers:
            vocabulary, source = self._given_vocabulary(), "given"
            if vocabulary:
                known_words = vocabulary.words
            else:
                counts, source = self._read_words(layers, None), "trained"
                try:
                    known_words = frequent_words(counts, self._options)
                except UserError as error:
                    self.report.notes.append(f"a conversion would fail: {error}")
                    known_words = sorted(counts)
            self._keep_recipes(layers, number_words(known_words), len(known_words) + words.FIRST_WORD_ID, source)

    def examples(self, partition: str) -> Iterator[dict[str, Any]]:
        """Yields the records of a partition, with the fields of the builder's `features`. Call it once."""
        assert self._spool is not None, "`prepare` fills it"
        ids = self._kept[partition]
        for row, (record, jpegs) in enumerate(track(self._spool.drain(partition), partition, len(ids), "recipe")):
            yield {**record, "class_id": ids[row], "images": jpegs}

    def partitions(self) -> list[str]:
        """Returns the partitions that have records."""
        return list(self._kept)

    def class_ids(self, partition: str) -> list[int]:
        """Returns the class ids of the records of a partition."""
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
        """Yields the result of `task` for each block up to the limit, and shows progress in recipes."""
        limit = self._options.limit
        blocks = [block for block in layers.blocks if not limit or block.number <= limit]
        total = sum(block.records for block in blocks)
        with Progress(what, min(limit or total, total), "recipe") as progress:
            for block, result in zip(blocks, self._processes.map(task, blocks), strict=True):
                yield result
                progress.update(min(block.records, (limit or total) - block.number + 1))

    def _read_words(self, layers: Layers, sentences: Path | None) -> collections.Counter[str]:
        """Counts the words of the train recipes and, if `sentences` is given, writes their sentences to this file."""
        counts: collections.Counter[str] = collections.Counter()
        seen, number = SeenIds(), 1
        task = CollectSentences(layers, self._options.splits_unknown_ingredients)
        with sentences.open("w", encoding="utf-8", newline="\n") if sentences else contextlib.nullcontext() as file:
            for records, texts, block_counts in self._read(layers, task, "words"):
                counts.update(block_counts)
                checked = self._up_to_limit(seen.mark_repeats(records, number), number)
                number += len(records)
                for record, text in itertools.zip_longest(checked, texts):
                    if record is None or isinstance(record, Unusable):
                        counts.subtract(text.split())
                    elif file:
                        file.write(text)
        return +counts

    def _up_to_limit(self, records: list[T], first: int) -> list[T]:
        """Cuts the records of a block at the limit; `first` is the number of its first record, from 1."""
        limit = self._options.limit
        return records[: max(limit - first + 1, 0)] if limit else records

    def _keep_recipes(self, layers: Layers, ids: dict[str, int], unknown_id: int, vocabulary_source: str) -> None:
        """Filters the recipes, reads their photos, fills the spool, and assigns classes."""
        options, bigrams = self._options, BigramCounter()
        kept: list[tuple[str, str, str, str]] = []  # split, partition, title and id
        root = photo_places.image_root(self._source)
        load = LoadPhotos(options.resize, options.jpeg_quality)
        removed = filters.read_removed(self._source, options.published_split)
        outcomes = self._outcomes(
            layers, FilterAndEncode(layers, ids, unknown_id, removed, root.absolute(), options), bigrams
        )
        if self._cluster:
            loading = self._cluster.load(load, root, outcomes, options.without_photos)
        else:
            loading = photos.map_in_order(load, outcomes, self._workers, has_files)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # the problems of photos are reported instead
            for outcome, loaded in loading:
                if not isinstance(outcome, Encoded):
                    self.report.drop(outcome, outcome.reason)
                elif split := self._keep(outcome, load(outcome) if loaded is None else loaded):
                    kept.append((split, outcome.partition, outcome.title, outcome.id))
        if all(split == TEXT for split, *_ in kept):
            raise self._nothing_kept(root)
        self._assign_classes(bigrams, kept)
        if self._cluster:
            self.report.show(lambda *place: load.one(photo_places.find_photo(root, *place)))
        self.report.set_vocabulary(vocabulary_source, unknown_id - words.FIRST_WORD_ID)
        assert self.report.adds_up(), "a record was counted twice or not at all"

    def _outcomes(self, layers: Layers, task: FilterAndEncode, bigrams: BigramCounter) -> Iterator[Outcome]:
        """Yields the outcome of each record in order, and counts the bigrams of the train titles."""
        seen, number, undetected = SeenIds(), 1, 0
        for block in self._read(layers, task, "recipes and photos"):
            outcomes = self._up_to_limit(seen.mark_repeats(block.outcomes, number), number)
            number += len(block.outcomes)
            titles = zip(outcomes, block.tokens, strict=False)  # the limit may have cut the outcomes
            bigrams.add([token for outcome, title in titles if not isinstance(outcome, Unusable) for token in title])
            undetected += sum(isinstance(outcome, Encoded) and outcome.names is None for outcome in outcomes)
            yield from outcomes
        if undetected:
            what = "recipes" if self._options.without_photos else "recipes with a photo"
            self.report.notes.append(f"{undetected} {what} have no ingredient in det_ingrs.json")

    def _keep(self, encoded: Encoded, loaded: list[photos.Photo]) -> str | None:
        """Counts a recipe, writes it with its readable photos to the spool, and returns its split; None if dropped."""
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
        report.count_unknown(
            sum(encoded.sentence_lengths), len(encoded.unknown_words), encoded.names or 0, len(encoded.unknown_names)
        )
        report.contents.add(encoded, readable)
        if self._spool:
            self._spool.add(split, encoded.record, small_files(loaded))
        return split

    def _nothing_kept(self, root: Path) -> UserError:
        if self.report.photo_problems:
            problems = ", ".join(f"{group.counts.total()} {kind}" for kind, group in self.report.photo_problems.items())
            pattern = photo_places.photo_pattern(root)
            return UserError(f"no photo can be read ({problems}); expected {pattern}")
        reasons = {reason: group.counts.total() for reason, group in self.report.dropped.items()}
        if not reasons:
            return UserError(f"no recipe of {self._source} has a photo; layer2.json lists the photos")
        most = max(reasons, key=reasons.__getitem__)
        return UserError(f"no recipe of {self._source} is kept; most frequent reason ({reasons[most]} recipes): {most}")

    def _assign_classes(self, bigrams: BigramCounter, kept: list[tuple[str, str, str, str]]) -> None:
        splits, partitions, titles, ids = [list(column) for column in zip(*kept, strict=True)]
        options, notes = self._options, self.report.notes
        if self._classes:
            self.class_names, class_of = self._classes
            class_ids = np.array([class_of.get(recipe_id.lower(), 0) for recipe_id in ids], np.int64)
        else:
            # Recipes without photos do not affect which classes there are.
            has_photos = np.array(splits) != TEXT
            class_ids = np.zeros(len(titles), np.int64)
            self.class_names, class_ids[has_photos] = name_classes(
                bigrams.most_common(options.class_bigrams),
                food101_names(self._source),
                list(itertools.compress(titles, has_photos)),
                list(itertools.compress(partitions, has_photos)),
                options,
            )
            for row in np.flatnonzero(~has_photos):
                class_ids[row] = class_of_title(titles[row], self.class_names)
        self.report.set_classes(self.class_names, class_ids, partitions)
        self._kept = {name: class_ids[np.array(splits) == name].tolist() for name in dict.fromkeys(splits)}
        notes += [f"no recipe of {name} is kept" for name in options.wanted_partitions if name not in self._kept]
        if len(self.class_names) == 1:
            notes.append(
                f"no class has more than {options.class_min_train} train recipes, at least {options.class_min_val} val "
                f"and at least {options.class_min_test} test recipes; try a smaller --class-min-train"
            )
