"""AdaMine on instances alone (the paper's ablation AdaMine_ins).

    python -m adamine_jax.main --config configs/adamine_ins.py --workdir runs/adamine_ins \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from configs import adamine


def get_config():
    """Returns the base configuration with another loss."""
    config = adamine.get_config()
    config.loss.strategies = ("IRR", "RII")
    config.loss.weights = (1.0, 1.0)
    return config
