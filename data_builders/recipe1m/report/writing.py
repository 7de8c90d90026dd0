"""Writes the report: a Markdown page, its pictures, and all the numbers as JSON."""

import itertools
import json
from collections import Counter
from pathlib import Path

from adamine_jax.base.files import write_text
from data_builders.recipe1m.duplicates import NAMED as NAMED_DUPLICATES
from data_builders.recipe1m.layers.formatting import escaped, named, share, shown, table
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.recipes import PARTITIONS
from data_builders.recipe1m.report.contents import MOST_FREQUENT
from data_builders.recipe1m.report.counters import QUANTILES, FrequentTexts
from data_builders.recipe1m.report.dataset_report import COLUMNS, Report
from data_builders.recipe1m.report.groups import by_size

LARGEST_CLASSES = 20


def write_report(report: Report, folder: Path) -> None:
    """Writes `report.md`, `report.json`, `report.png`, `report.svg` and, if recipes were kept, `contact_sheet.jpg`."""
    # Importing matplotlib takes a second, and `check` without --out only prints the report.
    from data_builders.recipe1m.report import plots

    write_text(folder / "report.md", page(report))
    write_text(folder / "report.json", json.dumps(report.as_json(), indent=1, ensure_ascii=False) + "\n")
    plots.draw(report, folder)
    if report.sample:
        plots.write_contact_sheet(report.sample, folder / "contact_sheet.jpg")


def page(report: Report) -> str:
    """Returns the report as Markdown that links to `report.png` and `contact_sheet.jpg` in the same folder."""
    sections = (_head, _photos, _lengths, _words, _duplicates, _classes, _dropped, _notes)
    return "\n".join(itertools.chain.from_iterable(section(report) for section in sections))


def _head(report: Report) -> list[str]:
    rows = [(f"records in {report.source}", report.records), ("**kept**", report.kept), *report.text_rows()]
    rows += [(escaped(reason), group.counts) for reason, group in by_size(report.dropped)]
    changed = [
        f"`{name}` {getattr(value, 'name', value)}"
        for name, value in vars(report.options).items()
        if value != getattr(Options, name)
    ]
    options = f"Options: {', '.join(changed)}; the others have their defaults." if changed else "Default options."
    lines = ["# Recipe1M: kept and dropped recipes", "", options, "", *_counts("recipes", rows), ""]
    if report.sample:
        lines += [f"Random sample of {len(report.sample)} kept recipes:", ""]
        lines += ["![photos, titles, classes and first ingredients of random recipes](contact_sheet.jpg)", ""]
    return lines


def _photos(report: Report) -> list[str]:
    rows = [("used", report.photos_used)]
    rows += [(kind, group.counts) for kind, group in by_size(report.photo_problems)]
    if report.photos_beyond.total():
        rows.append(("over the limit per recipe", report.photos_beyond))
    lines = ["## Photos", "", *_counts("photos of recipes that pass the text filters", rows), ""]
    rows = [(f"with {n} photos" if n > 1 else "with 1 photo", n) for n in sorted(report.photos_per_recipe)]
    lines += [*table(["kept recipes", ""], [(name, report.photos_per_recipe[n]) for name, n in rows]), ""]
    if report.contents.formats:
        lines += [f"Formats of the used photos: {report.sizes_summary()}.", ""]
    return lines


def _lengths(report: Report) -> list[str]:
    measured = [(name, lengths.quantiles()) for name, lengths in report.lengths().items()]
    rows = [(name, *found.values()) for name, found in measured if found]
    if not rows:
        return []
    what = "Lengths of the kept recipes and sizes of their photos before resizing. Punctuation marks count as words."
    lines = ["## Lengths and sizes", "", what, ""]
    lines += [*table(["", *QUANTILES], rows), ""]
    lines += ["![histograms of lengths and sizes, and the classes by size](report.png)", ""]
    beyond = [(name, count, share(count, whole)) for name, (count, whole) in report.contents.beyond().items()]
    return [*lines, *table(["beyond the default limits of the model, or empty", "", ""], beyond), ""]


