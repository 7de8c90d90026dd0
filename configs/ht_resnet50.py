"""H-T (Salvador et al., CVPR 2021): hierarchical transformers trained from scratch, a ResNet-50, and AdaMine's loss.

    python -m adamine_jax.import_weights --from torchvision --file resnet50.pth --out resnet50.safetensors
    python -m adamine_jax.main --config configs/ht_resnet50.py --workdir runs/ht --config.data.dir=data \
        --config.model.image.weights=resnet50.safetensors

Weights: torchvision's ResNet-50. Its authors report R@1 60.0 % on Recipe1M's 1k test; not yet run on Recipe1M here.
`--config configs/ht_resnet50.py:image=vit` reads photos with a ViT-B/16.
"""

from adamine_jax.config import preset, set_loss, set_tower, with_variant


def get_config(variant: str = ""):
    """Returns a configuration that trains everything from the start, with bidirectional triplets."""
    config = preset("adamine")
    config.batch_size = 128
    config.epochs = 80
    config.unfreeze_epoch = 0
    config.data.flip = True

    config.model.image.depth = 50
    set_tower(config, "recipe", "transformer")
    config.model.head = "linear"
    config.model.dtype = "bfloat16"

    set_loss(config, "triplet")
    config.loss.strategies = ("IRR", "RII")
    config.loss.weights = (1.0, 1.0)
    config.optim.lr = 1e-4
    return with_variant(config, variant)
