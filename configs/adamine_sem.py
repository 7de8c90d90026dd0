"""AdaMine with semantic triplets only (the paper's ablation AdaMine_sem)."""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    config = preset("adamine")
    config.loss.strategies = ("SIRR", "SRII")
    config.loss.weights = (1.0, 1.0)
    return with_variant(config, variant)
