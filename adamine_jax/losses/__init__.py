"""The training loss: a pure function of the global batch's embeddings."""

from adamine_jax.losses.total import total_loss

__all__ = ["total_loss"]
