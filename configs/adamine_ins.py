"""AdaMine with instance triplets only (the paper's ablation AdaMine_ins)."""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    config = preset("adamine")
    config.loss.strategies = ("IRR", "RII")
    config.loss.weights = (1.0, 1.0)
    return with_variant(config, variant)
