"""The configuration of a run: presets, sections of towers and losses, checks, and what `config.json` holds."""

import typing

if typing.TYPE_CHECKING:
    from adamine_jax.config.defaults import preset, set_loss, set_tower, split_variant, with_variant

__all__ = ["preset", "set_loss", "set_tower", "split_variant", "with_variant"]


def __getattr__(name: str) -> typing.Any:
    """The names above, imported when they are asked for: evaluation and search need none of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from adamine_jax.config import defaults

    return getattr(defaults, name)
