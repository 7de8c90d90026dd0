"""Runs a program that kills itself, like `kill -9`, at a given point.

python -m tests.faults.kill_at POINT CALL WHEN MODULE [flags of MODULE ...]

  POINT    module:name of a function or method, such as adamine_jax.checkpoints.manager:Checkpoints.save or os:rename;
           or changes:FOLDER for all changes in a folder: files opened for writing, renamed, deleted
  CALL     index of the call or change, from 1
  WHEN     before, during (as soon as something in MODULE's --workdir=DIR changes) or after; always before for changes
  MODULE   module to run, as with `python -m`

If the point is not reached, MODULE runs to its end. The environment variable KILL_AT_SIGNAL replaces SIGKILL by another
signal, which the program may handle.
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
    """Sends SIGKILL, or the signal of KILL_AT_SIGNAL, to this process."""
    os.kill(os.getpid(), signal.Signals[os.environ.get("KILL_AT_SIGNAL", "SIGKILL")])


def kill_at_call(point: str, call: int, when: str, watched: Path) -> None:
    """Patches a function so that one of its calls kills the process.

    Args:
        point: Function, as module:name.
        call: Index of the call, from 1.
        when: 'before', 'during' or 'after'.
        watched: Folder; 'during' kills at its first change within the call.
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
        if this == call and when != "before":  # unless killed before: a second Ctrl-C has another meaning
            kill()
        return result

    setattr(owner, attribute, killing)


def kill_in_the_middle(folder: Path, changes: int) -> None:
    """Kills the process once polling has seen a folder change `changes` times."""
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
    """Returns the names and lengths of all files and folders in a folder, recursively."""
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
    """Kills the process before its `call`th change in a folder."""
    below = f"{folder.resolve()}/"
    calls = itertools.count(1)

    def hook(event, arguments):
        if event not in CHANGES or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR):
            return
        path = os.path.abspath(os.fsdecode(arguments[0]))
        if event in ("os.remove", "os.rmdir") and arguments[1] >= 0:  # relative to an open folder, as in shutil.rmtree
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
