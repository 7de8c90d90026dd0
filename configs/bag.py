"""A bag of words with AdaMine's instance triplets, on given photo features.

    python -m adamine_jax.main --config configs/bag.py --workdir runs/bag \
        --config.data.dir=data --config.data.image_features=features.npy

Only the loss differs from `configs/own.py`. docs/features.md compares InfoNCE with `configs/own.py:loss=triplet`, which
adds the semantic triplets that this preset leaves out.
"""

from adamine_jax.config import preset, set_loss, with_variant


def get_config(variant: str = ""):
    """Returns the configuration of `own` with instance triplets instead of InfoNCE."""
    config = preset("own")
    set_loss(config, "triplet")
    config.loss.strategies = ("IRR", "RII")
    config.loss.weights = (1.0, 1.0)
    return with_variant(config, variant)
