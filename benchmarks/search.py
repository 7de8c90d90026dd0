"""Measures search in a gallery of a million items: latency, recall, and the size of the index.

    python -m benchmarks.search --scratch DIR

Embeddings are points of a random smooth manifold of 32 dimensions with 5 % of noise, normalised rows of length 1024;
queries are further points of the same manifold. The index is built and searched in separate processes. Needs 6 GB of
disk space.
"""

import argparse
import functools
import json
import time
from pathlib import Path

import numpy as np

from adamine_jax.gallery import exact, index
from adamine_jax.gallery.store import Gallery
from benchmarks.harness import describe_machine, memory_bytes, own_process, results_parser, write_page

DIM, MANIFOLD, NOISE = 1024, 32, 0.05
QUERIES, TOP = 200, 10
GOAL_MS, GOAL_RECALL, GOAL_GIB = 20, 0.95, 1.5
_BLOCK = 20_000


def points(rng: np.random.Generator, maps: tuple[np.ndarray, np.ndarray], count: int) -> np.ndarray:
    """Returns (count, DIM) unit rows: two random linear maps of 32 numbers, each followed by tanh, and 5 % of noise."""
    first, second = maps
    rows = np.tanh(np.tanh(rng.standard_normal((count, MANIFOLD), np.float32) @ first) @ second)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    noise = rng.standard_normal((count, DIM), np.float32)
    rows += NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write(folder: Path, items: int) -> None:
    """Writes a gallery of recipes without text, and the queries."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    first = rng.standard_normal((MANIFOLD, 256), np.float32) / np.sqrt(MANIFOLD)
    maps = first, rng.standard_normal((256, DIM), np.float32) / 16
    table = np.lib.format.open_memmap(folder / "recipe.npy", "w+", np.float32, (items, DIM))
    for start in range(0, items, _BLOCK):
        table[start : start + _BLOCK] = points(rng, maps, min(_BLOCK, items - start))
    table.flush()
    np.save(folder / "queries.npy", points(rng, maps, QUERIES))
    line = '{"id": "", "title": "", "class": "background", "photo": null, "ingredients": [], "instructions": []}\n'
    (folder / "items.jsonl").write_text(line * items)
    starts = np.arange(items + 1, dtype=np.int64) * len(line)
    np.savez(folder / "items.npz", starts=starts, class_id=np.zeros(items, np.int32), ids=np.zeros(items, "U1"))
    about = {"model": "0", "step": 0, "source": {}, "class_names": ["background"]}
    about |= {"items": items, "dim": DIM, "sides": ["recipe"]}
    (folder / "gallery.json").write_text(json.dumps(about))


def build(folder: Path) -> dict[str, float]:
    """Builds the index. Returns the seconds and the GiB of memory, without memory-mapped files."""
    start = time.perf_counter()
    index.build(Gallery(folder), "recipe")
    return {"seconds": time.perf_counter() - start, "anonymous": memory_bytes("RssAnon") / 2**30}


def search(folder: Path) -> dict[str, float]:
    """Times single queries, exact and with the index, and returns the recall and properties of the index."""
    gallery, queries = Gallery(folder), np.load(folder / "queries.npy")
    embeddings = gallery.embeddings("recipe")
    opened = time.perf_counter()
    opened_index = index.Index(gallery, "recipe")
    opened = time.perf_counter() - opened
    nearest = exact.search(embeddings, queries, TOP)[1]  # also loads the file into the page cache

    def timed(search, queries: np.ndarray) -> tuple[list[float], list[np.ndarray]]:
        milliseconds, found = [], []
        for query in queries:
            start = time.perf_counter()
            found.append(search(query[None], TOP)[1][0])
            milliseconds.append(1000 * (time.perf_counter() - start))
        return milliseconds, found

    milliseconds, approximate = timed(opened_index.search, queries)
    exact_milliseconds, _ = timed(functools.partial(exact.search, embeddings), queries[:10])
    recalls = [np.isin(expected, found).mean() for expected, found in zip(nearest, approximate, strict=True)]
    return {
        "median": float(np.median(milliseconds)),
        "p99": float(np.quantile(milliseconds, 0.99)),
        "exact": float(np.median(exact_milliseconds)),
        "recall": float(np.mean(recalls)),
        "opened": opened,
        "visited": opened_index.about.visited / opened_index.about.cells,
        "cells": opened_index.about.cells,
        "gib": (folder / "recipe.faiss").stat().st_size / 2**30,
    }


def main() -> None:
    """Writes the gallery, measures, and writes the page."""
    parser = results_parser("search", __doc__, "--results")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the gallery; reused if it exists")
    parser.add_argument("--items", type=int, default=1_000_000, help="size of the gallery; default: 1000000")
    parser.add_argument("--part", choices=("build", "search"), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.part:
        print(json.dumps({"build": build, "search": search}[flags.part](flags.scratch)))
        return
    if not flags.scratch.exists():
        write(flags.scratch, flags.items)
    built, searched = (
        json.loads(own_process("search", "--scratch", flags.scratch, "--part", part).splitlines()[-1])
        for part in ("build", "search")
    )
    visited_bytes, all_bytes = searched["visited"] * flags.items * index.COMPONENTS, flags.items * DIM * 4
    lines = [
        "# Search in a large gallery",
        "",
        f"`python -m benchmarks.search`: {flags.items:,} items with {DIM} dimensions, on a random manifold of "
        f"{MANIFOLD} dimensions with {NOISE:.0%} of noise; {QUERIES} single queries from the same manifold for the "
        f"{TOP} nearest items. Times do not include the embedding of a query. {describe_machine()}",
        "",
        f"| | median, ms | p99, ms | recall@{TOP} |",
        "|---|---:|---:|---:|",
        f"| index | {searched['median']:.1f} | {searched['p99']:.1f} | {searched['recall']:.3f} |",
        f"| exact | {searched['exact']:.0f} | | 1 |",
        "",
        f"Goals: {GOAL_MS} ms at a recall of {GOAL_RECALL}, and an index of at most {GOAL_GIB} GiB. The index takes "
        f"{searched['gib']:.2f} GiB and has {searched['cells']:,} cells, of which a query visits "
        f"{searched['visited']:.1%}: {visited_bytes / 1e6:.0f} MB, read at "
        f"{visited_bytes / searched['median'] / 1e6:.1f} GB/s. It was built in {built['seconds']:.0f} s with "
        f"{built['anonymous']:.2f} GiB of memory in addition to the memory-mapped embeddings "
        f"({all_bytes / 2**30:.1f} GiB), and opens in {searched['opened']:.1f} s. Exact search reads all embeddings, "
        f"at {all_bytes / searched['exact'] / 1e6:.1f} GB/s.",
    ]
    write_page(flags.page, lines)


if __name__ == "__main__":
    main()
