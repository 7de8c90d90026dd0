"""VSE++ (Faghri et al., BMVC 2018): the hardest negative of each anchor (published as max)."""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    config = preset("adamine")
    config.loss.strategies = ("IRR", "RII")
    config.loss.weights = (1.0, 1.0)
    config.loss.num_negatives = 1
    config.loss.aggregation = "mean"
    return with_variant(config, variant)
