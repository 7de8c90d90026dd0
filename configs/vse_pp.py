"""VSE++ (Faghri et al., BMVC 2018): the hardest negative of each anchor (published as max).

    python -m adamine_jax.main --config configs/vse_pp.py --workdir runs/vse_pp \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    """Returns the base configuration with another loss."""
    config = preset("adamine")
    config.loss.strategies = ("IRR", "RII")
    config.loss.weights = (1.0, 1.0)
    config.loss.num_negatives = 1
    config.loss.aggregation = "mean"
    return with_variant(config, variant)
