"""PWC++: margins on either side, 0.3 for matched and 0.9 for mismatched pairs, with a classifier.

    python -m adamine_jax.main --config configs/pairwise_plus.py --workdir runs/pairwise_plus \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from adamine_jax.config import preset, set_loss, with_variant


def get_config(variant: str = ""):
    """Returns the base configuration with another loss."""
    config = preset("adamine")
    set_loss(config, "pairwise_plus")
    config.loss.classifier_weight = 0.01
    config.data.mismatch = 0.8
    return with_variant(config, variant)
