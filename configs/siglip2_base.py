"""SigLIP 2 base, photos and text, fine-tuned with InfoNCE.

    python -m adamine_jax.main --config configs/siglip2_base.py --workdir runs/siglip --config.data.dir=data \
        --config.model.image.weights=siglip2-base-patch16-224 --config.model.recipe.weights=siglip2-base-patch16-224

Weights: the folder of `google/siglip2-base-patch16-224` on Hugging Face (model.safetensors, config.json,
tokenizer.json, preprocessor_config.json). Zero-shot: `--config.model.head=none --config.epochs=0`. Not yet run on
Recipe1M here.
"""

from adamine_jax.config import preset, with_variant


def get_config(variant: str = ""):
    """Returns the configuration of CLIP with photos that are squashed to a square, as SigLIP reads them."""
    config = preset("clip_vitb16")
    config.model.embedding_dim = 768
    config.model.recipe.max_tokens = 448  # seven segments, each padded to 64 tokens as in pretraining
    return with_variant(config, variant)
