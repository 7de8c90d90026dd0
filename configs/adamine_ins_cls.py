"""Instance triplets and a classifier in place of semantic triplets (the paper's AdaMine_ins+cls).

    python -m adamine_jax.main --config configs/adamine_ins_cls.py --workdir runs/adamine_ins_cls \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    """Returns the base configuration with another loss."""
    config = preset("adamine")
    config.loss.strategies = ("IRR", "RII")
    config.loss.weights = (1.0, 1.0)
    config.loss.classifier_weight = 0.01
    return with_variant(config, variant)
