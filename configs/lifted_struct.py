"""Lifted structured loss (Oh Song et al., CVPR 2016).

    python -m adamine_jax.main --config configs/lifted_struct.py --workdir runs/lifted_struct \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from configs import adamine


def get_config():
    """Returns the base configuration with another loss."""
    config = adamine.get_config()
    config.loss.strategies = ("LIFT",)
    config.loss.weights = (1.0,)
    return config
