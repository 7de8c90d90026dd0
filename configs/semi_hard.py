"""Semi-hard negatives (Schroff et al., CVPR 2015): farther than the positive, but inside the margin.

    python -m adamine_jax.main --config configs/semi_hard.py --workdir runs/semi_hard \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    """Returns the base configuration with another loss."""
    config = preset("adamine")
    config.loss.strategies = ("IRR", "RII")
    config.loss.weights = (1.0, 1.0)
    config.loss.sampling = "semi_hard"
    return with_variant(config, variant)
