"""Measures search in a gallery of a million recipes: latency, recall, filters, words, changes, and sizes.

    python -m benchmarks.search --scratch DIR

Embeddings are points of a random smooth manifold of 32 dimensions with 5 % of noise, normalised rows of length 1024;
queries are further points of the same manifold. Titles and ingredients are random words, among them ingredients with
known shares. The gallery is written, indexed and searched in separate processes. Needs 9 GB of disk space.
"""

import argparse
import functools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from adamine_jax.gallery import opening
from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.folder import index
from adamine_jax.gallery.folder.editing import Editor, changes
from adamine_jax.gallery.folder.store import Gallery
from adamine_jax.gallery.items import Item
from adamine_jax.gallery.store import Store
from benchmarks.harness import describe_machine, memory_bytes, own_process, results_parser, write_page

DIM, MANIFOLD, NOISE = 1024, 32, 0.05
QUERIES, TOP = 200, 10
GOAL_MS, GOAL_RECALL, GOAL_GIB = 20, 0.95, 1.5
SHARES = {"truffle": 0.0001, "saffron": 0.001, "lychee": 0.01, "butter": 0.1, "salt": 0.5}
"""Share of the recipes that have an ingredient."""
CLIENTS, ADDED, SECONDS = 32, 1000, 30
HALF_ITEMS = 100_000
_BLOCK = 20_000


def points(rng: np.random.Generator, maps: tuple[np.ndarray, np.ndarray], count: int) -> np.ndarray:
    """Returns (count, DIM) unit rows: two random linear maps of 32 numbers, each followed by tanh, and 5 % of noise."""
    first, second = maps
    rows = np.tanh(np.tanh(rng.standard_normal((count, MANIFOLD), np.float32) @ first) @ second)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    noise = rng.standard_normal((count, DIM), np.float32)
    rows += NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def vocabulary(rng: np.random.Generator, size: int) -> np.ndarray:
    """Returns random words of letters."""
    return np.array(["".join(rng.choice(list("abcdefghiklmnoprstuvw"), rng.integers(4, 10))) for _ in range(size)])


def recipes(rng: np.random.Generator, start: int, count: int, words: np.ndarray, foods: np.ndarray) -> list[Item]:
    """Returns random recipes; frequencies of words follow Zipf's law."""
    titles = words[np.minimum(rng.zipf(1.3, (count, 4)), len(words)) - 1]
    lines = foods[np.minimum(rng.zipf(1.2, (count, 6)), len(foods)) - 1]
    shared = {name: rng.random(count) < share for name, share in SHARES.items()}
    return [
        Item(
            f"{start + number}",
            " ".join(titles[number]),
            ingredients=(
                *(f"1 cup {food}" for food in lines[number]),
                *(f"2 g {name}" for name, has in shared.items() if has[number]),
            ),
            language="en",
        )
        for number in range(count)
    ]


def write(place: Path | str, items: int, queries: Path, dtype: str = "float32") -> dict[str, float]:
    """Writes a gallery of recipes, and the queries to a file."""
    rng, start = np.random.default_rng(0), time.perf_counter()
    first = rng.standard_normal((MANIFOLD, 256), np.float32) / np.sqrt(MANIFOLD)
    maps = first, rng.standard_normal((256, DIM), np.float32) / 16
    words, foods = vocabulary(rng, 20_000), vocabulary(rng, 2000)
    about = {"model": "0", "step": 0, "source": {"items": items}}
    with opening.writer(place, about, ("recipe",), DIM, dtype) as writer:
        for number in range(0, items, _BLOCK):
            count = min(_BLOCK, items - number)
            writer.write({"recipe": points(rng, maps, count)}, recipes(rng, number, count, words, foods))
        writer.finish()
    np.save(queries, points(rng, maps, QUERIES + ADDED))
    return {"seconds": time.perf_counter() - start}


def build(folder: Path) -> dict[str, float]:
    """Builds the index. Returns the seconds and the GiB of memory, without memory-mapped files."""
    start = time.perf_counter()
    about = index.build(Gallery(folder), "recipe")
    return {
        "seconds": time.perf_counter() - start,
        "anonymous": memory_bytes("RssAnon") / 2**30,
        "visited": about.visited / about.cells,
        "cells": about.cells,
    }


def search(folder: Path) -> dict[str, float]:
    """Times single queries: exact, with the index, within filters, by words, and both."""
    opened = time.perf_counter()
    gallery, queries = Gallery(folder), np.load(queries_file(folder))[:QUERIES]
    gallery.nearest(queries[:1], "recipes", TOP, approximate=True)
    opened = time.perf_counter() - opened
    return {"opened": opened, "gib": (folder / "recipe.faiss").stat().st_size / 2**30} | times(gallery, queries)


