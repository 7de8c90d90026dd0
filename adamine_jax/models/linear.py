"""The fully connected layer, with PyTorch's initial values."""

import math

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from adamine_jax.models import initial


class Linear(nn.Module):
    """x · kernel + bias, both from U(±1/√fan_in), computed in the parameters' precision.

    The layers it is used for (one at the end of each tower, the classifier) are small and decide similarities, so
    they stay in float32 whatever the towers compute in.

    Attributes:
        features: length of the output.
        param_dtype: of `kernel` (D, features) and `bias` (features,), and of the result.
    """

    features: int
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """Maps (B, D), any floating dtype, to (B, features) of `param_dtype`."""
        init = initial.uniform(1 / math.sqrt(x.shape[-1]))
        kernel = self.param("kernel", init, (x.shape[-1], self.features), self.param_dtype)
        bias = self.param("bias", init, (self.features,), self.param_dtype)
        return x.astype(self.param_dtype) @ kernel + bias
