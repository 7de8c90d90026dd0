"""PWC++: margins on either side, 0.3 for matched and 0.9 for mismatched pairs, with a classifier.

    python -m adamine_jax.main --config configs/pairwise_plus.py --workdir runs/pairwise_plus \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from configs import adamine


def get_config():
    """Returns the base configuration with another loss."""
    config = adamine.get_config()
    config.loss.name = "pairwise_plus"
    config.loss.classifier_weight = 0.01
    config.data.mismatch = 0.8
    return config