def times(gallery: Store, queries: np.ndarray) -> dict[str, float]:
    """Times single queries: exact, with the index, within filters, by words, and both."""
    approximate = functools.partial(gallery.nearest, among="recipes", top=TOP, approximate=True)
    found = {}
    precise = functools.partial(gallery.nearest, among="recipes", top=TOP)
    expected = precise(queries)[1]  # also loads the file into the page cache
    found |= quantiles("index", [timed(approximate, query[None]) for query in queries])
    found["recall"] = recall(expected, np.concatenate([approximate(query[None])[1] for query in queries]))
    found["exact"] = float(np.median([timed(precise, query[None]) for query in queries[:10]]))
    for name in SHARES:
        for condition in ("include", "exclude") if SHARES[name] == 0.5 else ("include",):
            where = Filter(**{condition: (name,)})
            key = f"{condition} {name}"
            found[f"{key} first"] = timed(functools.partial(gallery.count, where))
            within = functools.partial(approximate, where=where)
            found |= quantiles(key, [timed(within, query[None]) for query in queries])
            best = precise(queries, where=where)[1]
            found[f"{key} recall"] = recall(best, np.concatenate([within(query[None])[1] for query in queries]))
    rng = np.random.default_rng(1)
    titles = [gallery.item(row).title for row in rng.choice(gallery.rows, len(queries))]
    pairs = [" ".join(title.split()[:2]) for title in titles]
    found |= quantiles("words", [timed(gallery.search_words, text) for text in pairs])
    both = functools.partial(gallery.search_words, among="recipes", approximate=True)
    found |= quantiles("fused", [timed(both, text, query[None]) for text, query in zip(pairs, queries, strict=True)])
    named = [both(title, query[None])[0].row for title, query in zip(titles, queries, strict=True)]
    found["named"] = float(
        np.mean([gallery.item(row).title == title for row, title in zip(named, titles, strict=True)])
    )
    return found


def change(folder: Path) -> dict[str, float]:
    """Times the queries of several clients while another process adds items, and before."""
    gallery, queries = Gallery(folder), np.load(queries_file(folder))[:QUERIES]
    gallery.nearest(queries[:1], "recipes", TOP, approximate=True)
    before = quantiles("before", clients(gallery, queries, lambda: time.sleep(SECONDS)))
    command = [sys.executable, "-m", "benchmarks.search", "--scratch", str(folder.parent), "--part", "add"]
    during = quantiles("during", clients(gallery, queries, lambda: subprocess.run(command, check=True)))
    return before | during | {"items": len(gallery)}


def clients(gallery: Gallery, queries: np.ndarray, work: Callable[[], object]) -> list[float]:
    """Returns the milliseconds of the queries of several threads while something runs."""
    stop, milliseconds, failed = threading.Event(), [], []
    sys.setswitchinterval(0.0005)  # as the server does

    def client(number: int) -> None:
        rng = np.random.default_rng(number)
        try:
            while not stop.is_set():
                query = queries[rng.integers(len(queries))][None]
                milliseconds.append(timed(gallery.nearest, query, "recipes", TOP, approximate=True))
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    work()
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed, failed[0]
    return milliseconds


def add(folder: Path) -> dict[str, float]:
    """Adds items one by one, evenly over the time of the measurement, and removes them."""
    rows = np.load(queries_file(folder))[QUERIES:]
    with changes(folder), Editor(folder) as editor:
        for number, row in enumerate(rows):
            editor.add([Item(f"new {number}", "New")], {"recipe": row[None]})
            time.sleep(SECONDS / ADDED)
        editor.remove([f"new {number}" for number in range(ADDED)])
    return {}


def half(folder: Path) -> dict[str, float]:
    """Compares galleries in float32 and float16: size on disk, and recall of the latter."""
    found = {}
    for dtype in ("float32", "float16"):
        part = folder.parent / f"{folder.name}.{dtype}"
        if not part.exists():
            write(part, HALF_ITEMS, queries_file(part), dtype)
        gallery = Gallery(part)
        start = time.perf_counter()
        found[dtype] = gallery.nearest(np.load(queries_file(part))[:QUERIES], "recipes", TOP)[1]
        found[f"{dtype} seconds"] = time.perf_counter() - start
        found[f"{dtype} gib"] = sum(path.stat().st_size for path in part.glob("*.npy")) / 2**30
    same = recall(found.pop("float32"), found.pop("float16"))
    return found | {"recall": same}


def queries_file(folder: Path) -> Path:
    """Returns the file of the queries that were written with a gallery."""
    return folder.parent / f"{folder.name}.queries.npy"


def timed(function: Callable, *arguments, **options) -> float:
    """Returns the milliseconds of a call."""
    start = time.perf_counter()
    function(*arguments, **options)
    return 1000 * (time.perf_counter() - start)


