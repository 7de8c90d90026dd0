"""Packages that only some commands need, and the extra that brings each."""

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


def how_to_get(package: str) -> str:
    """Says that a package is not installed, and how to install it."""
    return f"needs {package}, which is not installed: pip install 'adamine-jax[{EXTRAS[package]}]'"


def missing(error: ImportError) -> str:
    """Says which extra an import lacks; empty where it lacks something else."""
    package = (error.name or "").partition(".")[0]
    return f"this {how_to_get(package)}" if package in EXTRAS else ""
