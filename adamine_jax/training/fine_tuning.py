"""Starts a run from another run's weights: words and classes are matched by name, everything else by place."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.input.dataset import Dataset
from adamine_jax.models.adamine import FIRST_WORD_ROW, TOWERS, AdaMine
from adamine_jax.runs import workdir

Tree = dict[str, Any]


def init_from(directory: Path, model: AdaMine, variables: Tree, dataset: Dataset) -> Tree:
    """Puts the weights of a workdir's best checkpoint into a new model.

    A word that both vocabularies have takes its trained vector along, and a class its column of the classifier; words
    and classes of the new data set alone keep the values they have. One line says how many.

    Args:
        directory: the other run's workdir.
        model: the new model.
        variables: its {'params', 'batch_stats'}, those of the loss among them.
        dataset: that the new model will be trained on.

    Returns:
        Variables of the same shapes.

    Raises:
        UserError: the folder is not a workdir, or its model has other layers than the new one.
    """
    trained = workdir.load(directory)
    tables = model.recipe_tower.word_tables
    old, new = jax.device_get(trained.variables), variables
    params = dict(new["params"])
    tower, old_tower = dict(params["recipe_tower"]), old["params"]["recipe_tower"]
    at_old, at_new = _shared(trained.words, dataset.words)
    for name in tables:
        if name in tower and name in old_tower and tower[name].shape[1] == old_tower[name].shape[1]:
            ends = np.array([0, 1, -1])  # padding, end and unknown words
            rows = np.concatenate([at_new + FIRST_WORD_ROW, ends])
            values = old_tower[name][np.concatenate([at_old + FIRST_WORD_ROW, ends])]
            tower[name] = jnp.asarray(tower[name]).at[rows].set(values)
    params["recipe_tower"] = tower
    said = [f"{len(at_new):,} of {len(dataset.words):,} words known to it"]
    if "classifier" in params:
        of_old, of_new = _shared(trained.class_names, dataset.class_names)
        if "classifier" not in old["params"]:
            of_old, of_new = of_old[:0], of_new[:0]
        for name, values in old["params"].get("classifier", {}).items():
            columns = jnp.asarray(params["classifier"][name]).at[..., of_new].set(values[..., of_old])
            params["classifier"] = {**params["classifier"], name: columns}
        said.append(f"{len(of_new):,} of {len(dataset.class_names):,} classes")
    elif "classifier" in old["params"]:
        said.append("its classifier left out")

    by_name = {f"recipe_tower/{name}" for name in tables}
    merged = _copy({**new, "params": params}, old, by_name, directory)
    print(f"weights of {directory}, step {trained.step}: {', '.join(said)}", flush=True)
    return merged


def _shared(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Places of the names that both have, in the old list and in the new one."""
    place = {name: number for number, name in enumerate(old)}
    pairs = [(place[name], number) for number, name in enumerate(new) if name in place]
    of_old, of_new = np.array(pairs, int).reshape(-1, 2).T
    return of_old, of_new


def _copy(new: Tree, old: Tree, by_name: set[str], directory: Path) -> Tree:
    """Copies every array but those that were matched by name; both models must have the same layers."""
    new_leaves, old_leaves = (
        {_name(path): leaf for path, leaf in jax.tree.leaves_with_path(tree) if _is_of_a_tower(path)}
        for tree in (new, old)
    )
    for name in sorted(new_leaves.keys() | old_leaves.keys()):
        shape, old_shape = (np.shape(leaves[name]) if name in leaves else None for leaves in (new_leaves, old_leaves))
        is_table = name.removeprefix("params/") in by_name
        if is_table and shape and old_shape:
            shape, old_shape = shape[1:], old_shape[1:]  # rows are words
        if shape != old_shape:
            raise UserError(
                f"config.train.init_from = {directory}: {name} is {_shape(old_shape)} there and {_shape(shape)} here; "
                "take the config.model fields of that run's config.json"
            )
    return jax.tree.map_with_path(
        lambda path, leaf: (
            leaf
            if _name(path) not in old_leaves or _name(path).removeprefix("params/") in by_name
            else jnp.asarray(old_leaves[_name(path)])
        ),
        new,
    )


def _is_of_a_tower(path) -> bool:
    """Not of the loss, whose other parameters a new run draws anew."""
    return path[1].key in TOWERS


def _name(path) -> str:
    return "/".join(entry.key for entry in path)


def _shape(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else " × ".join(map(str, shape))