def quantiles(name: str, milliseconds: list[float]) -> dict[str, float]:
    """Returns the median and the 99th percentile."""
    return {f"{name} median": float(np.median(milliseconds)), f"{name} p99": float(np.quantile(milliseconds, 0.99))}


def recall(expected: np.ndarray, found: np.ndarray) -> float:
    """Returns the mean share of the expected rows that were found."""
    return float(np.mean([np.isin(one, other).mean() for one, other in zip(expected, found, strict=True)]))


PARTS = {"build": build, "search": search, "change": change, "add": add, "half": half}


def main() -> None:
    """Writes the gallery, measures, and writes the page."""
    parser = results_parser("search", __doc__, "--results")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the galleries; reused if it exists")
    parser.add_argument("--items", type=int, default=1_000_000, help="size of the gallery; default: 1000000")
    parser.add_argument("--part", choices=tuple(PARTS), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    folder = flags.scratch / "gallery"
    if flags.part:
        print(json.dumps(PARTS[flags.part](folder)))
        return
    flags.scratch.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        print(f"written in {write(folder, flags.items, queries_file(folder))['seconds']:.0f} s", file=sys.stderr)
    parts = {
        part: json.loads(own_process("search", "--scratch", flags.scratch, "--part", part).splitlines()[-1])
        for part in ("build", "search", "change", "half")
    }
    write_page(flags.page, page(folder, flags.items, **parts))


def page(
    folder: Path, items: int, build: dict[str, float], search: dict[str, float], change: dict, half: dict
) -> list[str]:
    """Returns the lines of the results page."""
    visited_bytes, all_bytes = build["visited"] * items * index.COMPONENTS, items * DIM * 4
    database = (folder / "gallery.sqlite").stat().st_size / 2**30
    conditions = [*(f"include {name}" for name in SHARES), "exclude salt"]
    shares = [*SHARES.values(), 0.5]
    first = ", ".join(f"{search[f'{key} first']:.0f}" for key in conditions)
    return [
        "# Search in a large gallery",
        "",
        f"`python -m benchmarks.search`: {items:,} items with {DIM} dimensions, on a random manifold of "
        f"{MANIFOLD} dimensions with {NOISE:.0%} of noise; {QUERIES} single queries from the same manifold for the "
        f"{TOP} nearest items. Times do not include the embedding of a query. {describe_machine()}",
        "",
        f"| | median, ms | p99, ms | recall@{TOP} |",
        "|---|---:|---:|---:|",
        f"| index | {search['index median']:.1f} | {search['index p99']:.1f} | {search['recall']:.3f} |",
        f"| exact | {search['exact']:.0f} | | 1 |",
        *(
            f"| {key}: {share:.2%} of the items | {search[f'{key} median']:.1f} | {search[f'{key} p99']:.1f} | "
            f"{search[f'{key} recall']:.3f} |"
            for key, share in zip(conditions, shares, strict=True)
        ),
        f"| two words of a title | {search['words median']:.1f} | {search['words p99']:.1f} | |",
        f"| two words and a query | {search['fused median']:.1f} | {search['fused p99']:.1f} | |",
        "",
        f"The first use of a filter also reads its rows from the database: {first} ms. With a title and a query, an "
        f"item of this title comes first in {search['named']:.1%}.",
        "",
        f"{CLIENTS} clients in threads of one process: p99 {change['before p99']:.0f} ms (median "
        f"{change['before median']:.0f}); while another process adds {ADDED:,} items, each by a change of its own, "
        f"{change['during p99']:.0f} ms (median {change['during median']:.0f}), without an error.",
        "",
        f"Goals: {GOAL_MS} ms at a recall of {GOAL_RECALL}, and an index of at most {GOAL_GIB} GiB. The index takes "
        f"{search['gib']:.2f} GiB and has {build['cells']:,} cells, of which a query visits "
        f"{build['visited']:.1%}: {visited_bytes / 1e6:.0f} MB, read at "
        f"{visited_bytes / search['index median'] / 1e6:.1f} GB/s. It was built in {build['seconds']:.0f} s with "
        f"{build['anonymous']:.2f} GiB of memory in addition to the memory-mapped embeddings "
        f"({all_bytes / 2**30:.1f} GiB), and the gallery opens with it in {search['opened']:.1f} s. Exact search reads "
        f"all embeddings, at {all_bytes / search['exact'] / 1e6:.1f} GB/s. The database takes {database:.2f} GiB.",
        "",
        f"{HALF_ITEMS:,} items in float16 take {half['float16 gib']:.2f} GiB instead of {half['float32 gib']:.2f}; a "
        f"share of {half['recall']:.4f} of the {TOP} nearest items in float32 is found. Exact search takes "
        f"{half['float16 seconds'] / half['float32 seconds']:.1f} times as long, because rows are converted.",
    ]


if __name__ == "__main__":
    main()
