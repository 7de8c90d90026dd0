"""Transformer layers, the same ones for photos and for text.

The parameters of all layers are stacked, and `jax.lax.scan` runs over them, so that a model of 24 layers compiles as
fast as one of two. Vaswani et al., *Attention Is All You Need* (NeurIPS 2017).
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

ACTIVATIONS: Mapping[str, Callable[[jax.Array], jax.Array]] = {
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": jax.nn.gelu,
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "relu": jax.nn.relu,
}


@dataclasses.dataclass(frozen=True)
class Layers:
    """Sizes and form of a stack of layers.

    Attributes:
        width: D, length of a token's vector.
        depth: L, number of layers.
        heads: Number of attention heads, which divides `width`.
        mlp: Length of the hidden vector of the MLP.
        activation: A key of `ACTIVATIONS`.
        eps: Added to the variance in LayerNorm.
        post_norm: Whether the norms follow the residual sums, as in BERT, instead of preceding attention and MLP.
        layer_scale: Whether attention and MLP are multiplied by learned vectors, as in DINOv2.
    """

    width: int
    depth: int
    heads: int
    mlp: int
    activation: str = "gelu"
    eps: float = 1e-6
    post_norm: bool = False
    layer_scale: bool = False


class Transformer(nn.Module):
    """A stack of transformer layers.

    Parameters, each with a leading axis of L layers: `{qkv,out,up,down}_kernel` (L, inputs, outputs) and `…_bias`;
    `{norm1,norm2}_scale` and `…_bias` (L, D); with `layer_scale` also `scale1` and `scale2` (L, D).

    Attributes:
        layers: Sizes and form.
        remat: Whether to recompute a layer's activations in the backward pass instead of keeping them.
        dtype: Dtype of the computation; the norms and the softmax are computed in float32 at least.
        param_dtype: Dtype of the parameters.
    """

    layers: Layers
    remat: bool = False
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    def setup(self):
        sizes = self.layers
        width, mlp = sizes.width, sizes.mlp
        shapes = {"qkv": (width, 3 * width), "out": (width, width), "up": (width, mlp), "down": (mlp, width)}
        stacked = {name: self._dense(name, shape) for name, shape in shapes.items()}
        stacked |= {name: self._norm(name) for name in ("norm1", "norm2")}
        if sizes.layer_scale:
            stacked |= {name: self._full(name, 1e-5, width) for name in ("scale1", "scale2")}
        self.stacked = stacked

    def __call__(self, x: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Maps the vectors of tokens (B, T, D) to (B, T, D).

        Args:
            x: Vectors of the tokens.
            mask: (B, T, T) bool, True where the query token (axis 1) attends to the key token (axis 2); None = no mask.
        """

        def step(x: jax.Array, params: Mapping[str, Any]) -> tuple[jax.Array, None]:
            return _layer(params, x, mask, self.layers, self.dtype), None

        # Attention and element-wise operations are always recomputed: gradients of a ViT-B/16 on a CPU take a tenth
        # less time than with stored results, and attention needs the memory of one layer only.
        policy = None if self.remat else jax.checkpoint_policies.dots_with_no_batch_dims_saveable
        return jax.lax.scan(jax.checkpoint(step, policy=policy), x.astype(self.dtype), self.stacked)[0]

    def _dense(self, name: str, shape: tuple[int, int]) -> dict[str, jax.Array]:
        init, depth = nn.initializers.truncated_normal(0.02), self.layers.depth
        kernel = self.param(f"{name}_kernel", init, (depth, *shape), self.param_dtype)
        return {"kernel": kernel, "bias": self._full(f"{name}_bias", 0.0, shape[1])}

    def _norm(self, name: str) -> dict[str, jax.Array]:
        width = self.layers.width
        return {"scale": self._full(f"{name}_scale", 1.0, width), "bias": self._full(f"{name}_bias", 0.0, width)}

    def _full(self, name: str, value: float, length: int) -> jax.Array:
        return self.param(name, nn.initializers.constant(value), (self.layers.depth, length), self.param_dtype)


def layer_norm(x: jax.Array, params: Mapping[str, jax.Array], eps: float) -> jax.Array:
    """Normalises the last axis of x (…, D) in float32 or higher; `params` are `scale` and `bias` (D,)."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = jnp.mean(wide, axis=-1, keepdims=True)
    variance = jnp.mean(jnp.square(wide - mean), axis=-1, keepdims=True)
    return ((wide - mean) * jax.lax.rsqrt(variance + eps) * params["scale"] + params["bias"]).astype(x.dtype)


def attend(q: jax.Array, k: jax.Array, v: jax.Array, heads: int, mask: jax.Array | None) -> jax.Array:
    """Attention of queries (B, T, D) to keys and values (B, S, D) with a mask (B, T, S); returns (B, T, D)."""
    split = [x.reshape(*x.shape[:2], heads, -1) for x in (q, k, v)]
    mask = None if mask is None else mask[:, None]
    return jax.nn.dot_product_attention(*split, mask=mask).reshape(q.shape)


def dense(x: jax.Array, params: Mapping[str, jax.Array]) -> jax.Array:
    """Computes x · kernel + bias in the dtype of x; x is (…, I), kernel (I, O) and bias (O,)."""
    return x @ params["kernel"].astype(x.dtype) + params["bias"].astype(x.dtype)


def mlp(x: jax.Array, up: Mapping[str, jax.Array], down: Mapping[str, jax.Array], activation: str) -> jax.Array:
    """Applies an MLP with one hidden layer to x (…, D).

    Args:
        x: Inputs.
        up: `kernel` (D, H) and `bias` (H,).
        down: `kernel` (H, D) and `bias` (D,).
        activation: A key of `ACTIVATIONS`.

    Returns:
        (…, D) of the dtype of x.
    """
    return dense(ACTIVATIONS[activation](dense(x, up)), down)


def _layer(
    params: Mapping[str, Any], x: jax.Array, mask: jax.Array | None, layers: Layers, dtype: DTypeLike
) -> jax.Array:
    def norm(x: jax.Array, name: str) -> jax.Array:
        return layer_norm(x, params[name], layers.eps)

    def attention(x: jax.Array) -> jax.Array:
        q, k, v = jnp.split(dense(x, params["qkv"]), 3, axis=-1)
        return scaled(dense(attend(q, k, v, layers.heads, mask), params["out"]), "scale1")

    def hidden(x: jax.Array) -> jax.Array:
        return scaled(mlp(x, params["up"], params["down"], layers.activation), "scale2")

    def scaled(x: jax.Array, name: str) -> jax.Array:
        return x * params[name].astype(dtype) if layers.layer_scale else x

    if layers.post_norm:
        x = norm(x + attention(x), "norm1")
        return norm(x + hidden(x), "norm2")
    x = x + attention(norm(x, "norm1"))
    return x + hidden(norm(x, "norm2"))
