"""Schedules of a loss's numbers, such as a margin that grows from epoch to epoch."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import ml_collections

from adamine_jax.base.errors import UserError
from adamine_jax.losses import registry
from adamine_jax.losses.base import Loss

Schedule = tuple[str, float, float, float]
"""(field, start, change per epoch, end): the field is start + change · epoch, until it reaches the end."""


def scheduled(loss: Loss, schedules: Sequence[Schedule], epoch: jax.Array) -> Loss:
    """Returns the loss of an epoch.

    Example: `("margin", 0.05, 0.005, 0.3)` is the margin min(0.05 + 0.005 · epoch, 0.3) of T-Food (Shukor et al.,
    2022).

    Args:
        loss: The loss.
        schedules: The schedules; a field of a term of a weighted sum is written `terms.triplet.margin`.
        epoch: () int, counted from 0.
    """
    if not schedules:
        return loss
    config = ml_collections.ConfigDict(loss.config.to_dict())
    for field, start, change, end in schedules:
        section, name = _place(config, field)
        value = start + change * epoch.astype(jnp.float32)
        with section.ignore_type():
            section[name] = jnp.minimum(value, end) if change > 0 else jnp.maximum(value, end)
    return type(loss)(config)


def check_schedules(loss: Loss, schedules: Sequence[Schedule], run: ml_collections.ConfigDict) -> None:
    """Checks that the loss can change the fields during training, and that their values are accepted.

    Raises:
        UserError: A field cannot be changed, starts or ends at a value that it must not have, or never reaches its end.
    """
    for field, start, change, end in schedules:
        if field not in loss.schedulable:
            known = ", ".join(loss.schedulable) or "none"
            raise UserError(
                f"config.loss_schedules: {field!r} is not a number that this loss can change during training; "
                f"those are: {known}"
            )
        if start != end and change * (end - start) <= 0:
            raise UserError(f"config.loss_schedules: {field!r} never gets from {start} to {end} by steps of {change}")
        for value in (start, end):
            config = ml_collections.ConfigDict(loss.config.to_dict())
            section, name = _place(config, field)
            section[name] = float(value)
            registry.check(type(loss)(config), run, "loss")


def _place(config: ml_collections.ConfigDict, field: str) -> tuple[ml_collections.ConfigDict, str]:
    *path, name = field.split(".")
    for part in path:
        config = config[part]
    return config, name
