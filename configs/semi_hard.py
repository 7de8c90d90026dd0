"""Semi-hard negatives (Schroff et al., CVPR 2015): farther than the positive, but within the margin."""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    config = preset("adamine")
    config.loss.strategies = ("IRR", "RII")
    config.loss.weights = (1.0, 1.0)
    config.loss.sampling = "semi_hard"
    return with_variant(config, variant)
