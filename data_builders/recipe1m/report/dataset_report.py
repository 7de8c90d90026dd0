"""Counts and names what a conversion keeps and drops, and why."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data_builders.recipe1m.duplicates import Shared
from data_builders.recipe1m.layers.formatting import counted, named, share, shown
from data_builders.recipe1m.metadata import describe
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.passes.photos import Photo
from data_builders.recipe1m.passes.text_pass import Dropped, Encoded
from data_builders.recipe1m.recipes import PARTITIONS, Recipe, Unusable
from data_builders.recipe1m.report.contents import MOST_FREQUENT, Contents
from data_builders.recipe1m.report.counters import QUANTILES, Distribution
from data_builders.recipe1m.report.groups import NAMED, Group, by_size
from data_builders.recipe1m.report.sample import Sampled

COLUMNS = (*PARTITIONS, "unknown")


class Report:
    """Collects the outcome of every record of a download and of every photo that was read.

    Args:
        dropped: File to write, with a tab-separated line (kind, partition, id, reason, title) for each dropped record
            or photo; None to write no file.
        options: Options of the conversion.
        source: Name of the file or database with the records.

    Attributes:
        contents: Statistics of the kept recipes.
        sample: Random sample of the kept recipes, set by `set_classes`.
    """

    def __init__(self, dropped: Path | None = None, options: Options | None = None, source: str = "layer1.json"):
        self.options = options or Options()
        self.source = source
        self.contents = Contents()
        self.sample: list[Sampled] = []
        self._dropped_file = dropped.open("w", 1 << 20, "utf-8") if dropped else None
        self.records: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self.without_photos: Counter[str] = Counter()
        self.dropped: dict[str, Group] = {}
        self.photos_used: Counter[str] = Counter()
        self.photos_beyond: Counter[str] = Counter()
        self.photo_problems: dict[str, Group] = {}
        self.photos_per_recipe: Counter[int] = Counter()
        self.words, self.unknown_words, self.names, self.unknown_names = 0, 0, 0, 0
        self.notes: list[str] = []
        self.vocabulary = {"source": "", "words": 0}
        self.classes: list[tuple[str, Counter[str]]] = []

    def drop(self, record: Recipe | Dropped | Encoded | Unusable, reason: str) -> None:
        """Counts a dropped record."""
        if isinstance(record, Unusable):
            identity, title = "-", shown(record.name)
            name = title
        else:
            identity, title = record.id, shown(record.title)
            name = f"{identity} {title}".rstrip()
        self.records[record.partition] += 1
        self.dropped.setdefault(reason, Group()).add(record.partition, name)
        self._write("recipe", record.partition, identity, reason, title)

    def keep(self, recipe: Recipe | Encoded, photos: int) -> None:
        """Counts a kept recipe with its number of photos."""
        self.records[recipe.partition] += 1
        self.kept[recipe.partition] += 1
        self.without_photos[recipe.partition] += not photos
        self.photos_used[recipe.partition] += photos
        if photos:
            self.photos_per_recipe[photos] += 1

    def photo_problem(self, recipe: Recipe | Encoded, photo: Photo) -> None:
        """Counts a photo that cannot be used."""
        kind = "missing" if photo.problem == "missing" else "unreadable"
        problem = shown(photo.problem, 100)
        name = shown(photo.id) if kind == "missing" else f"{shown(photo.id)}: {problem}"
        self.photo_problems.setdefault(kind, Group()).add(recipe.partition, f"{name} (recipe {recipe.id})")
        self._write("photo", recipe.partition, shown(photo.id), problem, f"of recipe {recipe.id}")

    def count_unknown(self, words: int, unknown_words: int, names: int, unknown_names: int) -> None:
        """Counts the words and ingredient names of a kept recipe and those that the vocabulary lacks."""
        self.words += words
        self.unknown_words += unknown_words
        self.names += names
        self.unknown_names += unknown_names

    def set_vocabulary(self, source: str, words: int) -> None:
        """Sets the source of the vocabulary ("given" or "trained") and its number of words."""
        self.vocabulary = {"source": source, "words": words}

    def set_classes(self, names: list[str], class_ids: np.ndarray, partitions: list[str]) -> None:
        """Counts the kept recipes of each class and partition, and sets `sample`."""
        sizes = [Counter() for _ in names]
        for class_id, partition in zip(class_ids.tolist(), partitions, strict=True):
            sizes[class_id][partition] += 1
        self.classes = list(zip(names, sizes, strict=True))
        self.sample = [
            sampled.with_item(class_name=names[class_ids[sampled.position]])
            for sampled in self.contents.sample.chosen()
        ]

    def show(self, load: Callable[[str, str], Photo]) -> None:
        """Loads the photos of the sample, which a conversion on a cluster does not return, by partition and id."""
        self.sample = [
            sampled.with_item(photo=load(sampled.partition, sampled.photo_id).jpeg) for sampled in self.sample
        ]

    def close(self) -> None:
        if self._dropped_file:
            self._dropped_file.close()

    def adds_up(self) -> bool:
        """Whether each record was counted exactly once, as kept or dropped."""
        return self.kept + sum((group.counts for group in self.dropped.values()), Counter()) == self.records

    def as_json(self) -> dict[str, Any]:

        def by_partition(counts: Counter[str]) -> dict[str, int]:
            return {"all": counts.total(), **_columns(counts)}

        def described(groups: dict[str, Group]) -> dict[str, Any]:
            return {
                name: {"count": group.counts.total(), **_columns(group.counts), "first": group.first}
                for name, group in by_size(groups)
            }

        contents = self.contents
        return {
            "options": describe(self.options, {})["options"],
            "records": by_partition(self.records),
            "kept": by_partition(self.kept),
            "kept_without_photos": by_partition(self.without_photos),
            "dropped": described(self.dropped),
            "photos": {
                "used": self.photos_used.total(),
                "beyond_the_first": self.photos_beyond.total(),
                "problems": described(self.photo_problems),
                "recipes_by_number_of_photos": {
                    str(n): self.photos_per_recipe[n] for n in sorted(self.photos_per_recipe)
                },
                "original_sides": {name: sides.as_json() for name, sides in contents.photo_sides.items()},
                "smaller_than_resize": self.smaller_photos(),
                "formats": dict(contents.formats.most_common()),
            },
            "lengths": {name: lengths.as_json() for name, lengths in contents.lengths.items()},
            "beyond_the_model": {name: {"count": n, "of": of} for name, (n, of) in contents.beyond().items()},
            "words": {
                "instruction_words": self.words,
                "unknown": self.unknown_words,
                "most_frequent_unknown": dict(contents.words.most_common(MOST_FREQUENT)),
                "counts_may_be_too_low_by": contents.words.error,
                "ingredient_names": self.names,
                "unknown_ingredient_names": self.unknown_names,
                "most_frequent_unknown_ingredient_names": dict(contents.names.most_common(MOST_FREQUENT)),
                "name_counts_may_be_too_low_by": contents.names.error,
            },
            "duplicates": {
                kind: {" and ".join(places): dataclasses.asdict(shared) for places, shared in found.items()}
                for kind, found in contents.duplicates.items()
            },
            "classes": {name: _columns(sizes) for name, sizes in self.classes},
            "sample": [
                {"partition": sampled.partition, "id": sampled.item.id, "class": sampled.item.class_name}
                for sampled in self.sample
            ],
            "notes": self.notes,
            "vocabulary": self.vocabulary,
        }

    def smaller_photos(self) -> int:
        """Returns the number of used photos that are smaller than the stored size."""
        shorter = self.contents.photo_sides["shorter side"]
        return shorter.total() - shorter.above(self.options.resize - 1)

    def lengths(self) -> dict[str, Distribution]:
        """Returns all distributions of lengths and sizes."""
        sides = self.contents.photo_sides.items()
        return {**self.contents.lengths, **{f"{name} of a photo in pixels": side for name, side in sides}}

    def summary(self) -> str:
        """Returns the report as text for a terminal."""
        rows = [(f"records in {self.source}", self.records), ("kept", self.kept), *self.text_rows()]
        rows += [(f"- {reason}", group.counts) for reason, group in by_size(self.dropped)]
        columns = [column for column in COLUMNS if self.records[column]]
        lines = _aligned(
            ["", "all", *columns],
            [[name, counts.total(), *(counts[column] for column in columns)] for name, counts in rows],
        )
        for reason, group in by_size(self.dropped):
            lines.append(f"{reason}: {_examples(group)}")
        lines.append(f"photos: {self.photos_summary()}")
        for kind, group in by_size(self.photo_problems):
            lines.append(f"  {kind}: {_examples(group)}")
        measured = [(name, lengths.quantiles()) for name, lengths in self.lengths().items()]
        lines += _aligned(["", *QUANTILES], [[name, *found.values()] for name, found in measured if found])
        lines.append(f"photo files: {self.sizes_summary()}")
        lines += [
            f"{name}: {count:,} ({share(count, whole)})"
            for name, (count, whole) in self.contents.beyond().items()
            if count
        ]
        lines.append(f"words: {self.words_summary()}")
        for kind, unknown in (("words", self.contents.words), ("ingredient names", self.contents.names)):
            if most_common := [f"{named(text)} ({count:,})" for text, count in unknown.most_common(NAMED)]:
                lines.append(f"  most frequent unknown {kind}: {', '.join(most_common)}")
        lines.append(f"duplicates: {self.duplicates_summary()}")
        if self.classes:
            lines.append(f"classes: {self.classes_summary()}")
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def photos_summary(self) -> str:
        problems = [f"{group.counts.total():,} {kind}" for kind, group in by_size(self.photo_problems)]
        beyond = [f"{self.photos_beyond.total():,} over the limit per recipe"] if self.photos_beyond.total() else []
        return ", ".join([f"{self.photos_used.total():,} used", *problems, *beyond])

    def sizes_summary(self) -> str:
        formats = ", ".join(f"{count:,} {name}" for name, count in self.contents.formats.most_common())
        small = self.smaller_photos()
        return (
            f"{formats}; {small:,} ({share(small, self.photos_used.total())}) have a shorter side of less than "
            f"{self.options.resize} pixels and are not resized"
        )

    def words_summary(self) -> str:
        return (
            f"the vocabulary ({self.vocabulary['source']}, {self.vocabulary['words']:,} words) lacks "
            f"{share(self.unknown_words, self.words)} of {self.words:,} instruction words and "
            f"{share(self.unknown_names, self.names)} of {self.names:,} ingredient names of the kept recipes"
        )

    def duplicates_summary(self) -> str:

        def described(kind: str, partitions: tuple[str, ...], shared: Shared) -> str:
            if len(partitions) == 1:
                return f"{counted(shared.items[partitions[0]], kind)} in {partitions[0]} repeat an earlier one"
            return f"{counted(shared.contents, kind)} in both {partitions[0]} and {partitions[1]}"

        duplicates = [
            described(kind.removesuffix("s"), partitions, shared)
            for kind, by_partitions in self.contents.duplicates.items()
            for partitions, shared in by_partitions.items()
            if shared.contents
        ]
        return ", ".join(duplicates) or "no photo or text occurs twice"

    def classes_summary(self) -> str:
        if len(self.classes) == 1:
            return "none; every kept recipe is background"
        background = self.classes[0][1]
        shares = [f"{share(background[name], self.kept[name])} of {name}" for name in PARTITIONS if self.kept[name]]
        return (
            f"{len(self.classes) - 1:,}; {share(background.total(), self.kept.total())} of the kept recipes have no "
            f"class ({', '.join(shares)})"
        )

    def text_rows(self) -> list[tuple[str, Counter[str]]]:
        """Returns the table row of the split without photos if it has recipes."""
        rows = [("of these without photos (the split text)", self.without_photos)]
        return rows if self.without_photos.total() else []

    def _write(self, *fields: str) -> None:
        if self._dropped_file:
            self._dropped_file.write("\t".join(fields) + "\n")


def _examples(group: Group) -> str:
    return ", ".join(group.first[:3]) + (", …" if group.counts.total() > 3 else "")


def _columns(counts: Counter[str]) -> dict[str, int]:
    return {column: counts[column] for column in COLUMNS if column != "unknown" or counts[column]}


def _aligned(head: list[str], rows: list[list[str | int]]) -> list[str]:
    """Returns the lines of a table for a terminal."""
    width = max(len(str(row[0])) for row in (head, *rows))
    lines = ["".join(f"{column:>12}" for column in head[1:])]
    lines += ["".join(f"{number:>12,}" for number in row[1:]) for row in rows]
    return [f"{row[0]:<{width}}{line}" for row, line in zip((head, *rows), lines, strict=True)]
