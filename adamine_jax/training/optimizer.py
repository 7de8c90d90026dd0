"""Optimiser: Adam on two groups of parameters, with a common learning rate and gradient clipping."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from adamine_jax.models.adamine import AdaMine, published_multiplicity
from adamine_jax.training.parameter_rates import Rate, name_of

Tree = Any
CLIP_EPSILON = 1e-6  # PyTorch's clipping divides by norm + 1e-6


def adam(b2: float = 0.999) -> optax.GradientTransformation:
    """Returns Adam without the learning rate, which depends on the step of the run, not on that of the group."""
    return optax.scale_by_adam(b1=0.9, b2=b2, eps=1e-8)


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

    It is `optim.lr`, rises linearly from 0 over the first `optim.warmup_epochs` epochs or `optim.warmup_steps` steps,
    and decays to 0 over the last `optim.decay_epochs` epochs or `optim.decay_steps` steps, or over all steps of a run
    that is shorter.
    """
    optim, steps = config.optim, config.epochs * steps_per_epoch
    warmup_steps, decay_steps = (
        optim[f"{name}_steps"] or round(optim[f"{name}_epochs"] * steps_per_epoch) for name in ("warmup", "decay")
    )
    schedule = optax.constant_schedule(optim.lr)
    if decay_steps := min(decay_steps, steps):
        begin = steps - decay_steps
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
    optim: Any,
    rate: Any,
    rates: Mapping[str, Rate],
    step: jax.Array,
) -> tuple[Tree, dict[str, Tree], jax.Array]:
    """Clips the gradients by their global norm and takes one step of Adam, or AdamW with a weight decay.

    Weight decay (Loshchilov and Hutter, *Decoupled Weight Decay Regularization*, ICLR 2019) is for matrices; biases,
    scales and temperatures do not decay.

    Args:
        model: Both towers.
        params: All parameters.
        gradients: Gradients of the trained groups; other groups do not change.
        opt_state: Adam state of each group.
        optim: The section `config.optim`; reads `clip_norm`, the maximum norm over all trained parameters, each
            weighted by `published_multiplicity`; `weight_decay`, the share of the rate by which matrices shrink; `b2`.
        rate: Learning rate of this step.
        rates: Rate of each parameter by name.
        step: Number of steps taken.

    Returns:
        Parameters, optimiser states, and the norm before clipping.
    """
    groups = split_groups(params, model)
    counts = split_groups(published_multiplicity(model, params), model)
    counts = {name: counts[name] for name in gradients}
    gradients = {
        group: jax.tree.map_with_path(lambda path, g: rates[name_of(path)].gate(g, step), tree)
        for group, tree in gradients.items()
    }
    norm = optax.tree.norm(jax.tree.map(lambda g, n: g * n**0.5, gradients, counts))
    scale = jnp.minimum(1.0, optim.clip_norm / (norm + CLIP_EPSILON))
    gradients = jax.tree.map(lambda g: g * scale, gradients)
    opt_state = dict(opt_state)

    def change(path: tuple[Any, ...], update: jax.Array, count: Any, param: jax.Array) -> jax.Array:
        own = rates[name_of(path)]
        if own.start:
            update *= _correction(taken, step - own.start + 1, optim.b2)
        update = -rate * count * update
        if optim.weight_decay and _is_decayed(path, param):
            update -= rate * optim.weight_decay * param
        return own.gate(update * jnp.asarray(own.factor, update.dtype), step)

    for name, group_gradients in gradients.items():
        updates, opt_state[name] = adam(optim.b2).update(group_gradients, opt_state[name])
        taken = opt_state[name].count
        updates = jax.tree.map_with_path(change, updates, counts[name], groups[name])
        groups[name] = optax.apply_updates(groups[name], updates)
    return merge_groups(groups), opt_state, norm


def _correction(taken: jax.Array, own: jax.Array, b2: float) -> jax.Array:
    """Returns the factor from Adam's bias correction after all steps of a group to that after a parameter's own steps.

    The moments of a parameter that was frozen for a while are those of its own steps.
    """
    own = jnp.clip(own, 1, taken)
    first, second = ((1 - beta**taken) / (1 - beta**own) for beta in (0.9, b2))
    return first / jnp.sqrt(second)


def averaged(average: Tree, params: Tree, decay: float, step: jax.Array) -> Tree:
    """Returns the exponential moving average of the parameters after a step.

    The decay is at most (1 + step) / (10 + step), so that the average forgets the start of training.
    """
    share = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda old, new: (share * old + (1 - share) * new).astype(old.dtype), average, params)


def _is_decayed(path: tuple[Any, ...], leaf: jax.Array) -> bool:
    """Whether weight decay applies to a parameter: to matrices, not to biases and scales stacked over the layers."""
    return leaf.ndim > 1 and not path[-1].key.rstrip("12").endswith(("bias", "scale"))
