"""AdaMine's triplets, averaged over all of them instead of mined (the paper's AdaMine_avg).

    python -m adamine_jax.main --config configs/avg.py --workdir runs/avg \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from configs import adamine


def get_config():
    """Returns the base configuration with another loss."""
    config = adamine.get_config()
    config.loss.aggregation = "mean"
    return config
