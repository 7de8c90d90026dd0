"""AdaMine's loss averaged over all triplets, without mining (the paper's AdaMine_avg)."""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    config = preset("adamine")
    config.loss.aggregation = "mean"
    return with_variant(config, variant)
