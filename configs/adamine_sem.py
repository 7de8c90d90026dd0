"""AdaMine on classes alone (the paper's ablation AdaMine_sem).

    python -m adamine_jax.main --config configs/adamine_sem.py --workdir runs/adamine_sem \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    """Returns the base configuration with another loss."""
    config = preset("adamine")
    config.loss.strategies = ("SIRR", "SRII")
    config.loss.weights = (1.0, 1.0)
    return with_variant(config, variant)
