"""The training loss: a pure function of the global batch's embeddings."""

from adamine_jax.losses.total import metric_names, total_loss

__all__ = ["metric_names", "total_loss"]
