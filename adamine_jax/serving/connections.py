"""Adds to uvicorn limits on connections and headers, and a shutdown that drops no connection in use."""

import asyncio
import math
import socket
import time
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEADER_BYTES = 65_536
"""Maximum size of the request line and headers. Up to one more read of the socket, 256 KiB, may be in memory."""
MAX_HEADERS = 100
HEADER_SECONDS = 15.0
"""Maximum time until a new connection has sent the headers of its first request, or of a further one from its start."""
MAX_CONNECTIONS = 800
"""Maximum number of connections; further ones are closed. Systems allow 1,024 open files by default."""
DRAIN_SECONDS = 6.0
"""Time in which connections that are in use end before a replaced server stops; uvicorn closes idle ones after 5."""


class Server(uvicorn.Server):
    """A uvicorn server that `drain` stops without closing connections on which a request may be arriving."""

    _is_draining = False

    def drain(self) -> None:
        """Stops accepting connections, ends the others after their next response, and then stops."""
        self._is_draining = self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stops the server."""
        if self._is_draining:
            for server in self.servers:
                server.close()
            end = time.monotonic() + DRAIN_SECONDS
            while self.server_state.connections and time.monotonic() < end:
                await asyncio.sleep(0.05)
            if self.config.timeout_graceful_shutdown:  # what remains of it
                used = DRAIN_SECONDS - max(end - time.monotonic(), 0)
                self.config.timeout_graceful_shutdown = max(self.config.timeout_graceful_shutdown - math.ceil(used), 1)
        await super().shutdown(sockets)


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which closes connections that exceed the limits of this module."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._in_headers, self._header_bytes = False, 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the time for the first request, or closes the connection if there are too many."""
        super().connection_made(transport)
        self._start_timer()
        if len(self.connections) > MAX_CONNECTIONS:
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parses data, and closes the connection if headers are too long to be complete."""
        super().data_received(data)
        if self._in_headers and not self.transport.is_closing():
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self.send_400_response("The headers of the request are too large.")

    def on_message_begin(self) -> None:
        """Starts the time and size of a request's headers."""
        super().on_message_begin()
        self._in_headers, self._header_bytes = True, 0
        self._start_timer()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Adds a header. The error makes uvicorn close the connection with a 400."""
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS or sum(map(len, (name, value))) > MAX_HEADER_BYTES:
            raise ValueError("too many headers, or a header that is too long")

    def on_headers_complete(self) -> None:
        """Stops the timer."""
        self._in_headers = False
        self._stop_timer()
        super().on_headers_complete()

    def _start_timer(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(HEADER_SECONDS, self.timeout_keep_alive_handler)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
