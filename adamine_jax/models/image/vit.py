"""Vision transformers: plain ViT and DeiT, CLIP, SigLIP, DINOv2.

Dosovitskiy et al., *An Image Is Worth 16x16 Words* (ICLR 2021). The families differ in their tokens, in the place of
the norms and in how the tokens become one vector.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen.initializers import truncated_normal
from jax.typing import DTypeLike

from adamine_jax.models.transformer import Layers, Transformer, attend, dense, layer_norm, mlp


@dataclasses.dataclass(frozen=True)
class Form:
    """Sizes and form of a vision transformer.

    Attributes:
        layers: Sizes of the layers.
        patch: P, height and width of a patch in pixels.
        class_tokens: Number of learned tokens before the patches that have positions: 0, 1, or 2 (distilled DeiT).
        registers: Number of learned tokens without positions (DINOv2).
        patch_bias: Whether the embedding of the patches has a bias.
        pre_norm: Whether a LayerNorm precedes the layers (CLIP).
        pool: 'class' (the first token), 'mean' (of the patches) or 'attention' (a learned query, as in SigLIP).
        projection: Length of a final linear projection without bias; 0 = none.
    """

    layers: Layers
    patch: int
    class_tokens: int = 1
    registers: int = 0
    patch_bias: bool = True
    pre_norm: bool = False
    pool: str = "class"
    projection: int = 0

    @property
    def feature_dim(self) -> int:
        """Length of the vector of an image."""
        return self.projection or self.layers.width


class ViT(nn.Module):
    """A vision transformer up to one vector per image.

    Attributes:
        form: Sizes and form.
        remat, dtype, param_dtype: See `transformer.Transformer`.
    """

    form: Form
    remat: bool = False
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, images: jax.Array) -> jax.Array:
        """Maps normalised images (B, S, S, 3), where P divides S, to (B, form.feature_dim) of `param_dtype`."""
        form = self.form
        x = self._embed(images)
        x = Transformer(form.layers, self.remat, self.dtype, self.param_dtype, name="transformer")(x)
        post_norm = self._norm("post_norm")
        if form.pool == "attention":
            pooled = self._attention_pooling(self._normed(x, post_norm))
        elif form.pool == "mean":
            pooled = self._normed(x[:, form.class_tokens + form.registers :].mean(axis=1), post_norm)
        else:
            pooled = self._normed(x[:, 0], post_norm)
        pooled = pooled.astype(self.param_dtype)
        if form.projection:
            pooled = pooled @ self._dense("projection", (form.layers.width, form.projection), has_bias=False)["kernel"]
        return pooled

    def _embed(self, images: jax.Array) -> jax.Array:
        """Maps images (B, S, S, 3) to the vectors (B, T, D) of the class tokens, the registers and the patches."""
        form, batch, grid = self.form, len(images), images.shape[1] // self.form.patch
        width, pixels = form.layers.width, 3 * form.patch**2
        patches = images.astype(self.dtype).reshape(batch, grid, form.patch, grid, form.patch, 3)
        patches = patches.transpose(0, 1, 3, 2, 4, 5).reshape(batch, grid**2, pixels)
        embedding = self._dense("patches", (pixels, width), has_bias=form.patch_bias)
        x = dense(patches, embedding) if form.patch_bias else patches @ embedding["kernel"].astype(self.dtype)

        def rows(name: str, count: int) -> jax.Array:
            return jnp.broadcast_to(self._tokens(name, count).astype(self.dtype), (batch, count, width))

        count = form.class_tokens
        if count:
            x = jnp.concatenate([rows("class_tokens", count), x], axis=1)
        x = x + self._tokens("positions", grid**2 + count).astype(self.dtype)
        if form.registers:
            x = jnp.concatenate([x[:, :count], rows("registers", form.registers), x[:, count:]], axis=1)
        return self._normed(x, self._norm("pre_norm")) if form.pre_norm else x

    def _attention_pooling(self, x: jax.Array) -> jax.Array:
        """SigLIP's head: one learned query attends to all tokens (B, T, D), then an MLP; returns (B, D)."""
        sizes = self.form.layers
        width = sizes.width
        qkv = self._dense("pool_qkv", (width, 3 * width))
        kernels, biases = jnp.split(qkv["kernel"], 3, axis=-1), jnp.split(qkv["bias"], 3)
        learned = self._tokens("pool_query", 1).astype(x.dtype)
        query, keys, values = (
            dense(tokens, {"kernel": kernel, "bias": bias})
            for tokens, kernel, bias in zip((learned, x, x), kernels, biases, strict=True)
        )
        query = jnp.broadcast_to(query, (len(x), 1, width))
        pooled = dense(attend(query, keys, values, sizes.heads, None), self._dense("pool_out", (width, width)))
        up, down = self._dense("pool_up", (width, sizes.mlp)), self._dense("pool_down", (sizes.mlp, width))
        hidden = self._normed(pooled, self._norm("pool_norm"))
        return (pooled + mlp(hidden, up, down, sizes.activation))[:, 0]

    def _normed(self, x: jax.Array, norm: dict[str, jax.Array]) -> jax.Array:
        return layer_norm(x, norm, self.form.layers.eps)

    def _tokens(self, name: str, count: int) -> jax.Array:
        return self.param(name, truncated_normal(0.02), (count, self.form.layers.width), self.param_dtype)

    def _dense(self, name: str, shape: tuple[int, int], has_bias: bool = True) -> dict[str, jax.Array]:
        layer = {"kernel": self.param(f"{name}_kernel", truncated_normal(0.02), shape, self.param_dtype)}
        if has_bias:
            layer["bias"] = self.param(f"{name}_bias", nn.initializers.zeros, (shape[1],), self.param_dtype)
        return layer

    def _norm(self, name: str) -> dict[str, jax.Array]:
        width = (self.form.layers.width,)
        scale = self.param(f"{name}_scale", nn.initializers.ones, width, self.param_dtype)
        return {"scale": scale, "bias": self.param(f"{name}_bias", nn.initializers.zeros, width, self.param_dtype)}


