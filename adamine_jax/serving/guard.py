"""Limits the hosts, size and duration of every request, and adds security headers to every response."""

import asyncio
import dataclasses
import json
import re
import time
from collections.abc import Callable, Collection

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PHOTO_PATH = "/api/v1/search/photo"
ITEMS_PATH = "/api/v1/items"
"""The paths that accept `Limits.photo_bytes`."""
RECIPE_PATH = "/api/v1/search/recipe"
"""The path that accepts `Limits.page_bytes`."""
POLICY = (
    "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_DRAINED = 8
"""Multiple of the size limit up to which an oversized body is drained, so that its sender reads the response."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """Limits of one server, which bound the memory and time that it spends.

    Attributes:
        photo_bytes: Maximum size of an upload. `recipes.decoding.MAX_PIXELS` limits the pixels of its photo.
        page_bytes: Maximum size of a recipe, which may be a pasted page.
        text_bytes: Maximum size of any other request.
        queue: Maximum number of running and waiting searches; further ones are refused.
        upload_bytes: Maximum size of all uploads in memory; further ones are refused.
        seconds: Maximum duration of a request.
    """

    photo_bytes: int = 16_000_000
    page_bytes: int = 4_000_000
    text_bytes: int = 200_000
    queue: int = 64
    upload_bytes: int = 256_000_000
    seconds: float = 30.0


class Guard:
    """ASGI middleware that limits the size and duration of requests.

    Args:
        app: Wrapped application.
        limits: Limits of its requests.
        hosts: Accepted names in the Host header, without a port; empty accepts all. Rejecting others stops pages of
            other sites that make a browser resolve their name to this server (DNS rebinding).

    Attributes:
        observe: Called with the method, the path of the route, the status and the seconds of each request.
        is_stopping: Returns whether to close connections, so that clients do not send further queries to a server that
            is shutting down.
    """

    def __init__(self, app: ASGIApp, limits: Limits, hosts: Collection[str] = ()):
        self._app, self._limits, self._hosts = app, limits, frozenset(hosts)
        self.is_stopping: Callable[[], bool] = lambda: False
        self.observe: Callable[[str, str, int, float], object] = lambda *_: None
        self._uploads = _Uploads(limits.upload_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), 499  # of a client that closed the connection

        async def send_counted(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._guarded(scope, receive, send_counted)
        finally:
            # Addresses without a route are not counted separately, because their number is unlimited.
            is_of_api = "route" in scope and scope["path"].startswith("/api/")
            path = scope["path"] if is_of_api else "other"
            self.observe(scope["method"], path, status, time.perf_counter() - start)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in (PHOTO_PATH, ITEMS_PATH):
            body = _Body(receive, self._limits.photo_bytes, self._uploads)
        elif scope["path"] == RECIPE_PATH:
            body = _Body(receive, self._limits.page_bytes, self._uploads)
        else:
            body = _Body(receive, self._limits.text_bytes)
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                await body.drain()
                started = True
                present = {name for name, _ in message["headers"]}
                closing = {"connection": "close"} if self.is_stopping() else {}
                more = [(name.encode(), value.encode()) for name, value in (HEADERS | closing).items()]
                message["headers"] = [*message["headers"], *(pair for pair in more if pair[0] not in present)]
            await send(message)

        if self._hosts and _host(scope) not in self._hosts:
            await _refuse(send_with_headers, 400, self._limits.seconds)
            return
        try:
            async with asyncio.timeout(self._limits.seconds):
                await self._app(scope, body.receive, send_with_headers)
        except ClientDisconnect:
            pass  # nobody reads a response
        except asyncio.CancelledError:  # the server stops
            if not started:
                body.complete = True
                await _refuse(send_with_headers, 503, self._limits.seconds)
        except TimeoutError:
            if started:
                raise
            status = 503 if body.complete or scope["method"] in ("GET", "HEAD") else 408
            body.complete = True  # nothing is left to drain
            await _refuse(send_with_headers, status, self._limits.seconds)
        finally:
            body.release()


@dataclasses.dataclass
class _Uploads:
    """Uploads in memory: their maximum and present size in bytes."""

    limit: int
    size: int = 0


class _Body:
    """Receives the body of a request up to a size limit, and up to the limit of all uploads if it is one of them."""

    def __init__(self, receive: Receive, limit: int, uploads: _Uploads | None = None):
        self._receive, self._limit, self._uploads = receive, limit, uploads
        self._received = self._held = 0
        self.complete = False

    async def receive(self) -> Message:
        """Returns the next message of the request."""
        message = await self._next()
        if self._received > self._limit:
            raise HTTPException(
                413, f"Requests are limited to {self._limit / 1e6:g} MB; send a smaller photo or a shorter text."
            )
        if self._uploads:
            self._hold(self._uploads, len(message.get("body", b"")))
        return message

    def release(self) -> None:
        """Stops counting the body as an upload in memory."""
        if self._uploads:
            self._uploads.size -= self._held

    def _hold(self, uploads: _Uploads, size: int) -> None:
        if uploads.size + size > uploads.limit:
            raise HTTPException(
                503, "The server is receiving many photos; try again in a second.", {"Retry-After": "1"}
            )
        uploads.size += size
        self._held += size

    async def drain(self) -> None:
        """Discards the rest of the body: many clients read a response only after sending everything."""
        while not self.complete and self._received <= _DRAINED * self._limit:
            await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        return message


def _host(scope: Scope) -> str:
    """Returns the Host header without its port."""
    host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1").lower()
    return re.sub(r":\d*$", "", host)


async def _refuse(send: Send, status: int, seconds: float) -> None:
    error = {
        400: "This server does not answer requests for this host name; --allowed-host adds names.",
        408: f"The request did not arrive within {seconds:g} seconds; try a smaller photo or a better connection.",
        503: f"The request was not completed within {seconds:g} seconds; try again in a moment.",
    }[status]
    content = json.dumps({"error": error}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(b"retry-after", b"5")] if status == 503 else [(b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
