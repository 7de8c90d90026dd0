"""CLIP ViT-B/16, photos and text, fine-tuned with InfoNCE.

    python -m adamine_jax.main --config configs/clip_vitb16.py --workdir runs/clip --config.data.dir=data \
        --config.model.image.weights=clip-vit-base-patch16 --config.model.recipe.weights=clip-vit-base-patch16

Weights: the folder of `openai/clip-vit-base-patch16` on Hugging Face (model.safetensors, config.json, tokenizer.json).
Zero-shot, with CLIP's own projections: `--config.model.head=none --config.epochs=0`. Not yet trained on Recipe1M here.
From the same weights, IR-CLIP reports R@1 79.1 % on its 1k test.
"""

from adamine_jax.config import preset, set_loss, set_tower, with_variant


def get_config(variant: str = ""):
    """Returns a configuration that trains all weights from the start with a small learning rate."""
    config = preset("adamine")
    config.batch_size = 256
    config.epochs = 10
    config.unfreeze_epoch = 0

    config.data.resize = 224
    config.data.image_size = 224
    config.data.flip = True

    set_tower(config, "image", "vit")
    config.model.image.patch = 16
    set_tower(config, "recipe", "pretrained")
    config.model.head = "linear"
    config.model.embedding_dim = 512
    config.model.dtype = "bfloat16"
    config.model.remat = True

    set_loss(config, "infonce")
    config.loss.temperature = 0.05
    config.optim.lr = 1e-5
    config.optim.weight_decay = 0.05
    config.optim.warmup_epochs = 0.5
    config.optim.decay_epochs = 10
    config.optim.decay = "cosine"
    return with_variant(config, variant)
