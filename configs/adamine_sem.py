"""AdaMine on classes alone (the paper's ablation AdaMine_sem).

    python -m adamine_jax.main --config configs/adamine_sem.py --workdir runs/adamine_sem \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from configs import adamine


def get_config():
    """Returns the base configuration with another loss."""
    config = adamine.get_config()
    config.loss.strategies = ("SIRR", "SRII")
    config.loss.weights = (1.0, 1.0)
    return config
