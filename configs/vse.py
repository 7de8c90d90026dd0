"""VSE: instance triplets, averaged over all negatives (published as avg_nosem).

    python -m adamine_jax.main --config configs/vse.py --workdir runs/vse \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    """Returns the base configuration with another loss."""
    config = preset("adamine")
    config.loss.strategies = ("IRR", "RII")
    config.loss.weights = (1.0, 1.0)
    config.loss.aggregation = "mean"
    return with_variant(config, variant)
