"""Training losses: pure functions of the embeddings of the global batch."""

import typing

if typing.TYPE_CHECKING:
    from adamine_jax.losses.adamine import adamine_loss
    from adamine_jax.losses.base import Loss
    from adamine_jax.losses.registry import LOSSES
    from adamine_jax.losses.total import metric_names, total_loss

__all__ = ["LOSSES", "Loss", "adamine_loss", "metric_names", "total_loss"]

_HOMES = {
    "LOSSES": "registry",
    "Loss": "base",
    "adamine_loss": "adamine",
    "metric_names": "total",
    "total_loss": "total",
}


def __getattr__(name: str) -> typing.Any:
    """Imports the names above on first access, so that evaluation and search do not import them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
