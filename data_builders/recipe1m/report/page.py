"""The report as a page of Markdown."""

import itertools
from collections import Counter

from data_builders.recipe1m.duplicates import NAMED as NAMED_DUPLICATES
from data_builders.recipe1m.layers.markup import escaped, named, share, shown, table
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.recipes import PARTITIONS
from data_builders.recipe1m.report.contents import MOST_FREQUENT
from data_builders.recipe1m.report.frequent import FrequentTexts
from data_builders.recipe1m.report.groups import by_size
from data_builders.recipe1m.report.lengths import QUANTILES
from data_builders.recipe1m.report.report import COLUMNS, Report

LARGEST_CLASSES = 20


def page(report: Report) -> str:
    """The report as a page; it shows the pictures beside it (`report.png`, `contact_sheet.jpg`)."""
    sections = (_head, _photos, _lengths, _words, _duplicates, _classes, _left_out, _notes)
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
    lines = ["# Recipe1M: what is kept, and what is not", "", options, "", *_counts("recipes", rows), ""]
    if report.sample:
        lines += [f"{len(report.sample)} kept recipes, drawn at random:", ""]
        lines += ["![photos, titles, classes and first ingredients of random recipes](contact_sheet.jpg)", ""]
    return lines


def _photos(report: Report) -> list[str]:
    rows = [("used", report.photos_used)]
    rows += [(kind, group.counts) for kind, group in by_size(report.photo_problems)]
    if report.photos_beyond.total():
        rows.append(("beyond a recipe's first ones", report.photos_beyond))
    lines = ["## Photos", "", *_counts("photos of recipes that pass the text's rules", rows), ""]
    rows = [(f"with {n} photos" if n > 1 else "with 1 photo", n) for n in sorted(report.photos_per_recipe)]
    lines += [*table(["kept recipes", ""], [(name, report.photos_per_recipe[n]) for name, n in rows]), ""]
    if report.contents.formats:
        lines += [f"Files of the used photos: {report.sizes_summary()}.", ""]
    return lines


def _lengths(report: Report) -> list[str]:
    measured = [(name, lengths.quantiles()) for name, lengths in report.lengths().items()]
    rows = [(name, *found.values()) for name, found in measured if found]
    if not rows:
        return []
    what = "Of the kept recipes, and of their photos before they are made small. Punctuation marks are words."
    lines = ["## Lengths and sizes", "", what, ""]
    lines += [*table(["", *QUANTILES], rows), ""]
    lines += ["![histograms of lengths and sizes, and the classes by size](report.png)", ""]
    beyond = [(name, count, share(count, whole)) for name, (count, whole) in report.contents.beyond().items()]
    return [*lines, *table(["beyond what the model reads by default, or empty", "", ""], beyond), ""]


def _words(report: Report) -> list[str]:
    lines = ["## Words", "", _sentence(report.words_summary()), ""]
    words, names = report.contents.words, report.contents.names
    most = [of.most_common(MOST_FREQUENT) for of in (words, names)]
    if any(most):
        cells = [[(escaped(named(text)), count) for text, count in one] for one in most]
        rows = [(*word, *name) for word, name in itertools.zip_longest(*cells, fillvalue=("", ""))]
        head = ["unknown word", "count", "unknown ingredient name", "count"]
        lines += [*table(head, rows), ""]
    return lines + _lower_bounds("words", words) + _lower_bounds("names", names)


def _lower_bounds(things: str, counter: FrequentTexts) -> list[str]:
    if not counter.error:
        return []
    bound = f"the counts are lower bounds, at most {counter.error:,} too low"
    return [f"Too many {things} are unknown to count each: {bound}.", ""]


def _duplicates(report: Report) -> list[str]:
    rows, first = [], []
    for kind, found in report.contents.duplicates.items():
        for places, shared in found.items():
            if not shared.contents:
                continue
            where = " and ".join(places) if len(places) > 1 else f"{places[0]}, more than once"
            items = [f"{shared.items[place]:,} of {place}" for place in places]
            rows.append((f"{kind} in {where}", shared.contents, ", ".join(items)))
            more = f" (the first {NAMED_DUPLICATES})" if shared.contents > NAMED_DUPLICATES else ""
            first += [f"**{kind} in {where}**{more}", "", *(f"- {one} = {other}" for one, other in shared.first), ""]
    lines = ["## Duplicates", ""]
    if not rows:
        return [*lines, "No photo and no text is there twice, in two partitions or in one.", ""]
    lines += [
        "Photos whose stored files are equal, and recipes whose title, ingredients and instructions are the same text "
        "(letter case and white space apart). What train shares with the others, a model is tested on after it was "
        "trained on it. Within a partition all but the first are counted.",
        "",
    ]
    return [*lines, *table(["", "different ones", "in all"], rows), "", *first]


def _classes(report: Report) -> list[str]:
    if not report.classes:
        return []
    lines = ["## Classes", "", _sentence(report.classes_summary()), ""]
    background = report.classes[0][1]
    there = [name for name in PARTITIONS if report.kept[name]]
    rows = [
        ("kept recipes", report.kept.total(), *(report.kept[name] for name in there)),
        ("without a class", background.total(), *(background[name] for name in there)),
        (
            "share",
            share(background.total(), report.kept.total()),
            *(share(background[name], report.kept[name]) for name in there),
        ),
    ]
    lines += [*table(["background", "all", *there], rows), ""]
    largest = sorted(report.classes[1:], key=lambda entry: -entry[1].total())[:LARGEST_CLASSES]
    rows = [(escaped(shown(name)), sizes) for name, sizes in largest]
    return lines + ([*_counts("the largest classes", rows), ""] if rows else [])


def _left_out(report: Report) -> list[str]:
    lines = ["## Left out", "", "The first of each kind; `dropped.tsv` names them all.", ""]
    for heading, of in (("", report.dropped), ("photos, ", report.photo_problems)):
        for name, group in by_size(of):
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
