"""Reads saved recipe pages and compares title, ingredients and instructions with the expected ones.

    git clone --depth 1 https://github.com/hhursev/recipe-scrapers
    python -m benchmarks.pages --pages recipe-scrapers/tests/test_data

DIR has pages (`.html` or `.testhtml`), each with a `.json` of the same name beside it: `title`, `ingredients` (lines),
`instructions_list`, and `canonical_url`, the address of the page. Texts are compared in lower case without tags,
entities, spaces and punctuation, all lines of a part at once. The comparison ignores names of sections and steps, which
the library lists among the steps, and the numbers of steps.
"""

import argparse
import functools
import html
import json
import re
import sys
import time
import unicodedata
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import lxml.html

from adamine_jax.base.cores import available_cores
from adamine_jax.base.errors import UserError, one_line_errors
from adamine_jax.formats import pages
from adamine_jax.formats.opening import decoded
from adamine_jax.recipes.fields import Entry, UnusableError, draft
from benchmarks.harness import describe_machine, results_parser, write_page

PARTS = ("title", "ingredients", "instructions")
_NUMBER = re.compile(r"^\s*(?:step|etape|étape|stap|schritt)?\s*(\d{1,2})\s*[.):\s-]?", re.IGNORECASE)
_LISTED = 40


@one_line_errors
def main() -> None:
    """Reads the pages with and without the scrapers of sites and writes the results page."""
    parser = results_parser("pages", __doc__)
    parser.add_argument(
        "--pages", type=Path, required=True, metavar="DIR", help="pages with the expected JSON beside them"
    )
    flags = parser.parse_args()
    found = [page for suffix in ("html", "testhtml") for page in sorted(flags.pages.rglob(f"*.{suffix}"))]
    found = [page for page in found if page.with_suffix(".json").is_file()]
    if not found:
        raise UserError(f"--pages {flags.pages}: contains no page with a .json of the same name")
    write_page(flags.page, results(flags, found))


def results(flags: argparse.Namespace, found: list[Path]) -> list[str]:
    """Returns the lines of the results page."""
    lines = [
        "# Saved recipe pages",
        "",
        f"`python -m benchmarks.pages`: {len(found):,} pages with expected recipes. {describe_machine()}",
        "",
        "| scrapers of sites | completely right | title | ingredients | instructions | no recipe | pages/s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    wrong: list[str] = []
    for by_site in (False, True):
        start = time.perf_counter()
        with ProcessPoolExecutor(available_cores()) as executor:
            outcomes = list(executor.map(functools.partial(compared, by_site=by_site), found, chunksize=8))
        rate = len(found) / (time.perf_counter() - start)
        shares = [sum(map(all, outcomes)), *(sum(outcome[part] for outcome in outcomes) for part in range(3))]
        empty = sum(not any(outcome) for outcome in outcomes)
        cells = " | ".join(f"{100 * share / len(found):.1f} %" for share in shares)
        lines.append(f"| {'with' if by_site else 'without'} | {cells} | {empty} | {rate:.0f} |")
        if by_site:
            wrong = [
                listed(flags.pages, page, right) for page, right in zip(found, outcomes, strict=True) if not all(right)
            ]
    hidden = f", the first {_LISTED}" if len(wrong) > _LISTED else ""
    lines += ["", f"Not completely right with the scrapers of sites{hidden}:", "", *wrong[:_LISTED], ""]
    return [*lines, *__doc__.split("\n\n", 2)[2].strip().split("\n")]


def listed(folder: Path, page: Path, right: tuple[bool, ...]) -> str:
    """Returns the line about a page that is not read right."""
    wrong = ", ".join(part for part, is_right in zip(PARTS, right, strict=True) if not is_right)
    return f"* `{page.relative_to(folder)}`: {wrong}"


def compared(page: Path, by_site: bool) -> tuple[bool, ...]:
    """Returns which of `PARTS` of a page are right; all False if it has no recipe."""
    expected = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    text = decoded(page.read_bytes(), is_page=True)
    tree = lxml.html.document_fromstring(text.encode("utf-8"), parser=lxml.html.HTMLParser(encoding="utf-8"))
    headings = {plain(name) for name in pages.headings_in(pages.linked_data(tree))}
    for recipe in pages.page_recipes(text, expected.get("canonical_url", ""), use_scrapers=by_site):
        try:
            found = draft(Entry(str(page), page.parent, recipe, is_linked_data=True))
        except UnusableError:
            continue
        return (
            plain(expected.get("title") or "") == plain(found.title),
            joined(expected.get("ingredients") or ()) == joined(found.ingredients),
            joined(unnumbered(expected.get("instructions_list") or []), headings)
            == joined(unnumbered(found.instructions), headings),
        )
    return (False,) * 3


def joined(lines: Iterable[str], left_out: Iterable[str] = ()) -> str:
    """Returns lines as one text, without those in `left_out`."""
    return "".join(text for line in lines if (text := plain(line)) not in set(left_out))


def plain(text: str) -> str:
    """Returns the letters and digits of a text."""
    for _ in range(3):
        text = html.unescape(text)
    text = unicodedata.normalize("NFKC", re.sub(r"<[^<>]*>", "", text))
    return "".join(char for char in text.lower() if char.isalnum())


def unnumbered(lines: list[str]) -> list[str]:
    """Removes the numbers 1, 2, … from the starts of lines."""
    found, number = [], 1
    for line in lines:
        start = _NUMBER.match(line)
        is_next = start is not None and int(start[1]) == number
        found.append(line[start.end() :] if start and is_next else line)
        number += is_next
    return found if number > 2 or (number == 2 and len(lines) == 1) else lines


if __name__ == "__main__":
    sys.exit(main())
