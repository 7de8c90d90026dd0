"""DINOv2 for photos and MiniLM for text: two encoders that were trained separately, joined by InfoNCE.

    python -m adamine_jax.main --config configs/dinov2_minilm.py --workdir runs/dino --config.data.dir=data \
        --config.model.image.weights=dinov2-base --config.model.recipe.weights=all-MiniLM-L6-v2

Weights: the folders of `facebook/dinov2-base` and `sentence-transformers/all-MiniLM-L6-v2` on Hugging Face
(model.safetensors, config.json; for the text tokenizer.json). Not yet run on Recipe1M here.
"""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    """Returns a configuration that first trains the linear layers alone, then both encoders."""
    config = preset("clip_vitb16")
    config.unfreeze_epoch = 2
    config.data.resize = 256
    config.model.image.patch = 14
    config.model.embedding_dim = 512
    return with_variant(config, variant)
