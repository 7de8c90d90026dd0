"""Trees of arrays on the disk, as Orbax writes them: a folder for each, read and written by one process alone."""

import errno
import functools
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

logging.getLogger("absl").setLevel(logging.CRITICAL)  # Orbax reports every file it touches, and what it raises as well


def save_trees(folder: Path, trees: dict[str, Any]) -> None:
    """Writes `<folder>/<name>` for each name; the folder is made.

    Args:
        folder: to write to.
        trees: name → tree of NumPy's arrays.

    Raises:
        OSError: the disk is full, say; or has less room than the arrays take without compression.
    """
    needed = sum(leaf.nbytes for leaf in jax.tree.leaves(trees))
    if shutil.disk_usage(folder.parent).free < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    hook = sys.unraisablehook
    sys.unraisablehook = functools.partial(_unless_abandoned, hook)
    try:
        options = ocp.CompositeOptions(multiprocessing_options=_alone())
        handlers: dict[str, Any] = {}
        for name in trees:
            handlers[name] = ocp.StandardCheckpointHandler(multiprocessing_options=_alone())
        handler = ocp.CompositeCheckpointHandler(composite_options=options, **handlers)
        with ocp.Checkpointer(handler, multiprocessing_options=_alone()) as orbax:  # both trees at a time
            items = {name: ocp.args.StandardSave(tree) for name, tree in trees.items()}
            orbax.save(folder.absolute(), args=ocp.args.Composite(**items))
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if found := re.search("os_error_code='([0-9]+)'", str(error)):  # TensorStore's way to tell it
            number = int(found[1])
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(folder)) from error
    sys.unraisablehook = hook  # but not after an error: other writes go on for a while


def restore_trees(folder: Path, targets: dict[str, Any], others: bool = False) -> dict[str, Any]:
    """Reads `<folder>/<name>` for each name.

    Args:
        folder: that `save_trees` wrote.
        targets: name → tree of `jax.ShapeDtypeStruct` with shardings, which may span several processes.
        others: whether the folder may hold branches at the second level, `<tree>/<branch>`, that the targets lack
            altogether; they are read as well, with the sharding of the first leaf. (The parameters of a loss.)

    Returns:
        name → tree of arrays.

    Raises:
        ValueError, KeyError, OSError: the folder holds other trees, or cannot be read.
    """
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=_alone())
    with ocp.Checkpointer(handler, multiprocessing_options=_alone()) as orbax:
        targets = dict(targets)
        for name, target in targets.items():  # before anything is read: what Orbax then leaves behind is not pretty
            tree = orbax.metadata((folder / name).absolute()).item_metadata.tree
            if others:
                target = targets[name] = _with_others(target, tree)
            stored = _shapes(tree)
            wanted = _shapes(target)
            for leaf in sorted(stored.keys() | wanted.keys()):
                if stored.get(leaf) != wanted.get(leaf):
                    there, here = stored.get(leaf, "absent"), wanted.get(leaf, "absent")
                    raise ValueError(f"{leaf} is {there} there and {here} here")
        return {
            name: orbax.restore((folder / name).absolute(), args=ocp.args.StandardRestore(target))
            for name, target in targets.items()
        }


def _with_others(target: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """The target with the branches of the second level that are stored and that it lacks."""
    sharding = jax.tree.leaves(target)[0].sharding

    def like(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

    return {
        name: {**tree, **jax.tree.map(like, {key: stored[name][key] for key in stored[name] if key not in tree})}
        if name in stored and isinstance(tree, dict) and isinstance(stored[name], dict)
        else tree
        for name, tree in target.items()
    }


def _shapes(tree: Any) -> dict[str, str]:
    """The shapes of a tree's leaves by their names."""
    leaves = jax.tree.leaves_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): " × ".join(map(str, leaf.shape)) or "a number"
        for path, leaf in leaves
    }


def _alone() -> ocp.options.MultiprocessingOptions:
    """This process neither waits for others nor shares the work with them."""
    process = jax.process_index()
    return ocp.options.MultiprocessingOptions(primary_host=process, active_processes={process})


def _unless_abandoned(hook: Callable[..., None], unraisable) -> None:
    """Passes on an exception that nobody can catch, but not one of writes that were abandoned when another failed."""
    if str(unraisable.exc_value) != "Event loop is closed":
        hook(unraisable)
