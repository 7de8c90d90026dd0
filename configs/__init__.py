"""Presets; each file has a `get_config()`. `adamine.py` is the base, of which the others change a few fields.

    python -m adamine_jax.main --config configs/vse.py --workdir runs/vse \
        --config.data.dir=DATA --config.model.image.weights=resnet101.safetensors
"""
