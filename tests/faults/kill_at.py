"""Runs a program that kills itself, as `kill -9` would, at a named point of its work.

python -m tests.faults.kill_at POINT CALL WHEN MODULE [flags of MODULE ...]

  POINT    module:name of a function or method, as adamine_jax.checkpoints.manager:Checkpoints.save or os:rename; or
           changes:FOLDER, whatever Python changes below a folder: files opened to be written, renamed, removed
  CALL     number of the call or change, from 1
  WHEN     before, during (as soon as something below MODULE's --workdir=DIR has changed) or after; a change: before
  MODULE   that `python -m` would run

It ends as MODULE does when the point is not reached. The environment variable KILL_AT_SIGNAL names another signal than
SIGKILL, after which the program may go on.
"""

import functools
import importlib
import itertools
import os
import runpy
import signal
import sys
import threading
from pathlib import Path

CHANGES = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "shutil.rmtree"}


def kill() -> None:
    """Ends the process at once; nothing is flushed, closed or caught. Unless another signal is to be sent."""
    os.kill(os.getpid(), signal.Signals[os.environ.get("KILL_AT_SIGNAL", "SIGKILL")])


def kill_at_call(point: str, call: int, when: str, watched: Path) -> None:
    """Replaces a function by one that kills the process at one of its calls.

    Args:
        point: module:name.
        call: from 1.
        when: 'before', 'during' or 'after'.
        watched: folder whose change shows that the call is at work.
    """
    module, _, name = point.partition(":")
    *owners, attribute = name.split(".")
    owner = functools.reduce(getattr, owners, importlib.import_module(module))
    function = getattr(owner, attribute)
    calls = itertools.count(1)

    @functools.wraps(function)
    def killing(*args, **kwargs):
        this = next(calls)
        if this == call and when == "before":
            kill()
        if this == call and when == "during":
            kill_in_the_middle(watched, 1)
        result = function(*args, **kwargs)
        if this == call and when != "before":  # a second Ctrl-C would mean something else than one
            kill()
        return result

    setattr(owner, attribute, killing)


def kill_in_the_middle(folder: Path, changes: int) -> None:
    """Kills the process as soon as what is in a folder is seen to have changed so many times."""
    seen = state(folder)

    def watch() -> None:
        nonlocal seen
        for _ in range(changes):
            while (now := state(folder)) == seen:
                pass
            seen = now
        kill()

    threading.Thread(target=watch, daemon=True).start()


def state(folder: Path) -> list[tuple[str, int]]:
    """Names and lengths of all files and folders below a folder."""
    found = []
    for parent, folders, files in os.walk(folder):
        found += [(f"{parent}/{name}", -1) for name in folders]
        for name in files:
            try:
                found.append((f"{parent}/{name}", os.stat(f"{parent}/{name}").st_size))
            except FileNotFoundError:
                continue
    return found


def kill_at_change(folder: Path, call: int) -> None:
    """Kills the process before it changes something below a folder for the `call`th time."""
    below = f"{folder.resolve()}/"
    calls = itertools.count(1)

    def hook(event, arguments):
        if event not in CHANGES or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if event in ("os.remove", "os.rmdir") and arguments[1] >= 0:  # within an open folder, as in shutil.rmtree
            path = os.path.join(os.readlink(f"/proc/self/fd/{arguments[1]}"), os.fsdecode(arguments[0]))
        if f"{path}/".startswith(below) and next(calls) == call:
            kill()

    sys.addaudithook(hook)


def main() -> None:
    point, call, when, module, *flags = sys.argv[1:]
    workdir = next((Path(flag.partition("=")[2]) for flag in flags if flag.startswith("--workdir=")), Path())
    if point.startswith("changes:"):
        kill_at_change(Path(point.partition(":")[2]), int(call))
    else:
        kill_at_call(point, int(call), when, workdir)
    sys.argv = [module, *flags]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
