"""Lifted structured loss (Oh Song et al., CVPR 2016).

    python -m adamine_jax.main --config configs/lifted_struct.py --workdir runs/lifted_struct \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    """Returns the base configuration with another loss."""
    config = preset("adamine")
    config.loss.strategies = ("LIFT",)
    config.loss.weights = (1.0,)
    return with_variant(config, variant)
