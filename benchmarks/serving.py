"""Measures the server with 1 and 32 clients, with and without batching, its memory, under overload and attack.

    python -m benchmarks.serving --workdir quickstart/run

Two servers run at the same time on the gallery of the test split, one of them with `--batch 1`. Each load is sent to
one server, then to the other; this is repeated, and medians are reported. Clients are threads of this process and share
the servers' cores. A client keeps its connection open and sends the next query when the answer arrives.
"""

import collections
import contextlib
import http.client
import io
import json
import math
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from adamine_jax.gallery.folder.store import Gallery
from benchmarks.harness import describe_machine, memory_bytes, results_parser, write_page

SECONDS = {1: 5, 32: 20}
"""Duration of a load by number of clients."""
ROUNDS = 3
BATCHES = {"batched": 32, "one at a time": 1}
QUERIES, TOO_MANY = 20_000, 200


class Request(NamedTuple):
    """A POST request."""

    path: str
    body: bytes
    content_type: str


class Load(NamedTuple):
    """Answers to a load.

    Attributes:
        rate: Answers per second with status 200.
        median: Median latency of these answers in milliseconds.
        p99: 99th percentile of the latency in milliseconds.
        statuses: Number of answers by status.
    """

    rate: float
    median: float
    p99: float
    statuses: dict[int, int]


