"""PWC++: margins of 0.3 for matched and 0.9 for mismatched pairs, with a classifier."""

from adamine_jax.config import preset, set_loss, with_variant


def get_config(variant: str = ""):
    config = preset("adamine")
    set_loss(config, "pairwise_plus")
    config.loss.classifier_weight = 0.01
    config.data.mismatch = 0.8
    return with_variant(config, variant)
