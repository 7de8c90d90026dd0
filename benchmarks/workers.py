"""Measures one, two and four server processes with 32 clients, and their memory under mixed requests with changes.

    python -m benchmarks.workers --workdir quickstart/run

The same recipes are sent to `serve --workers 1`, 2 and 4, in turns; the clients are threads of two processes
that share the servers' cores, and do as little as possible. Then searches by recipes, photos and words, with filters,
and additions and removals of items are sent to a copy of the gallery.
"""

import collections
import concurrent.futures
import contextlib
import functools
import json
import multiprocessing
import random
import re
import shutil
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from benchmarks.harness import describe_machine, results_parser, write_page
from benchmarks.serving import Request, requests_of, served, tree_memory

WORKERS, CLIENTS, SECONDS, ROUNDS = (1, 2, 4), 32, 8, 5
QUERIES, QUARTERS = 20_000, 4
GOAL = 1.6
_TOKEN = "0123456789abcdef"
_CHANGES = 0.05  # of the requests


def http(request: Request, method: str = "POST") -> bytes:
    """Returns a request as it is sent."""
    head = f"{method} {request.path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {_TOKEN}\r\n"
    head += f"content-type: {request.content_type}\r\ncontent-length: {len(request.body)}\r\n\r\n"
    return head.encode() + request.body


def answered(connection: socket.socket, request: bytes) -> int:
    """Sends a request and returns the status of the answer, which is read completely."""
    connection.sendall(request)
    answer = b""
    while (end := answer.find(b"\r\n\r\n")) < 0:
        if not (part := connection.recv(1 << 16)):
            raise ConnectionError("the server has closed the connection")
        answer += part
    length = int(re.search(rb"content-length: (\d+)", answer[:end])[1])
    missing = end + 4 + length - len(answer)
    while missing > 0:
        missing -= len(connection.recv(1 << 16))
    return int(answer[9:12])


