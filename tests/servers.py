"""Runs a real server on a free port in a thread."""

import contextlib
import threading
from collections.abc import Iterator, Sequence

import uvicorn

from adamine_jax.gallery.store import Store
from adamine_jax.queries.encoder import Encoder
from adamine_jax.serve import bound_socket
from adamine_jax.serving.app import create_app
from adamine_jax.serving.connections import Connection
from adamine_jax.serving.engine import Engine
from adamine_jax.serving.guard import Limits


@contextlib.contextmanager
def serving(
    model: Encoder,
    gallery: Store,
    limits: Limits | None = None,
    origins: Sequence[str] = (),
    batch: int = 8,
    hosts: Sequence[str] = (),
    token: str = "",
) -> Iterator[tuple[str, Engine, uvicorn.Server]]:
    """Yields (base address, engine, uvicorn's server) of a running server, and stops it as SIGTERM does."""
    engine = Engine(model, gallery, limits or Limits(), batch)
    app = create_app(engine, origins, hosts, token)
    server = uvicorn.Server(
        uvicorn.Config(app, http=Connection, log_level="error", access_log=False, timeout_graceful_shutdown=30)
    )
    app.is_stopping = lambda: server.should_exit
    started = threading.Event()

    async def startup(sockets=None, startup=server.startup):
        await startup(sockets)
        started.set()

    server.startup = startup
    with bound_socket("127.0.0.1", 0) as bound:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        assert started.wait(30)
        try:
            with gallery.accepting_changes() if token else contextlib.nullcontext():
                yield f"http://127.0.0.1:{bound.getsockname()[1]}", engine, server
        finally:
            server.should_exit = True
            thread.join(40)
            engine.close()
            assert not thread.is_alive()
