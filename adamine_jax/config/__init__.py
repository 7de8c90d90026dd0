"""Configuration of a run: presets, sections of towers and losses, checks, and the format of `config.json`."""

from adamine_jax.config.presets import preset, set_loss, set_tower, split_variant, with_variant

__all__ = ["preset", "set_loss", "set_tower", "split_variant", "with_variant"]
