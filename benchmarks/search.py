"""A gallery of a million items: how soon a single query is answered, how truly, and what the index takes.

    python -m benchmarks.search --scratch DIR

The embeddings are those of a random smooth manifold of 32 dimensions with 5 % of noise, unit rows of 1024 numbers; the
queries are further points of it. Building and searching are processes of their own; exact search is in the same run.
Needs 6 GB of disk.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from adamine_jax.gallery import exact, index
from adamine_jax.gallery.store import Gallery
from benchmarks.machine import describe_machine

RESULTS = Path(__file__).parent / "results" / "search.md"
DIM, MANIFOLD, NOISE = 1024, 32, 0.05
QUERIES, TOP = 200, 10
GOAL_MS, GOAL_RECALL, GOAL_GIB = 20, 0.95, 1.5
_BLOCK = 20_000


def points(rng: np.random.Generator, maps: tuple[np.ndarray, np.ndarray], count: int) -> np.ndarray:
    """Unit rows (count, DIM): tanh of two random linear maps of 32 numbers, and noise of 5 % of their length."""
    first, second = maps
    rows = np.tanh(np.tanh(rng.standard_normal((count, MANIFOLD), np.float32) @ first) @ second)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    noise = rng.standard_normal((count, DIM), np.float32)
    rows += NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def write(folder: Path, items: int) -> None:
    """A gallery of recipes without texts, and queries beside it."""
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
    """Builds the index; seconds and peak memory, embeddings that are mapped not counted."""
    start = time.perf_counter()
    about = index.build(Gallery(folder), "recipe")
    return {"seconds": time.perf_counter() - start, "anonymous": _anonymous(), "recall": about.recall}


def _anonymous() -> float:
    """GiB of memory that is not a file's, when the index is whole."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 2**20


def search(folder: Path) -> dict[str, float]:
    """Times single queries, exactly and with the index, and compares what they find."""
    gallery, queries = Gallery(folder), np.load(folder / "queries.npy")
    embeddings = gallery.embeddings("recipe")
    opened = time.perf_counter()
    found = index.Index(gallery, "recipe")
    opened = time.perf_counter() - opened
    right = exact.search(embeddings, queries, TOP)[1]  # and the file is in memory, for both
    approximate, seconds = [], []
    for query in queries:
        start = time.perf_counter()
        approximate.append(found.search(query[None], TOP)[1][0])
        seconds.append(time.perf_counter() - start)
    slow = []
    for query in queries[:10]:
        start = time.perf_counter()
        exact.search(embeddings, query[None], TOP)
        slow.append(time.perf_counter() - start)
    recalls = [np.isin(one, other).mean() for one, other in zip(right, approximate, strict=True)]
    return {
        "median": 1000 * float(np.median(seconds)),
        "p99": 1000 * float(np.quantile(seconds, 0.99)),
        "exact": 1000 * float(np.median(slow)),
        "recall": float(np.mean(recalls)),
        "opened": opened,
        "visited": found.about.visited / found.about.cells,
        "cells": found.about.cells,
        "gib": (folder / "recipe.faiss").stat().st_size / 2**30,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def main() -> None:
    """Writes the gallery, builds, searches, writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scratch", type=Path, required=True, help="a folder that does not exist yet")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--part", choices=("build", "search"), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.part:
        print(json.dumps({"build": build, "search": search}[flags.part](flags.scratch)))
        return
    if not flags.scratch.exists():
        write(flags.scratch, flags.items)
    built, searched = (_part(flags.scratch, part) for part in ("build", "search"))
    flags.results.write_text(page(flags.items, built, searched), encoding="utf-8")
    print(flags.results.read_text(encoding="utf-8"))


def _part(scratch: Path, part: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.search", "--scratch", str(scratch), "--part", part]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def page(items: int, built: dict[str, float], searched: dict[str, float]) -> str:
    """The results page."""
    return "\n".join(
        [
            "# Searching in a large gallery",
            "",
            f"`python -m benchmarks.search`, {items:,} items of {DIM} numbers, a random manifold of {MANIFOLD} "
            f"dimensions with {NOISE:.0%} of noise; {QUERIES} single queries of it, the {TOP} best, embedding a query "
            f"not counted. {describe_machine()}",
            "",
            "| | median, ms | p99, ms | recall@10 |",
            "|---|---:|---:|---:|",
            f"| the index | {searched['median']:.1f} | {searched['p99']:.1f} | {searched['recall']:.3f} |",
            f"| exact | {searched['exact']:.0f} | | 1 |",
            "",
            f"Goals: {GOAL_MS} ms at {GOAL_RECALL}, an index of {GOAL_GIB} GiB. It has {searched['gib']:.2f} GiB and "
            f"{searched['cells']:,} cells, of which a query visits {searched['visited']:.1%}: "
            f"{searched['visited'] * items * index.COMPONENTS / 1e6:.0f} MB, read at "
            f"{searched['visited'] * items * index.COMPONENTS / searched['median'] / 1e6:.1f} GB/s. It was built in "
            f"{built['seconds']:.0f} s with {built['anonymous']:.2f} GiB of memory beside the mapped embeddings "
            f"({items * DIM * 4 / 2**30:.1f} GiB), and is opened in {searched['opened']:.1f} s. Exact search reads all "
            f"embeddings, at {items * DIM * 4 / searched['exact'] / 1e6:.1f} GB/s.",
            "",
        ]
    )


if __name__ == "__main__":
    main()
