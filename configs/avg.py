"""AdaMine's triplets, averaged over all of them instead of mined (the paper's AdaMine_avg).

    python -m adamine_jax.main --config configs/avg.py --workdir runs/avg \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    """Returns the base configuration with another loss."""
    config = preset("adamine")
    config.loss.aggregation = "mean"
    return with_variant(config, variant)
