"""Configuration of a run: presets, sections of towers and losses, checks, and the format of `config.json`."""

import typing

if typing.TYPE_CHECKING:
    from adamine_jax.config.presets import preset, set_loss, set_tower, split_variant, with_variant

__all__ = ["preset", "set_loss", "set_tower", "split_variant", "with_variant"]


def __getattr__(name: str) -> typing.Any:
    """Imports the names above on first use, because evaluation and search do not need them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from adamine_jax.config import presets

    return getattr(presets, name)
