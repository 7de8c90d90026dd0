"""Packages that only some commands need, and the extra that brings each."""

import importlib.util

EXTRAS = {
    "matplotlib": "figures",
    "sklearn": "figures",
    "threadpoolctl": "figures",
    "faiss": "search",
    "fastapi": "serve",
    "uvicorn": "serve",
    "python_multipart": "serve",
    "tensorflow": "convert",
    "tensorflow_datasets": "convert",
    "gensim": "convert",
    "msgspec": "convert",
    "apache_beam": "beam",
    "lmdb": "lmdb",
    "torch": "torch",
    "pytorch_metric_learning": "bench",
}
"""A package to the extra of pyproject.toml that it belongs to."""


def how_to_get(package: str, extra: str = "") -> str:
    """Says that a package is not installed, and how to install it: by an extra, that of `EXTRAS` if none is given."""
    return f"needs {package}, which is not installed: pip install 'adamine-jax[{extra or EXTRAS[package]}]'"


def require(*packages: str) -> None:
    """Raises the `ModuleNotFoundError` of an absent package now, and not after the work that comes before its use."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def missing(error: ImportError) -> str:
    """Says which extra an import lacks; empty where it lacks something else."""
    package = (error.name or "").partition(".")[0]
    return f"this {how_to_get(package)}" if package in EXTRAS else ""
