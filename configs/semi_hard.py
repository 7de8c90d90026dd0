"""Semi-hard negatives (Schroff et al., CVPR 2015): farther than the positive, but inside the margin.

    python -m adamine_jax.main --config configs/semi_hard.py --workdir runs/semi_hard \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from configs import adamine


def get_config():
    """Returns the base configuration with another loss."""
    config = adamine.get_config()
    config.loss.strategies = ("IRR", "RII")
    config.loss.weights = (1.0, 1.0)
    config.loss.sampling = "semi_hard"
    return config
