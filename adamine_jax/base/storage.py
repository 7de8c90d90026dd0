"""Object stores, such as gs://bucket/folder: commands work on local copies, which this module keeps up to date.

Renames, locks and memory maps do not exist in an object store. Therefore a URL becomes a local folder or file
(`local`), whose content is downloaded when it is needed (`fetch`), and what is written there completely is uploaded
(`publish`). Shards of TFRecords are not copied but read in byte ranges (`Ranges`).

An object appears whole or not at all, but the objects of a folder appear one by one. The one that makes a folder
complete, the manifest of a checkpoint or `gallery.json`, is uploaded last and deleted first.
"""

import asyncio
import fnmatch
import functools
import logging
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from adamine_jax.base import processes
from adamine_jax.base.errors import NO_ROOM, UserError, show_as
from adamine_jax.base.progress import Progress

COMPLETING = ("manifest.jsonl", "gallery.json")
"""Names of the files that make a folder complete."""
_NOT_COPIED = ".tfrecord-"
_READS, _TRANSFERS = 256, 16
"""Numbers of concurrent requests: for ranges, which are short and wait for the store, and for whole objects."""
_VERSION_FIELDS = ("ETag", "etag", "md5Hash", "LastModified", "updated", "created")

_copies: dict[str, Path] = {}
"""Local copy of each folder that contains something that was asked for, by URL."""
_seen: set[str] = set()
"""URLs that were asked for."""
_remote: dict[Path, dict[str, Any]] = {}
"""Description of each object that is not copied, by the path that its copy would have."""


class StoreError(UserError):
    """An object store cannot be read or written."""


def is_url(location: str | Path) -> bool:
    """Returns whether a location is in an object store."""
    return "://" in str(location)


def local(location: str | Path) -> Path:
    """Returns a local path; for a URL, the path of its copy.

    The first call downloads the file, or the folder's files but not its subfolders; see `fetch`. Copies are deleted
    when the program ends.

    Raises:
        StoreError: The store cannot be read, or the last part of the URL begins with a dot.
    """
    if not is_url(location):
        return Path(location)
    url = str(location).rstrip("/")
    folder, name = url.rsplit("/", 1)
    if name.startswith("."):
        raise StoreError(f"{url}: hidden names mark unfinished files here; choose another name")
    if folder not in _copies:
        _copies[folder] = Path(tempfile.mkdtemp(dir=_root()))
        show_as(_copies[folder], folder)
    if url not in _seen:
        fetch(_copies[folder] / name, depth=1)
        _seen.add(url)
    return _copies[folder] / name


def is_copy(path: Path) -> bool:
    """Returns whether a path is in a copy."""
    return _url(path) is not None


def fetch(path: Path, *patterns: str, depth: int | None = None) -> None:
    """Downloads a file, or the files of a folder that are missing in its copy; does nothing outside of copies.

    Args:
        path: A path within a copy.
        patterns: Patterns of the names of the files to download, relative to the folder; none = all files.
        depth: Number of levels of folders; None = all.

    Raises:
        StoreError: The store cannot be read.
    """
    if path.is_file() or (url := _url(path)) is None:
        return
    with _errors(url, "read"):
        files, key = _open(url)
        missing = []
        for name, info in _objects(files, key, depth).items():
            target = path / name if name else path
            if _NOT_COPIED in target.name:
                _remote[target] = info
            elif not target.exists() and any(fnmatch.fnmatch(name, pattern) for pattern in patterns or ("*",)):
                missing.append((info["name"], target))

        def download(key: str, target: Path) -> None:
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{secrets.token_hex(4)}")
            files.get_file(key, str(temporary))
            temporary.replace(target)

        _transfer(f"downloading {url}", download, missing)


def refetch(path: Path) -> None:
    """Downloads a file again that process 0 may have changed, in the other processes."""
    if is_copy(path) and not processes.is_first():
        path.unlink(missing_ok=True)
        fetch(path)


def publish(path: Path) -> None:
    """Uploads a file or a folder that is complete and deletes what the folder no longer has; see `fetch`.

    Raises:
        StoreError: The store cannot be written.
    """
    if (url := _url(path)) is None:
        return
    with _errors(url, "written"):
        files, key = _open(url)
        if not path.is_dir():
            files.put_file(str(path), key)
            return
        names = [found.relative_to(path).as_posix() for found in sorted(path.rglob("*")) if found.is_file()]
        old = _objects(files, key)
        _delete(files, [info["name"] for name, info in old.items() if name in COMPLETING])
        contents = [(str(path / name), f"{key}/{name}") for name in names if name not in COMPLETING]
        _transfer(f"uploading {url}", files.put_file, contents)
        for name in set(names) & set(COMPLETING):
            files.put_file(str(path / name), f"{key}/{name}")
        _delete(files, [info["name"] for name, info in old.items() if name not in names])


def withdraw(path: Path) -> None:
    """Deletes a file or a folder in the store; see `fetch`.

    Raises:
        StoreError: The store cannot be written.
    """
    if (url := _url(path)) is None:
        return
    with _errors(url, "written"):
        files, key = _open(url)
        objects = _objects(files, key)
        _delete(files, [info["name"] for name, info in objects.items() if name in COMPLETING])
        _delete(files, [info["name"] for name, info in objects.items() if name not in COMPLETING])


