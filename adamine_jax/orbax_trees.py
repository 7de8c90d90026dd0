"""Trees of arrays on the disk, as Orbax writes them: a folder for each, read and written by one process alone."""

import logging
import os
import re
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
        OSError: the disk is full, say.
    """
    try:
        with _orbax() as orbax:
            for name, tree in trees.items():
                orbax.save((folder / name).absolute(), args=ocp.args.StandardSave(tree))
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if found := re.search("os_error_code='([0-9]+)'", str(error)):  # TensorStore's way to tell it
            number = int(found[1])
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(folder)) from error


def restore_trees(folder: Path, targets: dict[str, Any]) -> dict[str, Any]:
    """Reads `<folder>/<name>` for each name.

    Args:
        folder: that `save_trees` wrote.
        targets: name → tree of `jax.ShapeDtypeStruct` with shardings, which may span several processes.

    Returns:
        name → tree of arrays.

    Raises:
        ValueError, KeyError, OSError: the folder holds other trees, or cannot be read.
    """
    with _orbax() as orbax:
        return {
            name: orbax.restore((folder / name).absolute(), args=ocp.args.StandardRestore(target))
            for name, target in targets.items()
        }


def _orbax() -> ocp.Checkpointer:
    """Orbax for this process alone, which neither waits for the others nor shares the work with them."""
    process = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(primary_host=process, active_processes={process})
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)
