"""The server with 1 and with 32 clients at once, batching on and off in one run.

    python -m benchmarks.serving --workdir quickstart/run

Two servers stand beside each other on the gallery of the test split, one with `--batch 1`; each kind of load goes to
one, then to the other, several times, and the median counts. Clients are threads of one other process, on the same
cores; each keeps its connection and asks again when it has its answer. Every answer must be a 200.
"""

import argparse
import contextlib
import http.client
import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.machine import describe_machine

RESULTS = Path(__file__).parent / "results" / "serving.md"
CLIENTS = (1, 32)
SECONDS, ROUNDS = 5, 3
BATCHES = {"together": 32, "each alone": 1}


class Request(NamedTuple):
    """What a client sends."""

    path: str
    content: bytes
    kind: str


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


@contextlib.contextmanager
def served(workdir: Path, batch: int) -> Iterator[int]:
    """The port of a server while it runs."""
    command = [sys.executable, "-m", "adamine_jax.serve", "--workdir", str(workdir), "--port", "0"]
    with subprocess.Popen([*command, "--batch", str(batch)], stdout=subprocess.PIPE, text=True) as process:
        ready = next((line for line in process.stdout if line.startswith("ready: ")), None)
        if ready is None:
            raise SystemExit("the server did not start")
        try:
            yield int(ready.rsplit(":", 1)[1])
        finally:
            process.terminate()


def throughput(port: int, requests: list[Request], clients: int) -> tuple[float, float]:
    """Answers a second, and the median milliseconds of one."""
    end, taken = time.perf_counter() + SECONDS, []

    def run(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while time.perf_counter() < end:
            path, content, kind = requests[number % len(requests)]
            number += clients
            start = time.perf_counter()
            connection.request("POST", path, content, {"content-type": kind})
            answer = connection.getresponse()
            answer.read()
            taken.append(time.perf_counter() - start if answer.status == 200 else float("nan"))
        connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if any(seconds != seconds for seconds in taken):
        raise SystemExit("an answer was not a 200")
    return len(taken) / (time.perf_counter() - start), 1000 * statistics.median(taken)


def measure(workdir: Path) -> dict[tuple[str, int, str], tuple[float, float]]:
    """(kind of query, clients, batching) → answers a second and median milliseconds."""
    kinds = requests_of(workdir / "gallery" / "test")
    measured: dict[tuple[str, int, str], list[tuple[float, float]]] = {}
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(served(workdir, batch)) for name, batch in BATCHES.items()}
        for number in range(ROUNDS + 1):
            for kind, requests in kinds.items():
                for clients in CLIENTS:
                    for name, port in ports.items():
                        result = throughput(port, requests, clients)
                        if number:  # the first round warms up
                            measured.setdefault((kind, clients, name), []).append(result)
    medians = (map(statistics.median, zip(*rows, strict=True)) for rows in measured.values())
    return dict(zip(measured, map(tuple, medians), strict=True))


def page(measured: dict[tuple[str, int, str], tuple[float, float]]) -> str:
    """The results page."""
    rows = []
    for kind in ("photos", "recipes"):
        alone = measured[kind, 1, "each alone"][0]
        for clients in CLIENTS:
            for name in BATCHES:
                rate, median = measured[kind, clients, name]
                rows.append(f"| {kind} | {clients} | {name} | {rate:.0f} | {median:.0f} | {rate / alone:.2f} |")
    return "\n".join(
        [
            "# Serving",
            "",
            f"`python -m benchmarks.serving`, the model and the gallery of `make quickstart`; {ROUNDS} rounds of "
            f"{SECONDS} s, medians; clients on the same cores. {describe_machine()}",
            "",
            "| queries | clients | embedded | answers/s | median, ms | times one client, each alone |",
            "|---|---:|---|---:|---:|---:|",
            *rows,
            "",
        ]
    )


def main() -> None:
    """Measures, writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--results", type=Path, default=RESULTS)
    flags = parser.parse_args()
    flags.results.write_text(page(measure(flags.workdir)), encoding="utf-8")
    print(flags.results.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