def load(port: int, requests: Sequence[bytes], seconds: float, clients: int = CLIENTS // 2) -> tuple[int, list[int]]:
    """Sends requests by several threads; returns the number of answers with status 200 or 201, and other statuses."""
    statuses, end = collections.Counter(), time.monotonic() + seconds

    def client(number: int) -> None:
        chosen = random.Random(number)
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            while time.monotonic() < end:
                statuses[answered(connection, chosen.choice(requests))] += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    good = statuses.pop(200, 0) + statuses.pop(201, 0)
    return good, list(statuses)


def compare(workdir: Path, requests: Sequence[bytes], rounds: int) -> dict[int, tuple[float, float]]:
    """Returns the median answers per second of each number of server processes, and the share of the cores in use."""
    rates: dict[int, list[tuple[float, float]]] = {count: [] for count in WORKERS}
    processes = concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn"))
    with processes, contextlib.ExitStack() as stack:
        ports = {count: stack.enter_context(served(workdir, "--workers", str(count)))[0] for count in WORKERS}
        for number in range(rounds + 1):
            for count, port in ports.items():
                seconds = SECONDS if number else 3
                psutil.cpu_percent()
                send = functools.partial(load, port, requests, seconds)
                results = [done.result() for done in [processes.submit(send) for _ in range(2)]]
                if any(others for _, others in results):
                    raise SystemExit(f"expected status 200 only; others: {results}")
                if number:  # the first round is a warm-up
                    answers = sum(good for good, _ in results) / seconds
                    rates[count].append((answers, psutil.cpu_percent() / 100))
    return {count: tuple(map(statistics.median, zip(*measured, strict=True))) for count, measured in rates.items()}


def mixed(requests: dict[str, list[Request]], seed: int, count: int) -> list[bytes]:
    """Returns searches of all kinds, and additions and removals of the same items, in the order of a client."""
    chosen = random.Random(seed)
    photo = requests["photos"][0].body
    start = photo.index(b"\r\n\r\n") + 4
    jpeg = photo[start : photo.rindex(b"\r\n--x--")]
    found: list[bytes] = []
    added: list[str] = []
    for number in range(count):
        kind = chosen.random()
        if kind < _CHANGES and added:
            found.append(http(Request(f"/api/v1/items?id={added.pop()}", b"", "text/plain"), "DELETE"))
        elif kind < _CHANGES:
            added.append(f"new-{seed}-{number}")
            recipe = json.dumps({"id": added[-1], "title": "Soup", "ingredients": ["1 leek", "salt"]})
            body = b'--x\r\ncontent-disposition: form-data; name="recipe"\r\n\r\n' + recipe.encode()
            body += b'\r\n--x\r\ncontent-disposition: form-data; name="photo"; filename="a"\r\n\r\n' + jpeg
            found.append(http(Request("/api/v1/items", body + b"\r\n--x--\r\n", "multipart/form-data; boundary=x")))
        elif kind < 0.3:
            found.append(http(chosen.choice(requests["photos"])))
        elif kind < 0.8:
            request = chosen.choice(requests["recipes"])
            options = {"exclude": [chosen.choice(["onion", "milk"])]} if kind < 0.5 else {}
            found.append(http(request._replace(body=json.dumps(json.loads(request.body) | options).encode())))
        else:
            words = chosen.choice(["soup", "lemon", "salad"])
            found.append(http(Request(f"/api/v1/search/words?words={words}", b"", "text/plain"), "GET"))
    return found


def memory(workdir: Path, requests: dict[str, list[Request]], queries: int) -> tuple[list[float], collections.Counter]:
    """Returns the MiB of a server of two processes before and after each quarter, and the numbers of statuses."""
    with tempfile.TemporaryDirectory() as scratch:
        gallery, token = Path(scratch) / "gallery", Path(scratch) / "token"
        shutil.copytree(workdir / "gallery" / "test", gallery)
        token.write_text(_TOKEN)
        statuses: collections.Counter = collections.Counter()

        def client(seed: int, port: int) -> None:
            with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
                for request in mixed(requests, seed, queries // QUARTERS // CLIENTS):
                    statuses[answered(connection, request)] += 1

        flags = ("--gallery", str(gallery), "--token-file", str(token), "--workers", "2")
        with served(workdir, *flags) as (port, process):
            megabytes = [tree_memory(process)]
            for quarter in range(QUARTERS):
                seeds = range(quarter * CLIENTS, (quarter + 1) * CLIENTS)
                threads = [threading.Thread(target=client, args=(seed, port)) for seed in seeds]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                megabytes.append(tree_memory(process))
    return megabytes, statuses


def main() -> None:
    """Measures, and writes the page."""
    parser = results_parser("workers", __doc__, "--results")
    parser.add_argument("--workdir", type=Path, required=True, help="workdir of the quickstart")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"measured rounds; default: {ROUNDS}")
    parser.add_argument("--queries", type=int, default=QUERIES, help="number of requests for the memory measurement")
    flags = parser.parse_args()
    requests = requests_of(flags.workdir / "gallery" / "test")
    rates = compare(flags.workdir, list(map(http, requests["recipes"])), flags.rounds)
    megabytes, statuses = memory(flags.workdir, requests, flags.queries)
    write_page(flags.page, page(rates, megabytes, statuses, flags.rounds))


def page(
    rates: dict[int, tuple[float, float]], megabytes: list[float], statuses: collections.Counter, rounds: int
) -> list[str]:
    """Returns the lines of the results page."""
    one, _ = rates[WORKERS[0]]
    return [
        "# Several server processes",
        "",
        f"`python -m benchmarks.workers` with the model and the gallery of `make quickstart`: {CLIENTS} clients, "
        f"medians of {rounds} rounds of {SECONDS} s in turns. Clients run on the same cores. {describe_machine()}",
        "",
        "| server processes | searches by recipe, answers/s | relative to one | cores in use |",
        "|---:|---:|---:|---:|",
        *(f"| {count} | {rate:.0f} | {rate / one:.2f} | {share:.0%} |" for count, (rate, share) in rates.items()),
        "",
        f"Goal: {GOAL} times as many with four processes as with one; measured: {rates[WORKERS[-1]][0] / one:.2f}. "
        "With at least as many processes as cores, each is pinned to one core.",
        "",
        f"Memory of two processes with their supervisor and decoders: {megabytes[0]:.0f} MiB at the start, "
        f"{', '.join(f'{value:.0f}' for value in megabytes[1:])} MiB after each quarter of {sum(statuses.values()):,} "
        f"requests: searches by photos, recipes and words, with and without filters, {_CHANGES:.0%} changes. "
        f"Answers by status: {', '.join(f'{status}: {count:,}' for status, count in sorted(statuses.items()))}.",
    ]


if __name__ == "__main__":
    main()
