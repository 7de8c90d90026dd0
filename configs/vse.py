"""VSE: instance triplets, averaged over all negatives (published as avg_nosem)."""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    config = preset("adamine")
    config.loss.strategies = ("IRR", "RII")
    config.loss.weights = (1.0, 1.0)
    config.loss.aggregation = "mean"
    return with_variant(config, variant)
