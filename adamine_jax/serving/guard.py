"""Around the whole server: how much a request may send, how long it may take, and what browsers are told."""

import asyncio
import json
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from adamine_jax.serving.limits import Limits

PHOTO_PATH = "/api/v1/search/photo"
"""Where more may be sent than elsewhere."""
POLICY = "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_READ_AWAY = 8
"""Times the limit that is read of a body that is too large, so that its sender comes to read the answer."""


class Guard:
    """ASGI application that bounds what another one receives and how long it takes.

    Args:
        app: the other one.
        limits: for it.

    Attributes:
        is_stopping: whether connections should be closed, so that clients do not send another query to a server that
            goes.
    """

    def __init__(self, app: ASGIApp, limits: Limits):
        self._app, self._limits = app, limits
        self.is_stopping: Callable[[], bool] = lambda: False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, self._limits.photo_bytes if scope["path"] == PHOTO_PATH else self._limits.text_bytes)
        started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                await body.read_away()
                started = True
                there = {name for name, _ in message["headers"]}
                closing = {"connection": "close"} if self.is_stopping() else {}
                more = [(name.encode(), value.encode()) for name, value in (HEADERS | closing).items()]
                message["headers"] = [*message["headers"], *(pair for pair in more if pair[0] not in there)]
            await send(message)

        try:
            async with asyncio.timeout(self._limits.seconds):
                await self._app(scope, body.receive, send_with_headers)
        except TimeoutError:
            if started:
                raise
            late = not body.complete
            body.complete = True  # nothing more of it is waited for
            await _refuse(send_with_headers, 408 if late else 503, self._limits.seconds)


class _Body:
    """The body of a request, as far as it is within the limit."""

    def __init__(self, receive: Receive, limit: int):
        self._receive, self._limit = receive, limit
        self._received = 0
        self.complete = False

    async def receive(self) -> Message:
        """The next message of the request."""
        message = await self._receive()
        self._received += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        if self._received > self._limit:
            raise HTTPException(
                413, f"More than {self._limit / 1e6:g} MB are too large; send a smaller photo or a shorter text."
            )
        return message

    async def read_away(self) -> None:
        """Drops what was not read: many senders look for an answer only when they have sent everything."""
        while not self.complete and self._received <= _READ_AWAY * self._limit:
            message = await self._receive()
            self._received += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)


async def _refuse(send: Send, status: int, seconds: float) -> None:
    said = {
        408: f"The request did not arrive within {seconds:g} seconds; try a smaller photo or a better connection.",
        503: f"There was no answer within {seconds:g} seconds; try again in a moment.",
    }[status]
    content = json.dumps({"error": said}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    headers += [(b"retry-after", b"5")] if status == 503 else [(b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
