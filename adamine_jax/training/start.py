"""Initial state of a run: its last checkpoint, another run's weights, pretrained weights, or random weights."""

import sys
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from jax.sharding import Mesh

from adamine_jax.base import processes, storage
from adamine_jax.base.errors import shown
from adamine_jax.checkpoints.manager import Checkpoints
from adamine_jax.input.dataset import Dataset
from adamine_jax.losses.base import Loss
from adamine_jax.models.adamine import AdaMine, load_weights
from adamine_jax.training.fine_tuning import init_from
from adamine_jax.training.parameter_rates import rates
from adamine_jax.training.state import TrainState, create_state, initial_variables


def first_state(
    config: ml_collections.ConfigDict,
    model: AdaMine,
    loss: Loss,
    dataset: Dataset,
    mesh: Mesh,
    checkpoints: Checkpoints,
    directory: Path,
    feature_statistics: Callable[[], tuple[np.ndarray, np.ndarray]],
) -> TrainState:
    """Restores the last checkpoint, or creates the state before the first step.

    `feature_statistics` returns the mean and standard deviation of the given features of photos, for towers that
    standardise them.

    Raises:
        UserError: A checkpoint, a file of weights or another run's weights cannot be used.
    """
    classes, has_average = len(dataset.class_names), config.optim.average > 0
    if (step := checkpoints.latest_step()) is not None:
        print(f"resuming from step {step} of {shown(directory)}", flush=True)

        def created() -> TrainState:
            variables = initial_variables(config, model, loss, num_classes=classes)
            return create_state(model, loss, variables, mesh, has_average)

        return checkpoints.restore(step, jax.eval_shape(created), mesh)
    word_vectors = None
    if model.recipe_tower.word_tables:
        word_vectors = config.model.recipe.get("word_norm", 1.0) * dataset.word_vectors()
    variables = initial_variables(config, model, loss, num_classes=classes, word_vectors=word_vectors)
    if config.train.init_from:
        variables = init_from(storage.local(config.train.init_from), model, variables, dataset)
    else:
        variables = load_weights(config.model, variables)
        own = variables["batch_stats"].get("image_tower", {})
        if "std" in own:
            mean, std = (jnp.asarray(value, own["std"].dtype) for value in feature_statistics())
            variables["batch_stats"] = {"image_tower": {**own, "mean": mean, "std": std}}
        _warn_about_random_backbones(config, model)
    if config.accumulate > 1 and model.image_tower.has_batch_norm and processes.is_first():
        rows = config.batch_size // config.accumulate
        print(f"config.accumulate: BatchNorm's statistics are those of {rows} pairs, not of whole batches", flush=True)
    rates(model, variables["params"], config.optim, 1)  # checks the patterns before the first step is compiled
    return create_state(model, loss, variables, mesh, has_average)


def _warn_about_random_backbones(config: ml_collections.ConfigDict, model: AdaMine) -> None:
    epochs = min(config.unfreeze_epoch, config.epochs)
    for modality, tower in (("image", model.image_tower), ("recipe", model.recipe_tower)):
        if tower.backbone and epochs and not config.model[modality].get("weights") and processes.is_first():
            print(
                f"WARNING: the backbone of the {modality} tower has random weights and is frozen for the first "
                f"{epochs} epochs, so its features carry little information. Set config.model.{modality}.weights, or "
                "config.unfreeze_epoch=0.",
                file=sys.stderr,
                flush=True,
            )
