"""Lifted structured loss (Oh Song et al., CVPR 2016)."""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    config = preset("adamine")
    config.loss.strategies = ("LIFT",)
    config.loss.weights = (1.0,)
    return with_variant(config, variant)
