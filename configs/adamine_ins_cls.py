"""Instance triplets and a classifier instead of semantic triplets (the paper's AdaMine_ins+cls)."""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    config = preset("adamine")
    config.loss.strategies = ("IRR", "RII")
    config.loss.weights = (1.0, 1.0)
    config.loss.classifier_weight = 0.01
    return with_variant(config, variant)
