"""Measures the import of recipes of many formats: records/s, memory, and a rerun after an interruption.

    python -m benchmarks.imports --scratch DIR

The recipes are those of the kitchen, with one photo for each format. The peer of pages is recipe-scrapers,
which reads title, ingredients and instructions of the same pages on the same number of cores, and keeps nothing.
"""

import argparse
import csv
import gzip
import html
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from adamine_jax.base.cores import available_cores
from benchmarks.harness import describe_machine, results_parser, write_page

RECORDS = 100_000
SEED = 7
_FILLER = "".join(
    f'<div class="card c{n}"><a href="/{n}">Another recipe {n}</a><p>{"word " * 20}</p></div>' for n in range(300)
)
_LINES = ("ingredients", "instructions")


def _recipes(start: int, count: int) -> Iterable[dict]:
    from data_builders.kitchen import recipes

    for index in range(start, start + count):
        recipe = recipes.recipe(SEED, index, splits=(0.7, 0.15, 0.15))
        yield {"title": recipe.title, "ingredients": recipe.ingredients, "instructions": recipe.instructions}


def _json(folder: Path, recipes: Iterable[dict]) -> None:
    (folder / "recipes.json").write_text(json.dumps({"recipes": list(recipes)}), encoding="utf-8")


def _lines(folder: Path, recipes: Iterable[dict]) -> None:
    (folder / "recipes.jsonl").write_text("\n".join(map(json.dumps, recipes)), encoding="utf-8")