def _words(report: Report) -> list[str]:
    lines = ["## Words", "", _sentence(report.words_summary()), ""]
    words, names = report.contents.words, report.contents.names
    most_common = [unknown.most_common(MOST_FREQUENT) for unknown in (words, names)]
    if any(most_common):
        cells = [[(escaped(named(text)), count) for text, count in column] for column in most_common]
        rows = [(*word, *name) for word, name in itertools.zip_longest(*cells, fillvalue=("", ""))]
        head = ["unknown word", "count", "unknown ingredient name", "count"]
        lines += [*table(head, rows), ""]
    return lines + _lower_bounds("words", words) + _lower_bounds("names", names)


def _lower_bounds(kind: str, counter: FrequentTexts) -> list[str]:
    if not counter.error:
        return []
    return [f"There are too many unknown {kind} for exact counts: each is at most {counter.error:,} too low.", ""]


def _duplicates(report: Report) -> list[str]:
    rows, first = [], []
    for kind, found in report.contents.duplicates.items():
        for partitions, shared in found.items():
            if not shared.contents:
                continue
            where = " and ".join(partitions) if len(partitions) > 1 else f"{partitions[0]}, more than once"
            items = [f"{shared.items[partition]:,} of {partition}" for partition in partitions]
            rows.append((f"{kind} in {where}", shared.contents, ", ".join(items)))
            more = f" (the first {NAMED_DUPLICATES})" if shared.contents > NAMED_DUPLICATES else ""
            first += [f"**{kind} in {where}**{more}", "", *(f"- {one} = {other}" for one, other in shared.first), ""]
    lines = ["## Duplicates", ""]
    if not rows:
        return [*lines, "No photo or text occurs twice, within a partition or in two of them.", ""]
    lines += [
        "Photos with identical stored files, and recipes whose title, ingredients and instructions are the same text "
        "except for case and white space. Items that train shares with val or test make their results too optimistic. "
        "Within a partition, all but the first item are counted.",
        "",
    ]
    return [*lines, *table(["", "different", "items"], rows), "", *first]


def _classes(report: Report) -> list[str]:
    if not report.classes:
        return []
    lines = ["## Classes", "", _sentence(report.classes_summary()), ""]
    background = report.classes[0][1]
    partitions = [name for name in PARTITIONS if report.kept[name]]
    kept = [report.kept.total(), *(report.kept[name] for name in partitions)]
    without = [background.total(), *(background[name] for name in partitions)]
    shares = [share(part, whole) for part, whole in zip(without, kept, strict=True)]
    rows = [("kept recipes", *kept), ("without a class", *without), ("share", *shares)]
    lines += [*table(["background", "all", *partitions], rows), ""]
    largest = sorted(report.classes[1:], key=lambda entry: -entry[1].total())[:LARGEST_CLASSES]
    rows = [(escaped(shown(name)), sizes) for name, sizes in largest]
    return lines + ([*_counts("the largest classes", rows), ""] if rows else [])


def _dropped(report: Report) -> list[str]:
    lines = ["## Dropped", "", "The first of each kind; `dropped.tsv` lists all.", ""]
    for heading, groups in (("", report.dropped), ("photos, ", report.photo_problems)):
        for name, group in by_size(groups):
            lines += [f"**{heading}{name}** ({group.counts.total():,})", ""]
            lines += [*(f"- {escaped(first)}" for first in group.first), ""]
    return lines


def _notes(report: Report) -> list[str]:
    return ["## Notes", "", *(f"- {note}" for note in report.notes or ["none"]), ""]


def _counts(title: str, rows: list[tuple[str, Counter[str]]]) -> list[str]:
    columns = [column for column in COLUMNS if any(counts[column] for _, counts in rows)]
    cells = [(name, counts.total(), *(counts[column] for column in columns)) for name, counts in rows]
    return table([title, "all", *columns], cells)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
