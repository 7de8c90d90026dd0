"""What a conversion kept, what it left out and why: counted, named, and adding up."""

import dataclasses
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from data_builders.recipe1m.duplicates import Shared
from data_builders.recipe1m.layers.markup import counted, named, share, shown
from data_builders.recipe1m.metadata import describe
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.passes.photos import Photo
from data_builders.recipe1m.passes.text_pass import Dropped, Encoded
from data_builders.recipe1m.recipes import PARTITIONS, Recipe, Unusable
from data_builders.recipe1m.report.contents import MOST_FREQUENT, Contents
from data_builders.recipe1m.report.groups import NAMED, Group, by_size
from data_builders.recipe1m.report.lengths import QUANTILES, Distribution
from data_builders.recipe1m.report.sample import Sampled

COLUMNS = (*PARTITIONS, "unknown")


class Report:
    """Collects the fate of every record of a download and of every photo that was looked at.

    Args:
        dropped: a file to write that names everything left out, a line each (kind, partition, id, reason, title,
            divided by tabs); None: nothing is written.
        options: of the conversion.
        source: where the records are.

    Attributes:
        contents: what the kept recipes hold.
        sample: some of them, once there are classes.
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
        """A record that is left out."""
        if isinstance(record, Unusable):
            identity, title = "-", shown(record.name)
            name = title
        else:
            identity, title = record.id, shown(record.title)
            name = f"{identity} {title}".rstrip()
        self.records[record.partition] += 1
        if reason not in self.dropped:
            self.dropped[reason] = Group()
        self.dropped[reason].add(record.partition, name)
        self._write("recipe", record.partition, identity, reason, title)

    def keep(self, recipe: Recipe | Encoded, photos: int) -> None:
        """A recipe that stays, with this many photos."""
        self.records[recipe.partition] += 1
        self.kept[recipe.partition] += 1
        self.without_photos[recipe.partition] += not photos
        self.photos_used[recipe.partition] += photos
        if photos:
            self.photos_per_recipe[photos] += 1

    def photo_problem(self, recipe: Recipe | Encoded, photo: Photo) -> None:
        """A photo that cannot be used."""
        kind = "missing" if photo.problem == "missing" else "unreadable"
        problem = shown(photo.problem, 100)
        name = shown(photo.id) if kind == "missing" else f"{shown(photo.id)}: {problem}"
        self.photo_problems.setdefault(kind, Group()).add(recipe.partition, f"{name} (recipe {recipe.id})")
        self._write("photo", recipe.partition, shown(photo.id), problem, f"of recipe {recipe.id}")

    def count_unknown(self, words: int, unknown_words: int, names: int, unknown_names: int) -> None:
        """Words and ingredient names of a kept recipe, and how many of them the vocabulary does not know."""
        self.words += words
        self.unknown_words += unknown_words
        self.names += names
        self.unknown_names += unknown_names

    def set_vocabulary(self, source: str, words: int) -> None:
        """Where the vocabulary is from ("given" or "trained"), and how many words it has."""
        self.vocabulary = {"source": source, "words": words}

    def set_classes(self, names: list[str], class_ids: np.ndarray, partitions: list[str]) -> None:
        """How many kept recipes of each partition each class has."""
        sizes = [Counter() for _ in names]
        for class_id, partition in zip(class_ids.tolist(), partitions, strict=True):
            sizes[class_id][partition] += 1
        self.classes = list(zip(names, sizes, strict=True))
        self.sample = [
            dataclasses.replace(
                sampled, item=dataclasses.replace(sampled.item, class_name=names[class_ids[sampled.position]])
            )
            for sampled in self.contents.sample.chosen()
        ]

    def show(self, load: Callable[[str, str], Photo]) -> None:
        """Gives the recipes of the sample their photos, where these stayed on other machines.

        Args:
            load: partition and id -> the photo.
        """
        self.sample = [
            dataclasses.replace(
                sampled,
                item=dataclasses.replace(sampled.item, photo=load(sampled.partition, sampled.photo_id).jpeg),
            )
            for sampled in self.sample
        ]

    def close(self) -> None:
        """Closes the file of names."""
        if self._dropped_file:
            self._dropped_file.close()

    def adds_up(self) -> bool:
        """Whether each record of each partition was kept or left out, and once."""
        left_out = sum((group.counts for group in self.dropped.values()), Counter())
        return self.kept + left_out == self.records

    def as_json(self) -> dict[str, Any]:
        """The report as plain values."""

        def groups(of: dict[str, Group]) -> dict[str, Any]:
            return {
                name: {"count": group.counts.total(), **_columns(group.counts), "first": group.first}
                for name, group in by_size(of)
            }

        contents = self.contents
        return {
            "options": describe(self.options, {})["options"],
            "records": {"all": self.records.total(), **_columns(self.records)},
            "kept": {"all": self.kept.total(), **_columns(self.kept)},
            "kept_without_photos": {"all": self.without_photos.total(), **_columns(self.without_photos)},
            "dropped": groups(self.dropped),
            "photos": {
                "used": self.photos_used.total(),
                "beyond_the_first": self.photos_beyond.total(),
                "problems": groups(self.photo_problems),
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
        """How many used photos were smaller than they may be stored."""
        shorter = self.contents.photo_sides["shorter side"]
        return shorter.total() - shorter.above(self.options.resize - 1)

    def lengths(self) -> dict[str, Distribution]:
        """The distributions of all that has a size."""
        sides = self.contents.photo_sides.items()
        return {**self.contents.lengths, **{f"{name} of a photo in pixels": side for name, side in sides}}

    def summary(self) -> str:
        """The report in the lines that fit a terminal."""
        rows = [(f"records in {self.source}", self.records), ("kept", self.kept), *self.text_rows()]
        rows += [(f"- {reason}", group.counts) for reason, group in by_size(self.dropped)]
        columns = [column for column in COLUMNS if self.records[column]]
        lines = _aligned(
            ["", "all", *columns],
            [[name, counts.total(), *(counts[column] for column in columns)] for name, counts in rows],
        )
        for reason, group in by_size(self.dropped):
            more = ", …" if group.counts.total() > 3 else ""
            lines.append(f"{reason}: {', '.join(group.first[:3])}{more}")
        lines.append(f"photos: {self.photos_summary()}")
        for kind, group in by_size(self.photo_problems):
            more = ", …" if group.counts.total() > 3 else ""
            lines.append(f"  {kind}: {', '.join(group.first[:3])}{more}")
        measured = [(name, lengths.quantiles()) for name, lengths in self.lengths().items()]
        lines += _aligned(["", *QUANTILES], [[name, *found.values()] for name, found in measured if found])
        lines.append(f"photo files: {self.sizes_summary()}")
        lines += [
            f"{name}: {count:,} ({share(count, whole)})"
            for name, (count, whole) in self.contents.beyond().items()
            if count
        ]
        lines.append(f"words: {self.words_summary()}")
        for thing, most in (("words", self.contents.words), ("ingredient names", self.contents.names)):
            if most_common := [f"{named(text)} ({count:,})" for text, count in most.most_common(NAMED)]:
                lines.append(f"  {thing} it lacks most: {', '.join(most_common)}")
        lines.append(f"duplicates: {self.duplicates_summary()}")
        if self.classes:
            lines.append(f"classes: {self.classes_summary()}")
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def photos_summary(self) -> str:
        """Numbers of photos in one sentence."""
        problems = [f"{group.counts.total():,} {kind}" for kind, group in by_size(self.photo_problems)]
        beyond = [f"{self.photos_beyond.total():,} beyond a recipe's first ones"] if self.photos_beyond.total() else []
        return ", ".join([f"{self.photos_used.total():,} used", *problems, *beyond])

    def sizes_summary(self) -> str:
        """Sizes and formats of the used photos' files in one sentence."""
        formats = ", ".join(f"{count:,} {name}" for name, count in self.contents.formats.most_common())
        small = self.smaller_photos()
        return (
            f"{formats}; {small:,} ({share(small, self.photos_used.total())}) have a shorter side of less than "
            f"{self.options.resize} pixels and keep their size"
        )

    def words_summary(self) -> str:
        """Numbers of words in one sentence."""
        return (
            f"the vocabulary ({self.vocabulary['source']}, {self.vocabulary['words']:,} words) lacks "
            f"{share(self.unknown_words, self.words)} of {self.words:,} instruction words and "
            f"{share(self.unknown_names, self.names)} of {self.names:,} ingredient names of the kept recipes"
        )

    def duplicates_summary(self) -> str:
        """What is in two partitions, or twice in one, in one sentence."""

        def told(kind: str, places: tuple[str, ...], shared: Shared) -> str:
            if len(places) == 1:
                return f"{counted(shared.items[places[0]], kind)} in {places[0]} repeat another one there"
            return f"{counted(shared.contents, kind)} in both {places[0]} and {places[1]}"

        found = [
            told(kind.removesuffix("s"), places, shared)
            for kind, all_shared in self.contents.duplicates.items()
            for places, shared in all_shared.items()
            if shared.contents
        ]
        return ", ".join(found) or "no photo and no text is there twice"

    def classes_summary(self) -> str:
        """Numbers of classes in one sentence."""
        if len(self.classes) == 1:
            return "none, every kept recipe is background"
        background = self.classes[0][1]
        shares = [f"{share(background[name], self.kept[name])} of {name}" for name in PARTITIONS if self.kept[name]]
        return (
            f"{len(self.classes) - 1:,}; {share(background.total(), self.kept.total())} of the kept recipes have none "
            f"({', '.join(shares)})"
        )

    def text_rows(self) -> list[tuple[str, Counter[str]]]:
        """The row of a table that tells of the split without photos, where there is one."""
        rows = [("kept, of these without photos (the split text)", self.without_photos)]
        return rows if self.without_photos.total() else []

    def _write(self, *fields: str) -> None:
        if self._dropped_file:
            self._dropped_file.write("\t".join(fields) + "\n")


def _columns(counts: Counter[str]) -> dict[str, int]:
    return {column: counts[column] for column in COLUMNS if column != "unknown" or counts[column]}


def _aligned(head: list[str], rows: list[list[str | int]]) -> list[str]:
    """The lines of a table for a terminal."""
    width = max(len(str(row[0])) for row in (head, *rows))
    lines = ["".join(f"{column:>12}" for column in head[1:])]
    lines += ["".join(f"{number:>12,}" for number in row[1:]) for row in rows]
    return [f"{row[0]:<{width}}{line}" for row, line in zip((head, *rows), lines, strict=True)]
