"""The server with 1 and with 32 clients, batching on and off in one run; then 20,000 queries, and too many clients.

    python -m benchmarks.serving --workdir quickstart/run

Two servers stand beside each other on the gallery of the test split, one with `--batch 1`; each kind of load goes to
one, then to the other, several times, and the median counts. Clients are threads of this process, on the same cores;
each keeps its connection and asks again when it has its answer.
"""

import argparse
import contextlib
import json
import statistics
from pathlib import Path
from typing import NamedTuple

from benchmarks.load import Load, Request, for_seconds, load, resident_mb, served
from benchmarks.machine import describe_machine

RESULTS = Path(__file__).parent / "results" / "serving.md"
SECONDS = {1: 5, 32: 20}  # of one load, by the number of clients
ROUNDS = 3
BATCHES = {"together": 32, "each alone": 1}
QUERIES, TOO_MANY = 20_000, 200


class Row(NamedTuple):
    """Medians over the rounds: answers a second, the median milliseconds of one, and what one of a hundred exceeds."""

    rate: float
    median: float
    p99: float


def requests_of(gallery: Path) -> dict[str, list[Request]]:
    """Searches with the gallery's own photos and recipes."""
    lines = (gallery / "items.jsonl").read_text(encoding="utf-8").splitlines()[:200]
    photos, recipes = [], []
    for item in map(json.loads, lines):
        head = b'--x\r\ncontent-disposition: form-data; name="photo"; filename="a"\r\n\r\n'
        content = head + (gallery / item["photo"]).read_bytes() + b"\r\n--x--\r\n"
        photos.append(Request("/api/v1/search/photo", content, "multipart/form-data; boundary=x"))
        recipe = {name: item[name] for name in ("title", "ingredients", "instructions")}
        recipes.append(Request("/api/v1/search/recipe", json.dumps(recipe).encode(), "application/json"))
    return {"photos": photos, "recipes": recipes}


def compare(ports: dict[str, int], kinds: dict[str, list[Request]], rounds: int) -> dict[tuple[str, int, str], Row]:
    """(kind of query, clients, batching) → its row.

    Raises:
        SystemExit: an answer was no 200.
    """
    measured: dict[tuple[str, int, str], list[Load]] = {}
    for number in range(rounds + 1):
        for kind, requests in kinds.items():
            for clients, seconds in SECONDS.items():
                for name, port in ports.items():
                    result = load(port, requests, clients, for_seconds(seconds if number else 2))
                    if set(result.statuses) != {200}:
                        raise SystemExit(f"not every answer was a 200: {result.statuses}")
                    if number:  # the first round warms up
                        measured.setdefault((kind, clients, name), []).append(result)
    return {
        key: Row(
            *(statistics.median(values) for values in zip(*((r.rate, r.median, r.p99) for r in loads), strict=True))
        )
        for key, loads in measured.items()
    }


def memory(port: int, process: int, kinds: dict[str, list[Request]], queries: int) -> list[float]:
    """Megabytes before so many queries of all kinds, at the quarters, and after them."""
    mixed = [request for pair in zip(*kinds.values(), strict=True) for request in pair]
    megabytes = [resident_mb(process)]
    for _ in range(4):
        load(port, mixed, 32, lambda answers: answers < queries // 4)
        megabytes.append(resident_mb(process))
    return megabytes


def page(rows: dict[tuple[str, int, str], Row], megabytes: list[float], queries: int, overload: Load) -> str:
    """The results page."""
    lines = []
    for (kind, clients, name), row in rows.items():
        alone = rows[kind, 1, "each alone"]
        lines.append(
            f"| {kind} | {clients} | {name} | {row.rate:.0f} | {row.rate / alone.rate:.2f} | {row.median:.0f} "
            f"| {row.p99:.0f} | {row.p99 / alone.median:.1f} |"
        )
    others = {status: count for status, count in overload.statuses.items() if status not in (200, 503)}
    return "\n".join(
        [
            "# Serving",
            "",
            f"`python -m benchmarks.serving`, the model and the gallery of `make quickstart`; {ROUNDS} rounds of "
            f"{SECONDS[1]} s with one client and {SECONDS[32]} s with 32, medians; clients on the same cores; every "
            f"answer a 200. {describe_machine()}",
            "",
            "| queries | clients | embedded | answers/s | times one client, each alone | median, ms | p99, ms | p99 / "
            "median of one client |",
            "|---|---:|---|---:|---:|---:|---:|---:|",
            *lines,
            "",
            "Goals: photos of 32 clients 2.5 times as fast as one at a time, p99 below 20 times the median of one "
            "client.",
            "",
            f"Memory of the server: {megabytes[0]:.0f} MB before {queries:,} queries of photos and recipes, "
            f"{', '.join(f'{value:.0f}' for value in megabytes[1:-1])} at the quarters, {megabytes[-1]:.0f} MB after.",
            "",
            f"{TOO_MANY} clients at once, of whom the server takes 64: {overload.statuses.get(200, 0):,} answers, "
            f"{overload.statuses.get(503, 0):,} refused with 503, {sum(others.values())} of another status; afterwards "
            "it answers as before.",
            "",
        ]
    )


def main() -> None:
    """Measures, writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--queries", type=int, default=QUERIES)
    parser.add_argument("--results", type=Path, default=RESULTS)
    flags = parser.parse_args()
    kinds = requests_of(flags.workdir / "gallery" / "test")
    with contextlib.ExitStack() as stack:
        servers = {
            name: stack.enter_context(served(flags.workdir, "--batch", str(batch))) for name, batch in BATCHES.items()
        }
        rows = compare({name: port for name, (port, _) in servers.items()}, kinds, flags.rounds)
        port, process = servers["together"]
        megabytes = memory(port, process, kinds, flags.queries)
        overload = load(port, kinds["photos"], TOO_MANY, for_seconds(10))
        if set(load(port, kinds["photos"], 1, for_seconds(1)).statuses) != {200}:
            raise SystemExit("after too many clients the server does not answer as before")
    flags.results.write_text(page(rows, megabytes, flags.queries, overload), encoding="utf-8")
    print(flags.results.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
