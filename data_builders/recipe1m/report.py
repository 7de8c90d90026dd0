"""What a conversion kept, what it left out and why: counted, named, and adding up."""

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from data_builders.recipe1m.layers import PARTITIONS, Recipe, Unusable
from data_builders.recipe1m.photos import Photo

# How many of each kind the report names; `dropped.tsv` names them all.
NAMED = 10
COLUMNS = (*PARTITIONS, "unknown")
LARGEST_CLASSES = 20
_TITLE_CHARS = 60


@dataclass
class Group:
    """Things that share a fate: how many in each partition, and the first names."""

    counts: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)

    def add(self, partition: str, name: str) -> None:
        """Counts one more."""
        self.counts[partition] += 1
        if len(self.first) < NAMED:
            self.first.append(name)


class Report:
    """Collects the fate of every record of a download and of every photo that was looked at.

    Args:
        dropped: a file to write that names everything left out, a line each (kind, partition, id, reason, title,
            divided by tabs); None: nothing is written.
        source: where the records are.
    """

    def __init__(self, dropped: Path | None = None, source: str = "layer1.json"):
        self._source = source
        self._dropped_file = dropped.open("w", encoding="utf-8") if dropped else None
        self.records: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self.dropped: dict[str, Group] = {}
        self.photos_used: Counter[str] = Counter()
        self.photos_beyond: Counter[str] = Counter()
        self.photo_problems: dict[str, Group] = {}
        self.photos_per_recipe: Counter[int] = Counter()
        self.words, self.unknown_words, self.names, self.unknown_names = 0, 0, 0, 0
        self.notes: list[str] = []
        self.vocabulary = {"source": "", "words": 0}
        self.classes: list[tuple[str, Counter[str]]] = []

    def drop(self, record: Recipe | Unusable, reason: str) -> None:
        """A record that is left out."""
        if isinstance(record, Recipe):
            name, identity, title = f"{record.id} {shown(record.title)}".rstrip(), record.id, shown(record.title)
        else:
            name, identity, title = shown(record.name), "-", shown(record.name)
        self.records[record.partition] += 1
        self.dropped.setdefault(reason, Group()).add(record.partition, name)
        self._write("recipe", record.partition, identity, reason, title)

    def keep(self, recipe: Recipe, photos: int) -> None:
        """A recipe that stays, with this many photos."""
        self.records[recipe.partition] += 1
        self.kept[recipe.partition] += 1
        self.photos_used[recipe.partition] += photos
        self.photos_per_recipe[photos] += 1

    def photo_problem(self, recipe: Recipe, photo: Photo) -> None:
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
                for name, group in _by_size(of)
            }

        return {
            "records": {"all": self.records.total(), **_columns(self.records)},
            "kept": {"all": self.kept.total(), **_columns(self.kept)},
            "dropped": groups(self.dropped),
            "photos": {
                "used": self.photos_used.total(),
                "beyond_the_first": self.photos_beyond.total(),
                "problems": groups(self.photo_problems),
                "recipes_by_number_of_photos": {
                    str(n): self.photos_per_recipe[n] for n in sorted(self.photos_per_recipe)
                },
            },
            "words": {
                "instruction_words": self.words,
                "unknown": self.unknown_words,
                "ingredient_names": self.names,
                "unknown_ingredient_names": self.unknown_names,
            },
            "classes": {name: _columns(sizes) for name, sizes in self.classes},
            "notes": self.notes,
            "vocabulary": self.vocabulary,
        }

    def as_markdown(self) -> str:
        """The report as a page."""
        rows = [(f"records in {self._source}", self.records), ("**kept**", self.kept)]
        rows += [(reason, group.counts) for reason, group in _by_size(self.dropped)]
        lines = ["# Recipe1M, converted", "", *_table("recipes", rows), ""]
        lines += ["## Photos", "", f"{self.photos_summary()}.", ""]
        rows = [(f"with {n} photos" if n > 1 else "with 1 photo", c) for n, c in sorted(self.photos_per_recipe.items())]
        lines += ["| kept recipes | |", "|---|---:|", *(f"| {name} | {count:,} |" for name, count in rows), ""]
        lines += ["## Words", "", f"{self.words_summary()}.", ""]
        if self.classes:
            largest = sorted(self.classes[1:], key=lambda entry: -entry[1].total())[:LARGEST_CLASSES]
            lines += ["## Classes", "", f"{self.classes_summary()}.", ""]
            lines += [*_table("the largest classes", largest), ""] if largest else []
        lines += ["## Left out", "", "The first of each kind; `dropped.tsv` names them all.", ""]
        for heading, of in (("", self.dropped), ("photos, ", self.photo_problems)):
            for name, group in _by_size(of):
                lines += [f"**{heading}{name}** ({group.counts.total():,})", ""]
                lines += [*(f"- {_escaped(first)}" for first in group.first), ""]
        lines += ["## Notes", "", *(f"- {note}" for note in self.notes or ["none"]), ""]
        return "\n".join(lines)

    def write(self, folder: Path) -> None:
        """Writes `report.md` and `report.json`."""
        (folder / "report.md").write_text(self.as_markdown(), encoding="utf-8")
        text = json.dumps(self.as_json(), indent=1, ensure_ascii=False)
        (folder / "report.json").write_text(text + "\n", encoding="utf-8")

    def summary(self) -> str:
        """The report in the lines that fit a terminal."""
        rows = [(f"records in {self._source}", self.records), ("kept", self.kept)]
        rows += [(f"- {reason}", group.counts) for reason, group in _by_size(self.dropped)]
        columns = [column for column in COLUMNS if self.records[column]]
        width = max(len(name) for name, _ in rows)
        lines = [" " * width + "".join(f"{column:>12}" for column in ("all", *columns))]
        for name, counts in rows:
            numbers = (counts.total(), *(counts[column] for column in columns))
            lines.append(f"{name:<{width}}" + "".join(f"{number:>12,}" for number in numbers))
        for reason, group in _by_size(self.dropped):
            more = ", …" if group.counts.total() > 3 else ""
            lines.append(f"{reason}: {', '.join(group.first[:3])}{more}")
        lines.append(f"photos: {self.photos_summary()}")
        for kind, group in _by_size(self.photo_problems):
            more = ", …" if group.counts.total() > 3 else ""
            lines.append(f"  {kind}: {', '.join(group.first[:3])}{more}")
        lines.append(f"words: {self.words_summary()}")
        if self.classes:
            lines.append(f"classes: {self.classes_summary()}")
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join(lines)

    def photos_summary(self) -> str:
        """Numbers of photos in one sentence."""
        problems = [f"{group.counts.total():,} {kind}" for kind, group in _by_size(self.photo_problems)]
        beyond = [f"{self.photos_beyond.total():,} beyond a recipe's first ones"] if self.photos_beyond.total() else []
        return ", ".join([f"{self.photos_used.total():,} used", *problems, *beyond])

    def words_summary(self) -> str:
        """Numbers of words in one sentence."""
        return (
            f"the vocabulary ({self.vocabulary['source']}, {self.vocabulary['words']:,} words) lacks "
            f"{_share(self.unknown_words, self.words)} of {self.words:,} instruction words and "
            f"{_share(self.unknown_names, self.names)} of {self.names:,} ingredient names of the kept recipes"
        )

    def classes_summary(self) -> str:
        """Numbers of classes in one sentence."""
        if len(self.classes) == 1:
            return "none, every kept recipe is background"
        background = self.classes[0][1].total()
        return f"{len(self.classes) - 1:,}; {_share(background, self.kept.total())} of the kept recipes have none"

    def _write(self, *fields: str) -> None:
        if self._dropped_file:
            self._dropped_file.write("\t".join(fields) + "\n")


def shown(text: str, most: int = _TITLE_CHARS) -> str:
    """A text from a download as it may be printed: one line, no control characters, not endless."""
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _by_size(groups: dict[str, Group]) -> list[tuple[str, Group]]:
    return sorted(groups.items(), key=lambda item: -item[1].counts.total())


def _columns(counts: Counter[str]) -> dict[str, int]:
    return {column: counts[column] for column in COLUMNS if column != "unknown" or counts[column]}


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"


def _escaped(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#" else char for char in text)


def _table(title: str, rows: list[tuple[str, Counter[str]]]) -> list[str]:
    columns = [column for column in COLUMNS if any(counts[column] for _, counts in rows)]
    lines = [f"| {title} | all | {' | '.join(columns)} |", "|---|" + "---:|" * (len(columns) + 1)]
    for name, counts in rows:
        numbers = (counts.total(), *(counts[column] for column in columns))
        lines.append(f"| {name.replace('|', '/')} | {' | '.join(f'{number:,}' for number in numbers)} |")
    return lines
