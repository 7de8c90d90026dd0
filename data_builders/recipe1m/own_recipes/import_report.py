"""Counts and names the imported and left-out records and photos."""

from collections import Counter
from pathlib import Path

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.languages import WITH_RULES
from data_builders.recipe1m.layers.formatting import shown
from data_builders.recipe1m.report.groups import Group, by_size

# Number of items that the summary names per reason; dropped.tsv lists all of them.
_NAMED = 3
_EXAMPLE_CHARS = 60
_ALL = "all"


class Report:
    """Collects the outcome of every record, photo and ingredient line.

    Args:
        folder: Folder to write dropped.tsv to, which lists what is left out, and recipes without a photo (kind, where,
            reason, what).
        skip_broken: Whether to skip unreadable input instead of stopping.
        unpacked: Folder for the photos of archives; see `formats.report`.
    """

    def __init__(self, folder: Path, *, skip_broken: bool, unpacked: Path | None = None):
        self.unpacked = unpacked
        self._file = (folder / "dropped.tsv").open("w", encoding="utf-8", newline="\n")
        self._skip_broken = skip_broken
        self.dropped: dict[str, Group] = {}
        self.photo_problems: dict[str, Group] = {}
        self.parts: dict[str, Group] = {}
        self.without_recipe, self.without_photo = Group(), Group()
        self.unknown_columns: Counter[str] = Counter()
        self.notes: list[str] = []
        self.photos: set[str] = set()
        self.recipes: Counter[str] = Counter()
        self.with_photo: Counter[str] = Counter()
        self.lines, self.named, self.unsure = 0, 0, Group()
        self.classes: Counter[str] = Counter()
        self.languages: Counter[str] = Counter()
        self.example: tuple[str, str] | None = None
        self._removed_chars = 0

    def broken(self, where: str, what: str) -> None:
        """Reports unreadable input; raises a `UserError` unless `skip_broken`."""
        if not self._skip_broken:
            raise UserError(f"{where}: {what}; fix it, or add --skip-broken to leave it out")
        self.drop(where, "cannot be read", what)

    def drop(self, where: str, reason: str, what: str = "") -> None:
        """Reports a record that is left out."""
        name = f"{where} ({shown(what)})" if what else where
        self.dropped.setdefault(reason, Group()).add(_ALL, shown(name, 160))
        self._write("recipe", where, reason, what)

    def photo_problem(self, where: str, kind: str, listed: str, detail: str = "") -> None:
        """Reports a photo that is left out."""
        name = f"{shown(listed, 80)}{f' ({shown(detail, 80)})' if detail else ''} of {where}"
        self.photo_problems.setdefault(kind, Group()).add(_ALL, shown(name, 240))
        self._write("photo", where, detail or kind, listed)

    def part(self, where: str, field: str, what: str) -> None:
        """Reports an item of a field that contains no text."""
        self.parts.setdefault(f"{field} without a text", Group()).add(_ALL, f"{shown(what, 80)} of {where}")
        self._write("part", where, f"no text in {field}", what)

    def note(self, text: str) -> None:
        self.notes.append(" ".join(text.split()))

    def no_recipe(self, name: str) -> None:
        """Reports a file without a recipe."""
        self.without_recipe.add(_ALL, shown(name))
        self._write("file", name, "contains no recipe", "")

    def no_photo(self, where: str, title: str) -> None:
        """Reports a recipe without a photo, which is kept."""
        self.without_photo.add(_ALL, shown(where))
        self._write("no photo", where, "the recipe is kept", title)

    def ingredient_line(self, line: str, names: list[tuple[str, bool]]) -> None:
        """Reports an ingredient line and the names found in it."""
        self.lines += 1
        self.named += bool(names) and all(sure for _, sure in names)
        for name, sure in names:
            if not sure:
                self.unsure.add(_ALL, shown(line))
            elif len(line) <= _EXAMPLE_CHARS and len(line) - len(name) > self._removed_chars:
                self.example, self._removed_chars = (shown(line), name), len(line) - len(name)

    def close(self) -> None:
        self._file.close()

    def summary(self) -> str:
        """Returns the report as text for a terminal."""
        written, photographed = self.recipes.total(), self.with_photo.total()
        records = written + sum(group.counts.total() for group in self.dropped.values())
        lines = [f"read {records} records; wrote {written} recipes, {photographed} of them with a photo"]
        lines += [
            f"  {partition}: {self.recipes[partition]} recipes, {self.with_photo[partition]} with a photo"
            for partition in ("train", "val", "test")
        ]
        lines += [f"photos: {len(self.photos)}", *self.left_out(), *self._names()]
        if self.classes:
            largest = ", ".join(f"{shown(name, 40)} ({count})" for name, count in self.classes.most_common(5))
            more = ", ..." if len(self.classes) > 5 else ""
            lines.append(
                f"classes: {len(self.classes)}: {largest}{more}; "
                f"recipes without a class: {written - self.classes.total()}"
            )
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def left_out(self) -> list[str]:
        """Returns the lines about what is left out."""
        lines = _described("records left out", self.dropped) + _described("parts left out", self.parts)
        lines += _described("photos left out", self.photo_problems)
        if count := self.without_recipe.counts.total():
            lines.append(f"files without a recipe: {count}: {_first(self.without_recipe)}")
        if count := self.without_photo.counts.total():
            lines.append(f"recipes without a photo: {count}: {_first(self.without_photo)}")
        return lines + ([f"unused columns: {self.columns()}"] if self.unknown_columns else [])

    def columns(self) -> str:
        """Returns the most frequent columns that are not fields."""
        return ", ".join(shown(column, 40) for column, _ in self.unknown_columns.most_common(20))

    def reasons(self, groups: dict[str, Group]) -> str:
        """Returns the reasons of groups in one line."""
        return ", ".join(f"{group.counts.total()} {kind} ({group.first[0]})" for kind, group in groups.items())

    def _names(self) -> list[str]:
        if not self.lines:
            return []
        unsure = self.unsure.counts.total()
        nameless = self.lines - self.named - unsure
        line = (
            f"ingredient lines: {self.lines}; {self.named} with a name, {nameless} without (such as headings), "
            f"{unsure} uncertain{f': {_first(self.unsure)}' if unsure else ''}"
        )
        counts = [f"{language or 'unknown'} ({count})" for language, count in self.languages.most_common()]
        languages = f"languages: {', '.join(counts)}"
        if without := sorted(self.languages.keys() - {*WITH_RULES, ""}):
            languages += f"; there are no rules for ingredient names in {', '.join(without)}, so these are uncertain"
        return [languages, line, *(["  example: {!r} -> {!r}".format(*self.example)] if self.example else [])]

    def _write(self, *fields: str) -> None:
        self._file.write("\t".join(shown(field, 200) for field in fields) + "\n")


def _first(group: Group) -> str:
    more = group.counts.total() - _NAMED
    return "; ".join(group.first[:_NAMED]) + (f"; and {more} more" if more > 0 else "")


def _described(title: str, groups: dict[str, Group]) -> list[str]:
    if not groups:
        return []
    lines = [f"  {group.counts.total()} {kind}: {_first(group)}" for kind, group in by_size(groups)]
    return [f"{title}: {sum(group.counts.total() for group in groups.values())}", *lines]
