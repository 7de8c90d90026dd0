"""Optimiser: Adam on two groups of parameters, with a common learning rate and gradient clipping."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from adamine_jax.models.adamine import AdaMine, published_multiplicity

Tree = Any
CLIP_EPSILON = 1e-6  # PyTorch's clipping divides by norm + 1e-6

ADAM = optax.scale_by_adam(b1=0.9, b2=0.999, eps=1e-8)
"""Adam without the learning rate, which depends on the step of the run, not on that of the group."""


def split_groups(params: Tree, model: AdaMine) -> dict[str, Tree]:
    """Splits parameters into the optimiser's groups.

    Returns:
        {'backbone': pretrained parts of the towers, possibly empty; 'new': all other parameters, including the loss's}.
    """
    backbone: Tree = {}
    new = dict(params)
    for tower, name in model.backbone:
        new[tower] = dict(new[tower])
        backbone.setdefault(tower, {})[name] = new[tower].pop(name)
    return {"backbone": backbone, "new": new}


def merge_groups(groups: dict[str, Tree]) -> Tree:
    """Merges the groups of `split_groups`."""
    merged = dict(groups["new"])
    for tower, parts in groups["backbone"].items():
        merged[tower] = {**merged[tower], **parts}
    return merged


def learning_rate(config, steps_per_epoch: int) -> optax.Schedule:
    """Returns the rate of the next step as a function of the number of steps taken.

    It is `optim.lr`, rises linearly from 0 over the first `optim.warmup_epochs` epochs, and decays to 0 over the last
    `optim.decay_epochs` epochs.
    """
    optim = config.optim
    warmup_steps, decay_steps = (
        round(epochs * steps_per_epoch) for epochs in (optim.warmup_epochs, optim.decay_epochs)
    )
    schedule = optax.constant_schedule(optim.lr)
    if decay_steps:
        begin = max(config.epochs * steps_per_epoch - decay_steps, 0)
        schedule = optax.linear_schedule(optim.lr, 0.0, decay_steps, begin)
        if optim.decay == "cosine":
            schedule = optax.join_schedules(
                [optax.constant_schedule(optim.lr), optax.cosine_decay_schedule(optim.lr, decay_steps)], [begin]
            )
    if not warmup_steps:
        return schedule
    return lambda step: schedule(step) * jnp.minimum((step + 1) / warmup_steps, 1.0)


def update(
    model: AdaMine,
    params: Tree,
    gradients: dict[str, Tree],
    opt_state: dict[str, Tree],
    rate: Any,
    clip_norm: float,
    weight_decay: float = 0.0,
) -> tuple[Tree, dict[str, Tree], jax.Array]:
    """Clips the gradients by their global norm and takes one step of Adam, or AdamW with a weight decay.

    Args:
        model: Both towers.
        params: All parameters.
        gradients: Gradients of the trained groups; other groups do not change.
        opt_state: Adam state of each group.
        rate: Learning rate.
        clip_norm: Maximum norm over all trained parameters, each weighted by `published_multiplicity`.
        weight_decay: Share of the rate by which matrices shrink in a step (Loshchilov and Hutter, *Decoupled Weight
            Decay Regularization*, ICLR 2019). Biases and scales, parameters of one dimension, do not.

    Returns:
        Parameters, optimiser states, and the norm before clipping.
    """
    groups = split_groups(params, model)
    counts = split_groups(published_multiplicity(model, params), model)
    counts = {name: counts[name] for name in gradients}
    norm = optax.tree.norm(jax.tree.map(lambda g, n: g * n**0.5, gradients, counts))
    scale = jnp.minimum(1.0, clip_norm / (norm + CLIP_EPSILON))
    gradients = jax.tree.map(lambda g: g * scale, gradients)
    opt_state = dict(opt_state)
    for name, group_gradients in gradients.items():
        updates, opt_state[name] = ADAM.update(group_gradients, opt_state[name])
        updates = jax.tree.map(lambda u, n: -rate * n * u, updates, counts[name])
        if weight_decay:
            updates = jax.tree.map_with_path(
                lambda path, u, p: u - rate * weight_decay * p if _is_decayed(path, p) else u, updates, groups[name]
            )
        groups[name] = optax.apply_updates(groups[name], updates)
    return merge_groups(groups), opt_state, norm


def _is_decayed(path: tuple[Any, ...], leaf: jax.Array) -> bool:
    """Whether weight decay applies to a parameter: to matrices, not to biases and scales stacked over the layers."""
    return leaf.ndim > 1 and not path[-1].key.rstrip("12").endswith(("bias", "scale"))
