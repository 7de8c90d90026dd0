"""AdaMine on instances alone (the paper's ablation AdaMine_ins).

    python -m adamine_jax.main --config configs/adamine_ins.py --workdir runs/adamine_ins \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    """Returns the base configuration with another loss."""
    config = preset("adamine")
    config.loss.strategies = ("IRR", "RII")
    config.loss.weights = (1.0, 1.0)
    return with_variant(config, variant)
