"""A real server on a free port, with a model that never was trained."""

import contextlib
import threading

import httpx
import pytest
import uvicorn

import adamine_jax
from adamine_jax import embed
from adamine_jax.serve import _bound
from adamine_jax.serving.app import create_app
from adamine_jax.serving.engine import Engine
from adamine_jax.serving.limits import Limits
from tests import small_collection


@pytest.fixture(scope="package")
def kitchen(tmp_path_factory):
    return small_collection.write(tmp_path_factory.mktemp("kitchen"))


@pytest.fixture(scope="package")
def model(kitchen):
    return adamine_jax.load(kitchen / "run", batch_sizes=(8,))


@pytest.fixture(scope="package")
def folder(kitchen):
    """A gallery of the train split: 24 recipes of two classes."""
    assert embed.main(["--workdir", str(kitchen / "run"), "--split", "train", "--out", str(kitchen / "gallery")]) == 0
    return kitchen / "gallery"


@pytest.fixture(scope="package")
def gallery(folder, model):
    return adamine_jax.open_gallery(folder, model.digest)


@contextlib.contextmanager
def serving(model, gallery, limits=None, origins=(), batch=8):
    """(base address, engine, uvicorn's server) while it runs; it stops as SIGTERM stops it."""
    engine = Engine(model, gallery, limits or Limits(), batch)
    server = uvicorn.Server(
        uvicorn.Config(create_app(engine, origins), log_level="error", access_log=False, timeout_graceful_shutdown=30)
    )
    started = threading.Event()

    async def startup(sockets=None, startup=server.startup):
        await startup(sockets)
        started.set()

    server.startup = startup
    with _bound("127.0.0.1", 0) as bound:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        assert started.wait(30)
        try:
            yield f"http://127.0.0.1:{bound.getsockname()[1]}", engine, server
        finally:
            server.should_exit = True
            thread.join(40)
            assert not thread.is_alive()


@pytest.fixture(scope="package")
def address(model, gallery):
    with serving(model, gallery) as (address, _, _):
        yield address


@pytest.fixture
def api(address):
    with httpx.Client(base_url=f"{address}/api/v1", timeout=60) as client:
        yield client
