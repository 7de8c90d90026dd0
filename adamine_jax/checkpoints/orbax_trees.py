"""Trees of arrays on disk in Orbax's format, written by one process or by all, and read by each process alone."""

import errno
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from adamine_jax.distributed.broadcast import run_on_first

TREES = ("model", "training")
"""Names of the trees of a checkpoint."""
_OVERHEAD = 2**18
"""Upper bound of the bytes that Orbax's some thirty files take in addition to the arrays (64 KiB were measured)."""


def save_trees(folder: Path, trees: dict[str, Any], together: bool = False) -> None:
    """Writes trees of arrays to a new folder, each to `<folder>/<name>`.

    Args:
        folder: Folder to create.
        trees: Tree by name, for all names of `TREES`.
        together: Whether all processes call this at once with arrays that are sharded over them, and each writes its
            parts. Otherwise this process alone writes NumPy arrays.

    Raises:
        OSError: The disk is full, for example; raised before anything is written if the uncompressed arrays do not fit.
    """
    try:
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(trees)) + _OVERHEAD
        if together:
            run_on_first(lambda: _check_space(folder.parent, size))
        else:
            _check_space(folder.parent, size)
        with _checkpointer(together) as orbax:
            items = {name: ocp.args.StandardSave(tree) for name, tree in trees.items()}
            orbax.save(folder.absolute(), args=ocp.args.Composite(**items))
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if found := re.search("os_error_code='([0-9]+)'", str(error)):  # TensorStore reports system errors this way
            number = int(found[1])
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(folder)) from error


def restore_trees(folder: Path, targets: dict[str, Any], allow_extra: bool = False) -> dict[str, Any]:
    """Reads trees that `save_trees` wrote.

    Args:
        folder: Folder of the checkpoint.
        targets: By name, tree of `jax.ShapeDtypeStruct` with shardings, which may span several processes.
        allow_extra: Whether the stored trees may have branches at the second level, `<tree>/<branch>`, that the
            targets lack, such as the parameters of a loss. They are read with the sharding of the first leaf.

    Returns:
        Tree of arrays by name.

    Raises:
        ValueError, KeyError, OSError: The stored trees differ from the targets or cannot be read.
    """
    with _checkpointer() as orbax:
        targets, metadata = dict(targets), orbax.metadata(folder.absolute()).item_metadata
        for name, target in targets.items():  # Orbax's own error does not name the leaf
            stored_tree = metadata[name].tree
            if allow_extra:
                target = targets[name] = _with_extra(target, stored_tree)
            stored, expected = _shapes(stored_tree), _shapes(target)
            for leaf in sorted(stored.keys() | expected.keys()):
                if stored.get(leaf) != expected.get(leaf):
                    raise ValueError(
                        f"{leaf} is {stored.get(leaf, 'absent')} in the checkpoint and "
                        f"{expected.get(leaf, 'absent')} in the model"
                    )
        items = {name: ocp.args.StandardRestore(target) for name, target in targets.items()}
        return dict(orbax.restore(folder.absolute(), args=ocp.args.Composite(**items)).items())


def _checkpointer(together: bool = False) -> ocp.Checkpointer:
    """A checkpointer of `TREES`; alone, it neither waits for other processes nor shares the work with them."""
    process = jax.process_index()
    processes = ocp.options.MultiprocessingOptions()
    if not together:
        processes = ocp.options.MultiprocessingOptions(primary_host=process, active_processes={process})
    handlers: dict[str, Any] = {
        name: ocp.StandardCheckpointHandler(multiprocessing_options=processes) for name in TREES
    }
    options = ocp.CompositeOptions(multiprocessing_options=processes)
    return ocp.Checkpointer(
        ocp.CompositeCheckpointHandler(composite_options=options, **handlers), multiprocessing_options=processes
    )


def _check_space(folder: Path, size: int) -> None:
    """Raises OSError if the disk, the quota or the limit on file sizes does not allow for `size` bytes.

    Checked in advance because Orbax abandons its other writes when one fails, and their callbacks print tracebacks.
    """
    if hasattr(os, "posix_fallocate"):
        with tempfile.TemporaryFile(dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, size)
    elif shutil.disk_usage(folder).free < size:  # macOS
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _with_extra(target: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """Adds the stored branches of the second level that the target lacks."""
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
    """The shapes of a tree's leaves by name, as text."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): " × ".join(map(str, leaf.shape)) or "a scalar"
        for path, leaf in jax.tree.leaves_with_path(tree)
    }
