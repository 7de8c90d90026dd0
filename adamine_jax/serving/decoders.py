"""Decodes photos in other processes, which end if a photo takes too long.

A thread cannot be stopped, and the limits of `recipes.photo_structure` may not cover everything that slows a decoder
down. Large photos have a process of their own, so that others do not wait for them.
"""

import asyncio
import contextlib
import itertools
import os
import queue
import resource
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection, Pipe

from adamine_jax.base.cores import available_cores
from adamine_jax.recipes.decoding import is_large
from adamine_jax.recipes.photos import UnusablePhoto, stored

SECONDS, LARGE_SECONDS = 3.0, 10.0
"""Maximum time to decode a photo, and a large one."""
MAX_PROCESSES = 4
"""Maximum number of processes for photos that are not large."""
_MEMORY = 3 << 30
"""Maximum memory of a process in bytes; the largest photos take a third of it."""
_DONE, _LARGE, _UNUSABLE = b"0", b"1", b"2"


class Decoders:
    """Converts photos in other processes, as `photos.stored` does in this one."""

    def __init__(self):
        self._small = _Lane(min(available_cores(), MAX_PROCESSES), SECONDS, is_for_large=False)
        self._large = _Lane(1, LARGE_SECONDS, is_for_large=True)

    async def stored(self, photo: bytes, side: int) -> bytes:
        """Converts the content of a photo file.

        Args:
            photo: Content of the file.
            side: Maximum length of the shorter side in pixels.

        Returns:
            JPEG file.

        Raises:
            UnusablePhoto: See `photos.stored`; or decoding took too long.
        """
        return await self._small.stored(photo, side) or await self._large.stored(photo, side) or b""

    def seconds_waiting(self) -> float:
        """Returns for how long the oldest photo that is not large has been waiting or decoded."""
        return self._small.seconds_waiting()

    def close(self) -> None:
        """Ends the processes; photos that are being decoded become unusable."""
        self._small.close()
        self._large.close()


class _Lane:
    """Processes that share a queue of photos."""

    def __init__(self, count: int, seconds: float, is_for_large: bool):
        self._processes = [_Process(seconds, is_for_large) for _ in range(count)]
        self._idle: queue.SimpleQueue[_Process] = queue.SimpleQueue()
        for process in self._processes:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(count, "photos")  # one per process, to wait for it
        self._numbers, self._since = itertools.count(), dict[int, float]()

    async def stored(self, photo: bytes, side: int) -> bytes | None:
        number = next(self._numbers)
        self._since[number] = time.monotonic()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._stored, photo, side)
        finally:
            del self._since[number]

    def _stored(self, photo: bytes, side: int) -> bytes | None:
        process = self._idle.get()
        try:
            return process.stored(photo, side)
        finally:
            self._idle.put(process)

    def seconds_waiting(self) -> float:
        return time.monotonic() - next(iter(self._since.values()), time.monotonic())

    def close(self) -> None:
        for process in self._processes:
            process.close()
        self._threads.shutdown(wait=False, cancel_futures=True)


class _Process:
    """A process that decodes one photo at a time; it is started again when it has ended."""

    def __init__(self, seconds: float, is_for_large: bool):
        self._seconds, self._is_for_large = seconds, is_for_large
        self._is_closed = False
        self._start()

    def stored(self, photo: bytes, side: int) -> bytes | None:
        """Returns the converted photo, or None if it is large and this process is for others."""
        if self._process.poll() is not None:  # ended by the system while it was idle
            self._restart()
        try:
            self._connection.send_bytes(side.to_bytes(4, "big") + photo)
            reply = self._connection.recv_bytes()
        except (EOFError, OSError):
            is_late = self._process.wait() == -signal.SIGALRM
            self._restart()
            reason = f"it cannot be decoded within {self._seconds:g} seconds" if is_late else "its decoder failed"
            raise UnusablePhoto("photo", reason) from None
        kind, content = reply[:1], reply[1:]
        if kind == _UNUSABLE:
            reason, remedy = content.decode().split("\n")
            raise UnusablePhoto("photo", reason, remedy)
        return content if kind == _DONE else None

    def close(self) -> None:
        self._is_closed = True
        self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        self._connection, theirs = Pipe()
        settings = [str(theirs.fileno()), str(self._seconds), str(int(self._is_for_large))]
        quiet = subprocess.DEVNULL  # decoders print a line for each damaged row of a photo
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *settings],
            pass_fds=[theirs.fileno()],
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
            env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        )
        theirs.close()

    def _restart(self) -> None:
        if not self._is_closed:
            self._process.kill()
            self._process.wait()
            self._connection.close()
            self._start()


def _run(connection: Connection, seconds: float, is_for_large: bool) -> None:
    """Converts photos until the other end of the connection is closed.

    The kernel ends the process if a photo takes too long, because nothing handles the alarm.
    """
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the server answers accepted queries before it ends
        signal.signal(ignored, signal.SIG_IGN)
    with contextlib.suppress(ValueError, OSError):  # some systems have no such limit
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    if is_for_large:
        os.nice(10)
    with contextlib.suppress(EOFError, OSError):
        while True:
            task = connection.recv_bytes()
            signal.setitimer(signal.ITIMER_REAL, seconds)
            reply = _reply(task[4:], int.from_bytes(task[:4], "big"), is_for_large)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.send_bytes(reply)


def _reply(photo: bytes, side: int, is_for_large: bool) -> bytes:
    try:
        return _LARGE if not is_for_large and is_large(photo) else _DONE + stored(photo, side)
    except UnusablePhoto as error:
        return _UNUSABLE + f"{error.reason}\n{error.remedy}".encode()
    except MemoryError:
        return _UNUSABLE + b"decoding takes too much memory\nmake it smaller"


if __name__ == "__main__":
    _run(Connection(int(sys.argv[1])), float(sys.argv[2]), sys.argv[3] == "1")
