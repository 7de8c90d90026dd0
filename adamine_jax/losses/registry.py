"""Losses by name, and their config sections."""

import ml_collections

from adamine_jax.base import rules
from adamine_jax.base.registry import Registry
from adamine_jax.losses.base import Loss

LOSSES = Registry(
    "loss",
    {
        "triplet": "adamine_jax.losses.adamine:TripletLoss",
        "pairwise": "adamine_jax.losses.pairwise:PairwiseLoss",
        "pairwise_plus": "adamine_jax.losses.pairwise:PairwisePlusLoss",
        "infonce": "adamine_jax.losses.contrastive.infonce:InfoNCELoss",
        "siglip": "adamine_jax.losses.contrastive.siglip:SigLIPLoss",
        "circle": "adamine_jax.losses.contrastive.circle:CircleLoss",
        "parts": "adamine_jax.losses.contrastive.parts:PartsLoss",
        "weighted_sum": "adamine_jax.losses.weighted_sum:WeightedSum",
    },
)
"""Maps a name to a `Loss`; a name of the form `package.module:Name` is imported."""


def section(name: str) -> ml_collections.ConfigDict:
    """Returns the config section of a loss: its name and its defaults."""
    fields = ml_collections.ConfigDict({"name": name})
    fields.update(LOSSES(name).defaults())
    return fields


def build(config: ml_collections.ConfigDict) -> Loss:
    """Builds the loss that a section describes; missing fields get their defaults."""
    fields = section(config.name)
    with fields.ignore_type():
        fields.update({name: config[name] for name in fields if name in config})
    return LOSSES(config.name)(fields)


def check(loss: Loss, config: ml_collections.ConfigDict, path: str) -> None:
    """Checks the fields of a loss.

    Args:
        loss: The loss.
        config: The run's config.
        path: Path of the loss's section in `config`, for error messages: "loss".

    Raises:
        UserError: A field is invalid or contradicts another.
    """
    rules.check(loss.config, loss.rules, path)
    loss.check(config)
