"""Optional packages and the extras that install them."""

import importlib.util

EXTRAS = {
    "matplotlib": "figures",
    "sklearn": "figures",
    "threadpoolctl": "figures",
    "faiss": "search",
    "fastapi": "serve",
    "uvicorn": "serve",
    "python_multipart": "serve",
    "prometheus_client": "serve",
    "tensorflow": "convert",
    "tensorflow_datasets": "convert",
    "gensim": "convert",
    "msgspec": "convert",
    "apache_beam": "beam",
    "lmdb": "lmdb",
    "tokenizers": "text",
    "fsspec": "cloud",
    "recipe_scrapers": "pages",
    "pyarrow": "convert",
    "pi_heif": "heic",
    "psycopg": "postgres",
    "psycopg_pool": "postgres",
    "pgvector": "postgres",
    "libtpu": "aot",
    "torch": "torch",
    "pytorch_metric_learning": "bench",
    "grimp": "dev",
}
"""Extra of pyproject.toml by package."""


def how_to_get(package: str, extra: str = "") -> str:
    """Message that a package is missing, with the command that installs it; `extra` defaults to that of `EXTRAS`."""
    return f"needs {package}, which is not installed: pip install 'adamine-jax[{extra or EXTRAS[package]}]'"


def require(*packages: str) -> None:
    """Raises `ModuleNotFoundError` if a package is missing, before any work is done."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def missing(error: ImportError) -> str:
    """Message for a failed import of an optional package; '' for any other import."""
    package = (error.name or "").partition(".")[0]
    return f"this {how_to_get(package)}" if package in EXTRAS else ""
