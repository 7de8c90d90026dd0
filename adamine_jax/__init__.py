"""AdaMine in JAX: cross-modal retrieval between photos of dishes and their recipes.

import adamine_jax

model = adamine_jax.load("runs/a")
gallery = adamine_jax.open_gallery("runs/a/gallery/test", model.digest)
hits = gallery.search(model.embed_photos(["dinner.jpg"]), among="recipes", top=5)
"""

import importlib
import sqlite3  # noqa: F401 – before TensorFlow, whose own SQLite would take its place and lacks full-text search
import typing

from adamine_jax.base import __version__

if typing.TYPE_CHECKING:
    from adamine_jax.gallery.opening import open_gallery
    from adamine_jax.queries.encoder import load

__all__ = ["__version__", "load", "open_gallery"]

_MODULES = {"load": "adamine_jax.queries.encoder", "open_gallery": "adamine_jax.gallery.opening"}


def __getattr__(name: str) -> typing.Any:
    """Imports `load` and `open_gallery` on first use, since most commands need neither."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