def resized_positions(positions: np.ndarray, grid: int, kernel: str = "bicubic") -> np.ndarray:
    """Interpolates the position embeddings of a square grid of patches, as `torch.nn.functional.interpolate` does.

    Args:
        positions: (n · n, D) position embeddings of the patches, row by row.
        grid: G, number of patches along each side of the new grid.
        kernel: 'bicubic', 'antialiased bicubic' or 'antialiased bilinear'; each model's own code uses one of them.

    Returns:
        (G · G, D) of the dtype of `positions`; `positions` itself if n = G.
    """
    before = round(len(positions) ** 0.5)
    if before == grid:
        return positions
    weights = {
        "bicubic": lambda: _repeated_border(before, grid),
        "antialiased bicubic": lambda: _antialiased(before, grid, lambda x: _cubic(x, -0.5), radius=2),
        "antialiased bilinear": lambda: _antialiased(before, grid, lambda x: np.maximum(1 - x, 0), radius=1),
    }[kernel]()
    square = positions.reshape(before, before, -1).astype(np.float64)
    resized = np.einsum("ai,bj,ijd->abd", weights, weights, square)
    return resized.reshape(grid * grid, -1).astype(positions.dtype)


def _cubic(x: np.ndarray, a: float) -> np.ndarray:
    """Returns the cubic convolution kernel at distances x ≥ 0 (Keys, 1981)."""
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _repeated_border(before: int, after: int) -> np.ndarray:
    """Returns the (after, before) weights of cubic convolution; values beyond the border repeat it."""
    centers = (np.arange(after) + 0.5) * before / after - 0.5
    first = np.floor(centers).astype(int)
    weights = np.zeros((after, before))
    for offset in (-1, 0, 1, 2):
        column = np.clip(first + offset, 0, before - 1)
        np.add.at(weights, (np.arange(after), column), _cubic(np.abs(centers - (first + offset)), -0.75))
    return weights


def _antialiased(before: int, after: int, kernel: Callable[[np.ndarray], np.ndarray], radius: int) -> np.ndarray:
    """Returns the (after, before) weights of a kernel that is widened when the grid becomes smaller."""
    scale = max(before / after, 1)
    centers = (np.arange(after) + 0.5) * before / after
    distances = np.abs(np.arange(before) + 0.5 - centers[:, None]) / scale
    weights = np.where(distances < radius, kernel(distances), 0)
    return weights / weights.sum(axis=1, keepdims=True)
