"""The optimiser: two groups of parameters, Adam for each, one learning rate, clipping over both."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from adamine_jax.models.adamine import AdaMine, published_multiplicity

Tree = Any
CLIP_EPSILON = 1e-6  # PyTorch's clipping divides by norm + 1e-6

ADAM = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)
"""Of either group; the learning rate, which counts the steps of training and not those of a group, comes after it."""


def split_groups(params: Tree, model: AdaMine) -> dict[str, Tree]:
    """Splits parameters into the optimiser's groups.

    Returns:
        'backbone': the pretrained parts of the towers, empty where there are none; 'new': everything else, the
        parameters of the loss included.
    """
    backbone: Tree = {}
    new = dict(params)
    for tower, name in model.backbone:
        new[tower] = dict(new[tower])
        backbone.setdefault(tower, {})[name] = new[tower].pop(name)
    return {"backbone": backbone, "new": new}


def merge_groups(groups: dict[str, Tree]) -> Tree:
    """The inverse of `split_groups`."""
    merged = dict(groups["new"])
    for tower, parts in groups["backbone"].items():
        merged[tower] = {**merged[tower], **parts}
    return merged


def learning_rate(config, steps_per_epoch: int) -> optax.Schedule:
    """The rate at each step of training: `optim.lr`, falling linearly to 0 over the last `optim.decay_epochs`.

    Args:
        config: Of the run.
        steps_per_epoch: Batches in an epoch.

    Returns:
        A function from the number of steps done to the rate of the next one.
    """
    decay_steps = config.optim.decay_epochs * steps_per_epoch
    if not decay_steps:
        return optax.constant_schedule(config.optim.lr)
    begin = max(config.epochs * steps_per_epoch - decay_steps, 0)
    return optax.linear_schedule(config.optim.lr, 0.0, decay_steps, begin)


def update(
    model: AdaMine,
    params: Tree,
    gradients: dict[str, Tree],
    opt_state: dict[str, Tree],
    rate: Any,
    clip_norm: float,
) -> tuple[Tree, dict[str, Tree], jax.Array]:
    """Clips the gradients by their global norm and takes one step of Adam.

    Args:
        model: Both towers.
        params: All parameters.
        gradients: Of the groups that are trained; the others stay as they are.
        opt_state: An Adam state for each group.
        rate: The learning rate.
        clip_norm: Largest norm over all trained parameters, each counted `published_multiplicity` times.

    Returns:
        (parameters, optimiser states, norm before clipping).
    """
    groups = split_groups(params, model)
    counts = split_groups(published_multiplicity(model, params), model)
    counts = {name: counts[name] for name in gradients}
    norm = optax.tree.norm(jax.tree.map(lambda g, n: g * n**0.5, gradients, counts))
    scale = jnp.minimum(1.0, clip_norm / (norm + CLIP_EPSILON))
    gradients = jax.tree.map(lambda g: g * scale, gradients)
    groups, opt_state = dict(groups), dict(opt_state)
    for name, of_group in gradients.items():
        updates, opt_state[name] = ADAM.update(of_group, opt_state[name])
        updates = jax.tree.map(lambda u, n: -rate * n * u, updates, counts[name])
        groups[name] = optax.apply_updates(groups[name], updates)
    return merge_groups(groups), opt_state, norm
