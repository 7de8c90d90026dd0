"""Many clients at once, too many clients, slow clients, and a shutdown under load."""

import asyncio
import logging
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from adamine_jax.serving.guard import Guard, Limits
from tests.servers import serving
from tests.small_collection import photo_file


@pytest.fixture
def held(model, monkeypatch):
    """Blocks the embedding of recipes until `go` is set."""
    go, embed = threading.Event(), model.embed_recipes
    calls = []

    def wait(rows):
        calls.append(len(rows))
        if len(calls) > 1:  # the first call is the server's warm-up
            assert go.wait(30)
        return embed(rows)

    monkeypatch.setattr(model, "embed_recipes", wait)
    go.calls = calls
    yield go
    go.set()


def ask(address, number=0):
    return httpx.post(
        f"{address}/api/v1/search/recipe", json={"ingredients": [f"{number} beets"], "top": 3}, timeout=60
    )


def wait_until(condition):
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("timed out")


def test_32_clients_get_the_same_results_as_one(address):
    photos = [photo_file(number) for number in range(4)]

    def search(number):
        if number % 2:
            return ask(address, number).json()["photos"]
        answer = httpx.post(f"{address}/api/v1/search/photo", files={"photo": photos[number % 4]}, timeout=60)
        return answer.json()["recipes"]

    with ThreadPoolExecutor(32) as pool:
        concurrent = list(pool.map(search, range(64)))
    for number in range(8):
        alone = search(number)
        assert [hit["id"] for hit in concurrent[number]] == [hit["id"] for hit in alone]
        assert [hit["similarity"] for hit in concurrent[number]] == pytest.approx(
            [hit["similarity"] for hit in alone], abs=1e-5
        )


def test_queries_beyond_the_queue_are_refused_with_retry_after(model, gallery, held):
    with serving(model, gallery, Limits(queue=4)) as (address, engine, _), ThreadPoolExecutor(4) as pool:
        pending = [pool.submit(ask, address, number) for number in range(4)]
        wait_until(lambda: engine.running == 4)
        for answer in (ask(address), httpx.get(f"{address}/api/v1/ready")):
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "1"
            assert answer.json() == {"error": "The server is busy; try again in a second."}
        assert httpx.get(f"{address}/api/v1/health").status_code == 200
        held.set()
        assert [future.result().status_code for future in pending] == [200] * 4
        assert ask(address).status_code == 200
    assert sum(held.calls) >= 6


def test_stopping_answers_accepted_queries(model, gallery, held):
    with serving(model, gallery) as (address, engine, server), ThreadPoolExecutor(12) as pool:
        pending = [pool.submit(ask, address, number) for number in range(12)]
        wait_until(lambda: engine.running == 12)
        server.should_exit = True

        def refused():
            try:
                return httpx.get(f"{address}/api/v1/health", timeout=1) is None
            except httpx.TransportError:
                return True

        wait_until(refused)
        held.set()
        answers = [future.result() for future in pending]
        assert [answer.status_code for answer in answers] == [200] * 12
        assert {answer.headers["connection"] for answer in answers} == {"close"}


def test_timeouts_are_reported(model, gallery, held):
    with serving(model, gallery, Limits(seconds=0.5)) as (address, engine, _):
        answer = ask(address)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["error"] == "The request was not completed within 0.5 seconds; try again in a moment."
        assert engine.running == 0
        host, port = address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(b"POST /api/v1/search/recipe HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{")
            slow.settimeout(30)
            assert slow.recv(1000).startswith(b"HTTP/1.1 408 ")
        held.set()


def slow_upload(address, size=100_000):
    """Sends the beginning of a photo, and keeps the connection open."""
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    head = "POST /api/v1/search/photo HTTP/1.1\r\nhost: x\r\ncontent-type: multipart/form-data; boundary=x\r\n"
    part = '--x\r\ncontent-disposition: form-data; name="photo"; filename="a"\r\n\r\n'
    connection.sendall(f"{head}content-length: 10000000\r\n\r\n{part}".encode() + bytes(size))
    return connection


def test_slow_uploads_do_not_keep_other_photos_waiting(model, gallery):
    with serving(model, gallery, Limits(queue=16)) as (address, engine, server):
        slow = [slow_upload(address) for _ in range(50)]
        wait_until(lambda: len(server.server_state.connections) >= 50)
        url = f"{address}/api/v1/search/photo"
        assert httpx.post(url, files={"photo": photo_file(7)}, timeout=10).status_code == 200
        assert engine.running == 0
        for connection in slow:
            connection.close()


def test_uploads_beyond_the_memory_for_them_are_refused(model, gallery):
    with serving(model, gallery, Limits(upload_bytes=150_000)) as (address, _, server):
        slow, url = slow_upload(address, 145_000), f"{address}/api/v1/search/photo"
        big = photo_file(7) + bytes(20_000)
        wait_until(lambda: server.config.app._uploads.size > 140_000)
        answer = httpx.post(url, files={"photo": big}, timeout=10)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json() == {"error": "The server is receiving many photos; try again in a second."}
        slow.close()
        wait_until(lambda: server.config.app._uploads.size == 0)
        assert httpx.post(url, files={"photo": big}, timeout=10).status_code == 200
        assert server.config.app._uploads.size == 0


@pytest.mark.parametrize(("method", "status"), [("GET", 503), ("POST", 408)])
def test_the_status_of_a_request_that_takes_too_long(method, status):
    sent = []

    async def forever(*_):
        await asyncio.Event().wait()

    async def send(message):
        sent.append(message)

    guard = Guard(forever, Limits(seconds=0.01))
    asyncio.run(guard({"type": "http", "method": method, "path": "/", "headers": []}, forever, send))
    assert sent[0]["status"] == status


def test_a_client_that_leaves_during_an_upload_is_not_an_error(model, gallery, caplog):
    with serving(model, gallery) as (address, _, server):
        logging.getLogger("uvicorn.error").addHandler(caplog.handler)
        for _ in range(3):
            slow_upload(address).close()
        wait_until(lambda: not server.server_state.connections and not server.server_state.tasks)
        assert httpx.get(f"{address}/api/v1/health").status_code == 200
    assert not caplog.records


def test_an_upload_that_is_cut_off_by_a_shutdown_gets_a_503(caplog):
    async def cancelled():
        sent = []

        async def send(message):
            sent.append(message)

        async def never(*_):
            await asyncio.Event().wait()

        guard = Guard(never, Limits())
        task = asyncio.create_task(guard({"type": "http", "method": "POST", "path": "/", "headers": []}, never, send))
        await asyncio.sleep(0)
        task.cancel()
        await task
        return sent[0]["status"]

    assert asyncio.run(cancelled()) == 503


def test_a_client_that_resets_its_connection_before_the_answers_is_not_an_error(model, gallery, caplog):
    with serving(model, gallery) as (address, _, server):
        logging.getLogger("uvicorn.error").addHandler(caplog.handler)
        host, port = address.removeprefix("http://").split(":")
        for _ in range(10):
            with socket.create_connection((host, int(port))) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.sendall(b"GET /api/v1/gallery HTTP/1.1\r\nhost: x\r\n\r\n" * 200)
        wait_until(lambda: not server.server_state.connections and not server.server_state.tasks)
        assert httpx.get(f"{address}/api/v1/health").status_code == 200
    assert not caplog.records
