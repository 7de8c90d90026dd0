"""Initialises a model from another run: words and classes are matched by name, all other weights are copied."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.base.errors import UserError, shown
from adamine_jax.input.dataset import Dataset
from adamine_jax.models.adamine import FIRST_WORD_ROW, TOWERS, AdaMine
from adamine_jax.runs import workdir
from adamine_jax.training.parameter_rates import name_of

Tree = dict[str, Any]


def init_from(directory: Path, model: AdaMine, variables: Tree, dataset: Dataset) -> Tree:
    """Copies the weights of a workdir's best checkpoint into a new model.

    Words that are in both vocabularies get their trained vectors, and common classes their columns of the classifier;
    words and classes that are only in the new data set keep their values. Prints one line with their numbers.

    Args:
        directory: Workdir of the other run.
        model: New model.
        variables: {'params', 'batch_stats'} of the new model and its loss.
        dataset: Data set of the new run.

    Returns:
        Variables of the same shapes.

    Raises:
        UserError: The folder is not a workdir, or its model has other layers than the new one.
    """
    trained = workdir.load(directory)
    tables = model.recipe_tower.word_tables
    old, new = jax.device_get(trained.variables), variables
    params = dict(new["params"])
    tower, old_tower = dict(params["recipe_tower"]), old["params"]["recipe_tower"]
    old_words, new_words = _matches(trained.words, dataset.words)
    special_rows = np.array([0, 1, -1])  # padding, end and unknown words
    rows = np.concatenate([new_words + FIRST_WORD_ROW, special_rows])
    old_rows = np.concatenate([old_words + FIRST_WORD_ROW, special_rows])
    for name in tables:
        if name in tower and name in old_tower and tower[name].shape[1] == old_tower[name].shape[1]:
            tower[name] = jnp.asarray(tower[name]).at[rows].set(old_tower[name][old_rows])
    params["recipe_tower"] = tower
    summary = [f"{len(new_words):,} of {len(dataset.words):,} words matched"]
    old_classifier = old["params"].get("classifier", {})
    if "classifier" in params:
        old_classes, new_classes = _matches(trained.class_names if old_classifier else (), dataset.class_names)
        classifier = dict(params["classifier"])
        for name, array in old_classifier.items():
            classifier[name] = jnp.asarray(classifier[name]).at[..., new_classes].set(array[..., old_classes])
        params["classifier"] = classifier
        summary.append(f"{len(new_classes):,} of {len(dataset.class_names):,} classes matched")
    elif old_classifier:
        summary.append("classifier not copied")

    merged = _copy_towers({**new, "params": params}, old, {f"params/recipe_tower/{name}" for name in tables}, directory)
    print(f"initialised from {shown(directory)}, step {trained.step}: {', '.join(summary)}", flush=True)
    return merged


def _matches(old: tuple[str, ...], new: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Returns the positions of the common names, in the old list and in the new one."""
    positions = {name: number for number, name in enumerate(old)}
    pairs = [(positions[name], number) for number, name in enumerate(new) if name in positions]
    in_old, in_new = np.array(pairs, int).reshape(-1, 2).T
    return in_old, in_new


def _copy_towers(new: Tree, old: Tree, tables: set[str], directory: Path) -> Tree:
    """Copies every array of the towers except the word tables; both models must have the same layers."""
    # Parameters of the loss, other than the classifier, are drawn anew.
    new_leaves, old_leaves = (
        {name_of(path): leaf for path, leaf in jax.tree.leaves_with_path(tree) if path[1].key in TOWERS}
        for tree in (new, old)
    )
    for name in sorted(new_leaves.keys() | old_leaves.keys()):
        shape, old_shape = (np.shape(leaves[name]) if name in leaves else None for leaves in (new_leaves, old_leaves))
        if name in tables and shape and old_shape:
            shape, old_shape = shape[1:], old_shape[1:]  # the number of words may differ
        if shape != old_shape:
            raise UserError(
                f"config.train.init_from = {directory}: {name} is {_format_shape(old_shape)} in that run and "
                f"{_format_shape(shape)} in this one; use the config.model fields of that run's config.json"
            )

    def copied(path: tuple[Any, ...], leaf: Any) -> Any:
        name = name_of(path)
        return leaf if name in tables or name not in old_leaves else jnp.asarray(old_leaves[name])

    return jax.tree.map_with_path(copied, new)


def _format_shape(shape: tuple[int, ...] | None) -> str:
    return "absent" if shape is None else " × ".join(map(str, shape))
