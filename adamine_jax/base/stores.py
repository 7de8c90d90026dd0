"""Objects of a store, such as gs://bucket/folder, through fsspec; see `storage`."""

import logging
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from adamine_jax.base.errors import NO_ROOM, UserError

READS = 256
"""Number of concurrent requests for ranges, which are short and wait for the store."""


class StoreError(UserError):
    """An object store cannot be read or written."""


def is_url(location: str | Path) -> bool:
    """Returns whether a location is in an object store."""
    return "://" in str(location)


def open_store(url: str | None) -> tuple[Any, str]:
    """Returns the fsspec file system of a URL, and the name there."""
    from fsspec.core import url_to_fs  # an extra

    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs the traceback of an error that it raises
    # S3's library opens 10 connections otherwise.
    options = {"config_kwargs": {"max_pool_connections": READS}} if str(url).startswith("s3:") else {}
    return url_to_fs(url, use_listings_cache=False, **options)


def objects(files: Any, key: str, depth: int | None = None) -> dict[str, dict[str, Any]]:
    """Returns the descriptions of the objects of a folder by relative name, or of one object by ''."""
    found = files.find(key, maxdepth=depth, detail=True)
    return {name[len(key) :].strip("/"): info for name, info in found.items() if info["type"] == "file"}


def delete(files: Any, keys: Iterable[str]) -> None:
    """Deletes objects."""
    if keys := list(keys):
        files.rm(keys)


@contextmanager
def store_errors(url: str | None, what: str) -> Generator[None]:
    """Makes the errors of a store's library, which may be of any kind, a `StoreError`."""
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        raise StoreError(f"{url}: this needs a package ({error}): pip install 'adamine-jax[cloud]'") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            raise
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise StoreError(f"{url}: cannot be {what} ({reason}); check the address and your credentials") from error
