"""Text encoders: BERT and its relatives, and the text parts of CLIP and SigLIP."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax.linen.initializers import truncated_normal
from jax.typing import DTypeLike

from adamine_jax.models.recipe.segments import attention_mask, encode_by_length, pooling_weights, positions_of
from adamine_jax.models.transformer import Layers, Transformer, layer_norm


@dataclasses.dataclass(frozen=True)
class Form:
    """Sizes and form of a text encoder.

    Attributes:
        layers: Sizes of the layers.
        words: V, number of tokens of the vocabulary.
        positions: P, maximum length of a segment in tokens.
        embedding_norm: Whether a LayerNorm follows the embeddings (BERT).
        final_norm: Whether a LayerNorm follows the layers (CLIP, SigLIP).
        causal: Whether tokens attend to earlier ones only (CLIP).
        pool: 'mean' of a segment's tokens, its 'first' or its 'last' token.
        projection: Length of a final linear projection; 0 = none.
        projection_bias: Whether that has a bias.
    """

    layers: Layers
    words: int
    positions: int
    embedding_norm: bool = False
    final_norm: bool = True
    causal: bool = False
    pool: str = "mean"
    projection: int = 0
    projection_bias: bool = False

    @property
    def feature_dim(self) -> int:
        """Length of the vector of a segment."""
        return self.projection or self.layers.width


class TextTransformer(nn.Module):
    """Maps segments of tokens to vectors.

    Attributes:
        form: Sizes and form.
        max_segments: S, maximum number of segments of a row.
        remat, dtype, param_dtype: See `transformer.Transformer`.
    """

    form: Form
    max_segments: int
    remat: bool = False
    dtype: DTypeLike = jnp.float32
    param_dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, segments: jax.Array, tokens: jax.Array, keep: jax.Array | None = None) -> jax.Array:
        """Encodes the segments of B rows of T tokens.

        Args:
            segments: (B, T), see `segments.pad_segments`.
            tokens: (B, T) ids.
            keep: (B, T) factors of the tokens' vectors, for dropout of words.

        Returns:
            (B, S, form.feature_dim) of `param_dtype`; zeros where there is no segment.
        """
        form, width = self.form, self.form.layers.width
        words = self.param("words", truncated_normal(0.02), (form.words, width), self.param_dtype)
        positions = self.param("positions", truncated_normal(0.02), (form.positions, width), self.param_dtype)
        # An id outside the table gives NaN, so that tokens of another vocabulary cannot go unnoticed.
        x = jnp.take(words, tokens, axis=0, mode="fill")
        if keep is not None:
            x = x * keep[..., None].astype(x.dtype)
        x = (x + jnp.take(positions, positions_of(segments), axis=0, mode="clip")).astype(self.dtype)
        if form.embedding_norm:
            x = self._normed("embedding_norm", x)
        layers = Transformer(form.layers, self.remat, self.dtype, self.param_dtype, name="transformer")
        x = layers(x, attention_mask(segments, form.causal))
        if form.final_norm:
            x = self._normed("final_norm", x)
        weights = pooling_weights(segments, self.max_segments, form.pool).astype(self.param_dtype)
        pooled = jnp.einsum("bst,btd->bsd", weights, x.astype(self.param_dtype))
        return self._projected(pooled, weights) if form.projection else pooled

    def _projected(self, pooled: jax.Array, weights: jax.Array) -> jax.Array:
        shape = (pooled.shape[-1], self.form.projection)
        pooled = pooled @ self.param("projection_kernel", truncated_normal(0.02), shape, self.param_dtype)
        if not self.form.projection_bias:
            return pooled
        bias = self.param("projection_bias", nn.initializers.zeros, shape[1:], self.param_dtype)
        return pooled + bias * weights.any(axis=-1, keepdims=True)

    def _normed(self, name: str, x: jax.Array) -> jax.Array:
        width = (self.form.layers.width,)
        scale = self.param(f"{name}_scale", nn.initializers.ones, width, self.param_dtype)
        bias = self.param(f"{name}_bias", nn.initializers.zeros, width, self.param_dtype)
        return layer_norm(x, {"scale": scale, "bias": bias}, self.form.layers.eps)


def encode_rows(
    encoder: TextTransformer, segments: jax.Array, tokens: jax.Array, keep: jax.Array | None = None
) -> jax.Array:
    """Calls a submodule in groups of rows of similar length; see `TextTransformer.__call__` and `encode_by_length`."""
    fields = (tokens,) if keep is None else (tokens, keep)
    if encoder.is_initializing():
        return encoder(segments, *fields)
    params, alone = {"params": encoder.variables["params"]}, encoder.clone(parent=None)

    def encode(*rows: jax.Array) -> jax.Array:
        vectors: Any = alone.apply(params, *rows)
        return vectors

    return encode_by_length(encode, segments, *fields)
