"""VSE: instance triplets, averaged over all negatives (published as avg_nosem).

    python -m adamine_jax.main --config configs/vse.py --workdir runs/vse \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from configs import adamine


def get_config():
    """Returns the base configuration with another loss."""
    config = adamine.get_config()
    config.loss.strategies = ("IRR", "RII")
    config.loss.weights = (1.0, 1.0)
    config.loss.aggregation = "mean"
    return config
