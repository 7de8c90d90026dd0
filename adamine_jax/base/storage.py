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
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from adamine_jax.base import processes
from adamine_jax.base.errors import show_as
from adamine_jax.base.progress import Progress
from adamine_jax.base.stores import READS, StoreError, delete, is_url, objects, open_store, store_errors

COMPLETING = ("manifest.jsonl", "gallery.json")
"""Names of the files that make a folder complete."""
_NOT_COPIED = ".tfrecord-"
_TRANSFERS = 16
"""Number of objects that are copied at a time."""
_VERSION_FIELDS = ("ETag", "etag", "md5Hash", "LastModified", "updated", "created")

_copies: dict[str, Path] = {}
"""Local copy of each folder that contains something that was asked for, by URL."""
_seen: set[str] = set()
"""URLs that were asked for."""
_remote: dict[Path, dict[str, Any]] = {}
"""Description of each object that is not copied, by the path that its copy would have."""


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
    with store_errors(url, "read"):
        files, key = open_store(url)
        missing = []
        for name, info in objects(files, key, depth).items():
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
    with store_errors(url, "written"):
        files, key = open_store(url)
        if not path.is_dir():
            files.put_file(str(path), key)
            return
        names = [found.relative_to(path).as_posix() for found in sorted(path.rglob("*")) if found.is_file()]
        old = objects(files, key)
        delete(files, [info["name"] for name, info in old.items() if name in COMPLETING])
        contents = [(str(path / name), f"{key}/{name}") for name in names if name not in COMPLETING]
        _transfer(f"uploading {url}", files.put_file, contents)
        for name in set(names) & set(COMPLETING):
            files.put_file(str(path / name), f"{key}/{name}")
        delete(files, [info["name"] for name, info in old.items() if name not in names])


def withdraw(path: Path) -> None:
    """Deletes a file or a folder in the store; see `fetch`.

    Raises:
        StoreError: The store cannot be written.
    """
    if (url := _url(path)) is None:
        return
    with store_errors(url, "written"):
        files, key = open_store(url)
        found = objects(files, key)
        delete(files, [info["name"] for name, info in found.items() if name in COMPLETING])
        delete(files, [info["name"] for name, info in found.items() if name not in COMPLETING])


def withdraw_incomplete(folder: Path) -> None:
    """Deletes numbered subfolders in the store that lack the file that completes them, and reports them; see `fetch`.

    Raises:
        StoreError: The store cannot be read or written.
    """
    if (url := _url(folder)) is None:
        return
    with store_errors(url, "read"):
        names = objects(*open_store(url))
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
        with store_errors(_url(path), "read"):
            files, key = open_store(_url(path))
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
            self._files, self._key = open_store(self._url)
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
        with store_errors(self._url, "read"):
            return self._files.cat_file(self._key, start=offset, end=offset + length)

    def start_reading(self, offset: int, length: int) -> Future[bytes]:
        """Starts to `read`: in the event loop of the store's library, or in a thread if it has none."""
        if not self.is_remote or not self._files.async_impl:
            return _pool().submit(self.read, offset, length)

        async def read() -> bytes:
            with store_errors(self._url, "read"):
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


def _transfer(title: str, function: Callable[..., Any], arguments: list[tuple[Any, ...]]) -> None:
    """Calls a function with each tuple of arguments, in threads, and shows the progress."""
    if not arguments:
        return
    with Progress(title, len(arguments), "file") as progress, ThreadPoolExecutor(_TRANSFERS) as pool:
        for _ in pool.map(lambda each: function(*each), arguments):
            progress.update()


@functools.cache
def _root() -> Path:
    root = Path(tempfile.mkdtemp(prefix="adamine-"))
    processes.at_exit(functools.partial(shutil.rmtree, root, ignore_errors=True))
    return root


@functools.cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(READS, thread_name_prefix="ranges")
