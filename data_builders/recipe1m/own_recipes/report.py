"""What became of each record and photo, counted and named."""

from collections import Counter
from pathlib import Path

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.layers.markup import shown
from data_builders.recipe1m.report.groups import Group

# How many of each kind are named; dropped.tsv names them all.
NAMED = 3
_EXAMPLE_CHARS = 60
_ALL = "all"


class Report:
    """Collects the fate of every record, photo and ingredient line.

    Args:
        folder: where to write dropped.tsv, which names everything that was left out (kind, where, reason, what).
        skip_broken: go on after what cannot be read at all.
    """

    def __init__(self, folder: Path, *, skip_broken: bool):
        self._file = (folder / "dropped.tsv").open("w", encoding="utf-8", newline="\n")
        self._skip_broken = skip_broken
        self.dropped: dict[str, Group] = {}
        self.photo_problems: dict[str, Group] = {}
        self.without_recipe = Group()
        self.unknown_columns: Counter[str] = Counter()
        self.notes: list[str] = []
        self.photos: set[str] = set()
        self.recipes: Counter[str] = Counter()
        self.with_photo: Counter[str] = Counter()
        self.lines, self.named, self.unsure = 0, 0, Group()
        self.classes: Counter[str] = Counter()
        self.example: tuple[str, str] | None = None
        self._taken_away = 0

    def broken(self, where: str, what: str) -> None:
        """Something that cannot be read.

        Raises:
            UserError: unless such things are to be skipped.
        """
        if not self._skip_broken:
            raise UserError(f"{where}: {what}; mend it, or add --skip-broken to leave it out")
        self.drop(where, "cannot be read", what)

    def drop(self, where: str, reason: str, what: str = "") -> None:
        """A record that is left out."""
        name = f"{where} ({shown(what)})" if what else where
        self.dropped.setdefault(reason, Group()).add(_ALL, shown(name, 160))
        self._write("recipe", where, reason, what)

    def photo_problem(self, where: str, kind: str, listed: str, detail: str = "") -> None:
        """A photo that is left out."""
        name = f"{shown(listed, 80)}{f' ({shown(detail, 80)})' if detail else ''} of {where}"
        self.photo_problems.setdefault(kind, Group()).add(_ALL, shown(name, 240))
        self._write("photo", where, detail or kind, listed)

    def note(self, text: str) -> None:
        """Something that a person should know."""
        self.notes.append(" ".join(text.split()))

    def no_recipe(self, name: str) -> None:
        """A file that holds no recipe."""
        self.without_recipe.add(_ALL, shown(name))
        self._write("file", name, "holds no recipe", "")

    def ingredient_line(self, line: str, names: list[tuple[str, bool]]) -> None:
        """A line and the names that were found in it."""
        self.lines += 1
        self.named += bool(names) and all(sure for _, sure in names)
        for name, sure in names:
            if not sure:
                self.unsure.add(_ALL, shown(line))
            elif len(line) <= _EXAMPLE_CHARS and len(line) - len(name) > self._taken_away:
                self.example, self._taken_away = (shown(line), name), len(line) - len(name)

    def close(self) -> None:
        """Closes dropped.tsv."""
        self._file.close()

    def summary(self) -> str:
        """What a person is told, some lines of text."""
        written, photographed = self.recipes.total(), self.with_photo.total()
        records = written + sum(group.counts.total() for group in self.dropped.values())
        lines = [f"read {records} records; wrote {written} recipes, {photographed} of them with a photo"]
        lines += [
            f"  {partition}: {self.recipes[partition]} recipes, {self.with_photo[partition]} with a photo"
            for partition in ("train", "val", "test")
        ]
        lines += _described("records left out", self.dropped)
        lines.append(f"photos: {len(self.photos)}")
        lines += _described("photos left out", self.photo_problems)
        if count := self.without_recipe.counts.total():
            lines.append(f"files without a recipe: {count}: {_first(self.without_recipe)}")
        if self.unknown_columns:
            lines.append(f"columns that were not used: {self.columns()}")
        lines += self._names()
        if self.classes:
            rest = written - self.classes.total()
            largest = ", ".join(f"{shown(name, 40)} ({count})" for name, count in self.classes.most_common(5))
            more = ", ..." if len(self.classes) > 5 else ""
            lines.append(f"classes: {len(self.classes)}: {largest}{more}; {rest} recipes without one")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def columns(self) -> str:
        """The most frequent columns that stand for no field."""
        return ", ".join(shown(column, 40) for column, _ in self.unknown_columns.most_common(20))

    def reasons(self, groups: dict[str, Group]) -> str:
        """Why things were left out, in one line."""
        return ", ".join(f"{group.counts.total()} {kind} ({group.first[0]})" for kind, group in groups.items())

    def _names(self) -> list[str]:
        if not self.lines:
            return []
        unsure = self.unsure.counts.total()
        idle = self.lines - self.named - unsure
        lines = [
            f"ingredient lines: {self.lines}; {self.named} have a name, {idle} are headings or the like, of {unsure} "
            f"the rule is not sure{f': {_first(self.unsure)}' if unsure else ''}"
        ]
        if self.example:
            lines.append("  for example: {!r} -> {!r}".format(*self.example))
        return lines

    def _write(self, *fields: str) -> None:
        self._file.write("\t".join(shown(field, 200) for field in fields) + "\n")


def _first(group: Group) -> str:
    rest = group.counts.total() - NAMED
    return "; ".join(group.first[:NAMED]) + (f"; and {rest} more" if rest > 0 else "")


def _described(title: str, groups: dict[str, Group]) -> list[str]:
    if not groups:
        return []
    ordered = sorted(groups.items(), key=lambda item: -item[1].counts.total())
    total = sum(group.counts.total() for group in groups.values())
    return [f"{title}: {total}", *(f"  {group.counts.total()} {kind}: {_first(group)}" for kind, group in ordered)]