def withdraw_incomplete(folder: Path) -> None:
    """Deletes numbered subfolders in the store that lack the file that completes them, and reports them; see `fetch`.

    Raises:
        StoreError: The store cannot be read or written.
    """
    if (url := _url(folder)) is None:
        return
    with _errors(url, "read"):
        names = _objects(*_open(url))
    complete = {name.split("/")[0] for name in names if name.rsplit("/", 1)[-1] in COMPLETING}
    for name in sorted({name.split("/")[0] for name in names if "/" in name} - complete):
        if name.isdigit():
            print(f"{url}/{name}: incomplete, because its upload was interrupted; deleted", file=sys.stderr, flush=True)
            withdraw(folder / name)


def glob(folder: Path, pattern: str) -> list[Path]:
    """Returns the sorted files of a folder that match a pattern, including those that are not copied."""
    copied = [path for path in folder.glob(pattern) if path.is_file()]
    return sorted({*copied, *(path for path in _remote if path.parent == folder and path.match(pattern))})


def version(path: Path) -> tuple[int, str]:
    """Returns the size of a file in bytes, and its time of modification or another mark of its content."""
    if (info := _remote.get(path)) is None:
        return path.stat().st_size, str(path.stat().st_mtime_ns)
    mark = next((str(info[field]) for field in _VERSION_FIELDS if field in info), "")
    return info["size"], "_".join(mark.split())


@contextmanager
def open_binary(path: Path) -> Generator[BinaryIO]:
    """Opens a file for sequential reading; one that is not copied is, until it is closed."""
    if path not in _remote:
        with path.open("rb") as file:
            yield file
        return
    with tempfile.NamedTemporaryFile(dir=_root()) as copy:
        with _errors(_url(path), "read"):
            files, key = _open(_url(path))
            files.get_file(key, copy.name)
        with open(copy.name, "rb") as file:
            yield file


class Ranges:
    """Reads byte ranges of a file, whether it is copied or not. Thread-safe.

    Attributes:
        is_remote: Whether each range is a request to the store.
    """

    def __init__(self, path: Path):
        self.is_remote = path in _remote
        if self.is_remote:
            self._url = _url(path)
            self._files, self._key = _open(self._url)
        else:
            self._file = os.open(path, os.O_RDONLY)

    def read(self, offset: int, length: int) -> bytes:
        """Returns up to `length` bytes, fewer at the end of the file.

        Raises:
            OSError: The file cannot be read.
            StoreError: The store cannot be read.
        """
        if not self.is_remote:
            return os.pread(self._file, length, offset)
        with _errors(self._url, "read"):
            return self._files.cat_file(self._key, start=offset, end=offset + length)

    def start_reading(self, offset: int, length: int) -> Future[bytes]:
        """Starts to `read`: in the event loop of the store's library, or in a thread if it has none."""
        if not self.is_remote or not self._files.async_impl:
            return _pool().submit(self.read, offset, length)

        async def read() -> bytes:
            with _errors(self._url, "read"):
                return await self._files._cat_file(self._key, start=offset, end=offset + length)

        # A thread for each request would wait for this loop and only compete for the interpreter.
        return asyncio.run_coroutine_threadsafe(read(), self._files.loop)

    def close(self) -> None:
        """Closes the file."""
        if not self.is_remote:
            os.close(self._file)


def _url(path: Path) -> str | None:
    """Returns the URL of a path; None outside of all copies, and in hidden folders, whose files are unfinished."""
    for url, copy in _copies.items():
        if path.is_relative_to(copy):
            name = path.relative_to(copy)
            return None if any(part.startswith(".") for part in name.parent.parts) else f"{url}/{name.as_posix()}"
    return None


def _open(url: str | None) -> tuple[Any, str]:
    """Returns the fsspec file system of a URL, and the name there."""
    from fsspec.core import url_to_fs  # an extra

    logging.getLogger("gcsfs").setLevel(logging.CRITICAL)  # it logs the traceback of an error that it raises
    # S3's library opens 10 connections otherwise.
    options = {"config_kwargs": {"max_pool_connections": _READS}} if str(url).startswith("s3:") else {}
    return url_to_fs(url, use_listings_cache=False, **options)


def _objects(files: Any, key: str, depth: int | None = None) -> dict[str, dict[str, Any]]:
    """Returns the descriptions of the objects of a folder by relative name, or of one object by ''."""
    found = files.find(key, maxdepth=depth, detail=True)
    return {name[len(key) :].strip("/"): info for name, info in found.items() if info["type"] == "file"}


def _transfer(title: str, function: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> None:
    """Calls a function with each tuple of arguments, in threads, and shows the progress."""
    if not arguments:
        return
    with Progress(title, len(arguments), "file") as progress, ThreadPoolExecutor(_TRANSFERS) as pool:
        for _ in pool.map(lambda each: function(*each), arguments):
            progress.update()


def _delete(files: Any, keys: Iterable[str]) -> None:
    if keys := list(keys):
        files.rm(keys)


@contextmanager
def _errors(url: str | None, what: str) -> Generator[None]:
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


@functools.cache
def _root() -> Path:
    root = Path(tempfile.mkdtemp(prefix="adamine-"))
    processes.at_exit(functools.partial(shutil.rmtree, root, ignore_errors=True))
    return root


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_READS, thread_name_prefix="ranges")
