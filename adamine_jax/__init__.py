"""AdaMine in JAX: cross-modal retrieval between photos of dishes and their recipes."""

__version__ = "0.1.0"