def _sheet(folder: Path, recipes: Iterable[dict]) -> None:
    with (folder / "recipes.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("title", *_LINES))
        rows.writerows((recipe["title"], *(str(list(recipe[part])) for part in _LINES)) for recipe in recipes)


def _markdown(folder: Path, recipes: Iterable[dict]) -> None:
    for number, recipe in enumerate(recipes):
        ingredients, steps = ("\n".join(f"- {line}" for line in recipe[part]) for part in _LINES)
        parts = f"## Ingredients\n{ingredients}\n\n## Directions\n{steps}\n"
        text = f"---\ntags: [dinner]\n---\n# {recipe['title']}\n\n{parts}"
        (folder / f"note{number}.md").write_text(text, encoding="utf-8")


def _paprika(folder: Path, recipes: Iterable[dict]) -> None:
    with zipfile.ZipFile(folder / "all.paprikarecipes", "w") as archive:
        for number, recipe in enumerate(recipes):
            texts = {"ingredients": "\n".join(recipe["ingredients"]), "directions": "\n".join(recipe["instructions"])}
            archive.writestr(
                f"{number}.paprikarecipe", gzip.compress(json.dumps({"name": recipe["title"], **texts}).encode())
            )


def _pages(folder: Path, recipes: Iterable[dict]) -> None:
    for number, recipe in enumerate(recipes):
        data = {"@context": "https://schema.org", "@type": "Recipe", "name": recipe["title"]}
        data |= {"recipeIngredient": recipe["ingredients"]}
        data |= {"recipeInstructions": [{"@type": "HowToStep", "text": step} for step in recipe["instructions"]]}
        head = f"<title>{html.escape(recipe['title'])}</title>"
        script = f'<script type="application/ld+json">{json.dumps(data)}</script>'
        text = f"<!doctype html><html><head>{head}{script}</head><body>{_FILLER}</body></html>"
        (folder / f"page{number}.html").write_text(text, encoding="utf-8")


FORMATS: dict[str, tuple[float, Callable[[Path, Iterable[dict]], None]]] = {
    "JSON": (0.3, _json),
    "JSON lines": (0.2, _lines),
    "CSV with lists in cells": (0.25, _sheet),
    "Markdown": (0.1, _markdown),
    "Paprika": (0.05, _paprika),
    "pages": (0.1, _pages),
}
"""Share of the records and writer of each format."""


def write_sources(folder: Path, records: int) -> dict[str, int]:
    """Writes a folder for each format, each with the record of a photo; returns the number of its records."""
    from PIL import Image

    counts, start = {}, 0
    for number, (name, (share, write)) in enumerate(FORMATS.items()):
        (place := folder / str(number)).mkdir(parents=True)
        write(place, _recipes(start, count := round(share * records)))
        Image.new("RGB", (64, 64), (number * 40, 90, 90)).save(place / "photo.jpg")
        record = {"title": f"Photo {number}", "ingredients": ["1 egg"], "image": "photo.jpg"}
        (place / "with_photo.json").write_text(json.dumps(record), encoding="utf-8")
        counts[name], start = count + 1, start + count
    return counts


def _command(source: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "data_builders.recipe1m", "import", "--from", str(source), "--out", str(out)]


def import_part(source: Path, out: Path) -> None:
    """Imports, and prints the seconds and the GiB of the largest process."""
    start = time.perf_counter()
    subprocess.run(_command(source, out), check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - start
    print(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20)


def imported(source: Path, scratch: Path) -> tuple[float, float]:
    """Returns the seconds and the GiB of the largest process of an import, which runs in a process of its own."""
    out = scratch / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.imports", "--scratch", str(scratch), "--part", str(source)]
    seconds, memory = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), float(memory)


def interrupted(source: Path, scratch: Path, after: float) -> tuple[float, float]:
    """Interrupts an import after `after` seconds; returns the seconds until it has stopped, and those of the rerun."""
    out = scratch / "out"
    shutil.rmtree(out, ignore_errors=True)
    process = subprocess.Popen(_command(source, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(after)
    os.kill(process.pid, signal.SIGINT)
    start = time.perf_counter()
    process.wait()
    stopped = time.perf_counter() - start
    start = time.perf_counter()
    subprocess.run(_command(source, out), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return stopped, time.perf_counter() - start


def library_rate(folder: Path) -> float:
    """Returns the pages/s of recipe-scrapers alone, on all cores."""
    pages = sorted(folder.glob("*.html"))
    with ProcessPoolExecutor(available_cores()) as executor:
        list(executor.map(_scraped, pages[: available_cores()]))  # imports the library
        start = time.perf_counter()
        list(executor.map(_scraped, pages, chunksize=16))
        return len(pages) / (time.perf_counter() - start)


def _scraped(page: Path) -> int:
    from recipe_scrapers import scrape_html

    scraper = scrape_html(page.read_text(encoding="utf-8"), org_url="https://example.org", supported_only=False)
    return len(scraper.title()) + len(scraper.ingredients()) + len(scraper.instructions_list())


def main() -> None:
    """Writes the sources, measures and writes the results page."""
    parser = results_parser("imports", __doc__)
    parser.add_argument("--scratch", type=Path, required=True, metavar="DIR", help="empty folder for the recipes")
    parser.add_argument("--records", type=int, default=RECORDS, help="number of recipes")
    parser.add_argument("--part", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.part:
        import_part(flags.part, flags.scratch / "out")
        return
    sources = flags.scratch / "sources"
    counts = write_sources(sources, flags.records)
    lines = [
        "# Importing recipes of many formats",
        "",
        f"`python -m benchmarks.imports`: {flags.records:,} recipes, almost all without a photo. {describe_machine()}",
        "",
        "| format | recipes | recipes/s, with the start of the command | GiB of the largest process |",
        "|---|---:|---:|---:|",
    ]
    for name, source in [*zip(counts, sorted(sources.iterdir()), strict=True), ("all in one folder", sources)]:
        count = counts.get(name, sum(counts.values()))
        seconds, memory = imported(source, flags.scratch)
        lines.append(f"| {name} | {count:,} | {count / seconds:,.0f} | {memory:.2f} |")
        print(lines[-1], file=sys.stderr, flush=True)
    pages = sources / str(list(FORMATS).index("pages"))
    seconds, _ = imported(pages, flags.scratch)
    stopped, again = interrupted(pages, flags.scratch, 0.6 * seconds)
    lines += [
        "",
        f"recipe-scrapers alone reads {library_rate(pages):,.0f} of the pages a second on the same cores.",
        f"The import of the pages takes {seconds:.1f} s. Interrupted after 60 % of that, it stops within "
        f"{stopped:.1f} s, and the rerun takes {again:.1f} s.",
    ]
    write_page(flags.page, lines)


if __name__ == "__main__":
    main()
