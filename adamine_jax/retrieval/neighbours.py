"""Hard negatives: the recipes that are most similar to a photo and yet not a match for it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

CANDIDATES = 16
"""Neighbours that training stores for each recipe; a group takes the nearest ones that no other group has."""
_BLOCK = 256
"""Photos compared at a time: with 238,408 recipes their similarities take 233 MiB."""


def near_negatives(image: np.ndarray, recipe: np.ndarray, group: np.ndarray, *, margin: float, top: int) -> np.ndarray:
    """Returns the recipes that are most similar to each photo, without those that may be matches.

    A recipe is left out if its text is that of the photo's own recipe, and if it is nearly as similar as the own recipe
    or more similar: s(i, j) ≥ margin · s(i, i). Such recipes are often unlabelled matches (Moreira et al.,
    *NV-Retriever*, 2024, "positive-aware" mining).

    Similarities are computed at the highest matmul precision on JAX's default device, so the result does not depend on
    the number of devices.

    Args:
        image: (N, D) float32 unit rows, the embeddings of photos.
        recipe: (N, D) float32 unit rows, the embeddings of their recipes.
        group: (N,) int32 ≥ 0, the same number for recipes of the same text; −1 = the record is not used.
        margin: Largest share of the own recipe's similarity that a negative may have, exclusive.
        top: Number of recipes K for each photo.

    Returns:
        (N, K) int32 rows of `recipe`, the most similar first; −1 where there are fewer.
    """
    count = len(image)
    found = np.full((count, top), -1, np.int32)
    recipes, groups = jax.device_put((np.asarray(recipe, np.float32), np.asarray(group, np.int32)))
    for start in range(0, count, _BLOCK):
        own = np.minimum(np.arange(start, start + _BLOCK), count - 1)  # the last block repeats the last photo
        photos = jnp.asarray(image[own], jnp.float32)
        rows = np.asarray(_block(photos, own, recipes, groups, margin, min(top, count)))
        found[start : start + _BLOCK, : rows.shape[1]] = rows[: count - start]
    return found


@functools.partial(jax.jit, static_argnames="top")
def _block(
    photos: jax.Array, own: np.ndarray, recipes: jax.Array, groups: jax.Array, margin: float, top: int
) -> jax.Array:
    """Returns the (b, top) most similar negatives of (b, D) photos, whose recipes are the rows `own` (b,)."""
    similarities = jnp.matmul(photos, recipes.T, precision=jax.lax.Precision.HIGHEST)
    positive = jnp.take_along_axis(similarities, own[:, None], axis=1)
    is_used = (groups >= 0) & (groups[own] >= 0)[:, None]
    is_negative = is_used & (groups != groups[own][:, None]) & (similarities < margin * positive)
    nearest, rows = jax.lax.top_k(jnp.where(is_negative, similarities, -jnp.inf), top)
    return jnp.where(jnp.isfinite(nearest), rows, -1)
