"""PWC: cosine embedding loss on matched and mismatched pairs, with a classifier.

    python -m adamine_jax.main --config configs/pairwise.py --workdir runs/pairwise \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from configs import adamine


def get_config():
    """Returns the base configuration with another loss."""
    config = adamine.get_config()
    config.loss.name = "pairwise"
    config.loss.margin = 0.1  # in cosine similarity; the published code read 0
    config.loss.classifier_weight = 0.01
    config.data.mismatch = 0.8
    return config
