"""Connections with large or slow headers, and idle ones, are closed."""

import contextlib
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest

from adamine_jax.serving import connections
from tests.servers import serving

REQUEST = b"GET /api/v1/health HTTP/1.1\r\nhost: localhost\r\n"


@pytest.fixture
def connect(address):
    opened = []

    def connect():
        url = urlsplit(address)
        opened.append(socket.create_connection((url.hostname, url.port), timeout=20))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


def answer(connection):
    """Returns everything that the server sends until it closes the connection."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionError:
        pass
    return received


@pytest.mark.parametrize(
    "headers",
    [
        b"x: " + b"a" * 100_000,  # never complete
        b"x: " + b"a" * 100_000 + b"\r\n\r\n",
        b"x: a\r\n" * 1000 + b"\r\n",
        b"y" * 300_000 + b": a\r\n\r\n",
    ],
)
def test_large_headers_are_refused(connect, api, headers):
    connection = connect()
    with contextlib.suppress(ConnectionError):
        connection.sendall(REQUEST + headers)
    assert answer(connection)[:12] in (b"HTTP/1.1 400", b"")  # closing with unread data may drop the response
    assert api.get("/health").status_code == 200


def test_a_long_request_line_is_refused(connect):
    connection = connect()
    connection.sendall(b"GET /" + b"a" * 200_000)
    assert answer(connection)[:12] in (b"HTTP/1.1 400", b"")


def test_memory_for_headers_is_bounded(connect):
    with pytest.raises(ConnectionError):
        connect().sendall(b"GET / HTTP/1.1\r\n" + b"a" * 100_000_000)


@pytest.mark.parametrize("sent", [b"", b"GET / HTT", REQUEST])
def test_slow_headers_and_idle_connections_are_closed(model, gallery, monkeypatch, sent):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)
    with serving(model, gallery) as (address, _, _):
        url = urlsplit(address)
        with socket.create_connection((url.hostname, url.port), timeout=20) as connection:
            connection.sendall(sent)
            assert answer(connection) == b""


def test_a_connection_with_complete_requests_stays_open(model, gallery, monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)
    with serving(model, gallery) as (address, _, _), httpx.Client(base_url=address) as client:
        begin, streams = time.monotonic(), set()
        while time.monotonic() < begin + 1:
            streams.add(client.get("/api/v1/health").extensions["network_stream"])
        assert len(streams) == 1


def test_connections_beyond_the_limit_are_closed(connect, api, monkeypatch):
    assert api.get("/health").status_code == 200
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 4)
    first = [connect() for _ in range(3)]
    assert answer(connect()) == b""
    first[0].close()
    for connection in first[1:]:
        connection.sendall(REQUEST + b"connection: close\r\n\r\n")
        assert answer(connection).startswith(b"HTTP/1.1 200")
    assert api.get("/health").status_code == 200