@contextlib.contextmanager
def served(workdir: Path, *flags: str) -> Iterator[tuple[int, int]]:
    """Runs a server. Yields its port and process id."""
    command = [sys.executable, "-m", "adamine_jax.serve", "--workdir", str(workdir), "--port", "0", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        ready = next((line for line in process.stdout if line.startswith("ready: ")), None)
        if ready is None:
            raise SystemExit("the server did not start")
        try:
            yield int(ready.split()[1].rsplit(":", 1)[1]), process.pid
        finally:
            process.terminate()
            process.communicate()


def send(port: int, requests: Sequence[Request], clients: int, proceed: Callable[[int], bool]) -> Load:
    """Runs clients in parallel while `proceed(number of successful answers)`."""
    statuses, latencies = collections.Counter(), []

    def run(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while proceed(len(latencies)):
            path, body, content_type = requests[number % len(requests)]
            number += clients
            start = time.perf_counter()
            connection.request("POST", path, body, {"content-type": content_type})
            answer = connection.getresponse()
            answer.read()
            statuses[answer.status] += 1
            if answer.status == 200:
                latencies.append(1000 * (time.perf_counter() - start))
        connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rate = len(latencies) / (time.perf_counter() - start)
    latencies = sorted(latencies) or [math.nan]
    return Load(rate, statistics.median(latencies), latencies[int(0.99 * (len(latencies) - 1))], dict(statuses))


def for_seconds(seconds: float) -> Callable[[int], bool]:
    """Returns a condition for `send` that holds for a number of seconds from now."""
    end = time.perf_counter() + seconds
    return lambda _: time.perf_counter() < end


def requests_of(gallery: Path) -> dict[str, list[Request]]:
    """Returns searches for the gallery's own photos and recipes."""
    opened = Gallery(gallery)
    photos, recipes = [], []
    for item in map(opened.item, opened.rows[:200]):
        photos.append(_photo_search(item.photo.read_bytes()))
        recipe = {name: getattr(item, name) for name in ("title", "ingredients", "instructions")}
        recipes.append(Request("/api/v1/search/recipe", json.dumps(recipe).encode(), "application/json"))
    return {"photos": photos, "recipes": recipes}


def compare(ports: dict[str, int], queries: dict[str, list[Request]], rounds: int) -> dict[tuple[str, int, str], Load]:
    """Returns the medians over the rounds for each (kind of query, number of clients, batching).

    Raises:
        SystemExit: An answer did not have status 200.
    """
    loads: dict[tuple[str, int, str], list[Load]] = collections.defaultdict(list)
    for number in range(rounds + 1):
        for kind, requests in queries.items():
            for clients, seconds in SECONDS.items():
                for name, port in ports.items():
                    load = send(port, requests, clients, for_seconds(seconds if number else 2))
                    if set(load.statuses) != {200}:
                        raise SystemExit(f"expected status 200 only; number of answers by status: {load.statuses}")
                    if number:  # the first round is a warm-up
                        loads[kind, clients, name].append(load)
    return {
        key: Load(*map(statistics.median, zip(*(load[:3] for load in measured), strict=True)), statuses={})
        for key, measured in loads.items()
    }


def memory(port: int, process: int, queries: dict[str, list[Request]], count: int) -> list[float]:
    """Returns the server's memory in MiB before and after each quarter of `count` queries of all kinds."""
    mixed = [request for pair in zip(*queries.values(), strict=True) for request in pair]
    megabytes = [memory_bytes("VmRSS", process) / 2**20]
    for _ in range(4):
        send(port, mixed, 32, lambda answers: answers < count // 4)
        megabytes.append(memory_bytes("VmRSS", process) / 2**20)
    return megabytes


def crafted_photos() -> list[Request]:
    """Returns searches for photos that take a decoder as long as the limits on their structure allow, and longer."""
    return [_crafted(8000, 7900, scans=20), _crafted(4000, 4000, scans=2600)]


def _crafted(width: int, height: int, scans: int) -> Request:
    file = io.BytesIO()
    Image.new("L", (width, height)).save(file, "JPEG", progressive=True)
    jpeg = file.getvalue()
    photo = jpeg[:-2] + jpeg[jpeg.rindex(b"\xff\xda") : -2] * scans + b"\xff\xd9"
    return _photo_search(photo)


def _photo_search(photo: bytes) -> Request:
    head = b'--x\r\ncontent-disposition: form-data; name="photo"; filename="a"\r\n\r\n'
    return Request("/api/v1/search/photo", head + photo + b"\r\n--x--\r\n", "multipart/form-data; boundary=x")


class Attack(NamedTuple):
    """The load of 32 clients without and during an attack, and the server's memory before and after it in MiB."""

    usual: Load
    attacked: Load
    crafted: Load
    megabytes: tuple[float, float]


def attack(port: int, process: int, requests: Sequence[Request], seconds: float = 20) -> Attack:
    """Measures searches by 32 clients while 8 others send crafted photos without a pause."""
    usual = send(port, requests, 32, for_seconds(seconds))
    before = tree_memory(process)
    crafted: list[Load] = []
    attackers = threading.Thread(target=lambda: crafted.append(send(port, crafted_photos(), 8, for_seconds(seconds))))
    attackers.start()
    attacked = send(port, requests, 32, for_seconds(seconds))
    attackers.join()
    send(port, requests, 32, for_seconds(2))
    return Attack(usual, attacked, crafted[0], (before, tree_memory(process)))


def tree_memory(process: int) -> float:
    """Returns the memory of a process and its children in MiB."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return sum(memory_bytes("VmRSS", int(each)) for each in (process, *children)) / 2**20


def page(
    rows: dict[tuple[str, int, str], Load], megabytes: list[float], queries: int, overload: Load, attacked: Attack
) -> list[str]:
    """Returns the results page."""
    lines = []
    for (kind, clients, name), row in rows.items():
        single = rows[kind, 1, "one at a time"]
        lines.append(
            f"| {kind} | {clients} | {name} | {row.rate:.0f} | {row.rate / single.rate:.2f} | {row.median:.0f} "
            f"| {row.p99:.0f} | {row.p99 / single.median:.1f} |"
        )
    others = sum(count for status, count in overload.statuses.items() if status not in (200, 503))
    return [
        "# Serving",
        "",
        f"`python -m benchmarks.serving` with the model and the gallery of `make quickstart`: medians of {ROUNDS} "
        f"rounds of {SECONDS[1]} s with one client and {SECONDS[32]} s with 32. Clients run on the same cores; all "
        f"answers had status 200. {describe_machine()}",
        "",
        "| queries | clients | embedded | answers/s | relative to one client, one at a time | median, ms | p99, ms "
        "| p99 / median of one client |",
        "|---|---:|---|---:|---:|---:|---:|---:|",
        *lines,
        "",
        "Goals: with 32 clients, 2.5 times as many photo queries per second as one at a time, and a p99 below 20 times "
        "the median of one client.",
        "",
        f"Memory of the server: {megabytes[0]:.0f} MB before {queries:,} queries of photos and recipes, "
        f"{', '.join(f'{value:.0f}' for value in megabytes[1:-1])} MB after each of the first three quarters, and "
        f"{megabytes[-1]:.0f} MB at the end.",
        "",
        f"Overload: of {TOO_MANY} simultaneous clients, the server accepts 64. It answered "
        f"{overload.statuses.get(200, 0):,} queries and rejected {overload.statuses.get(503, 0):,} with status 503; "
        f"{others} answers had another status. Afterwards it answers as before.",
        "",
        *attack_lines(attacked),
    ]


def attack_lines(result: Attack) -> list[str]:
    """Returns the paragraph about the attack."""
    usual, attacked, (before, after) = result.usual, result.attacked, result.megabytes
    answered = attacked.statuses.get(200, 0)
    return [
        "Attack: 8 clients send progressive JPEGs of 63 megapixels with 30 scans and of 16 with 2,600 without a pause, "
        f"while 32 clients search for photos. These received {answered:,} answers with status 200 and "
        f"{sum(attacked.statuses.values()) - answered} others; their median rose from {usual.median:.0f} to "
        f"{attacked.median:.0f} ms and their p99 from {usual.p99:.0f} to {attacked.p99:.0f} ms, "
        f"{attacked.p99 / usual.p99:.1f} times (goal: at most 3). Of the attackers' searches, "
        f"{result.crafted.statuses.get(200, 0):,} were answered and {result.crafted.statuses.get(422, 0):,} refused. "
        f"Memory of the server and its decoding processes: {before:.0f} MB before and {after:.0f} MB after it."
    ]


def main() -> None:
    """Measures and writes the page."""
    parser = results_parser("serving", __doc__, "--results")
    parser.add_argument("--workdir", type=Path, required=True, help="workdir of the quickstart")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"measured rounds; default: {ROUNDS}")
    parser.add_argument("--queries", type=int, default=QUERIES, help="number of queries for the memory measurement")
    flags = parser.parse_args()
    queries = requests_of(flags.workdir / "gallery" / "test")
    with contextlib.ExitStack() as stack:
        servers = {
            name: stack.enter_context(served(flags.workdir, "--batch", str(batch))) for name, batch in BATCHES.items()
        }
        rows = compare({name: port for name, (port, _) in servers.items()}, queries, flags.rounds)
        port, process = servers["batched"]
        megabytes = memory(port, process, queries, flags.queries)
        overload = send(port, queries["photos"], TOO_MANY, for_seconds(10))
        attacked = attack(port, process, queries["photos"])
        if set(send(port, queries["photos"], 1, for_seconds(1)).statuses) != {200}:
            raise SystemExit("the server does not answer after the attack")
    write_page(flags.page, page(rows, megabytes, flags.queries, overload, attacked))


if __name__ == "__main__":
    main()
