"""The pairs of a batch, as contrastive losses see them: which are positives, which are negatives, which are neither."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from adamine_jax.losses.contrastive.sums import Counted
from adamine_jax.losses.distances import normalize, row_similarities, similarities

EXCLUDED = ("none", "class", "duplicates")
_SAMPLE = 512  # rows for the uniformity


class PairBatch(NamedTuple):
    """A batch of pairs.

    Attributes:
        image: (B, D) float32 or wider, rows of unit norm.
        recipe: (B, D), rows of unit norm.
        matched: (B,) bool, whether image and recipe of a row belong together; other rows do not count.
        image_group: (B,) int32. An image and a recipe of different rows and the same group ≥ 0 are not negatives.
        recipe_group: (B,) int32.
    """

    image: jax.Array
    recipe: jax.Array
    matched: jax.Array
    image_group: jax.Array
    recipe_group: jax.Array

    def counted(self, from_recipes: bool = False) -> Counted:
        """Returns the pairs that count, with images in rows, or recipes if `from_recipes`."""
        groups = (self.image_group, self.recipe_group)[:: -1 if from_recipes else 1]
        return Counted(self.matched, self.matched, *groups)

    def geometry(self) -> dict[str, jax.Array]:
        """Returns two metrics of Wang and Isola (*Understanding contrastive representation learning*, ICML 2020).

        `alignment` is the mean squared distance of the pairs; `uniformity` is log E exp(−2 ‖x − y‖²) over pairs of
        images and pairs of recipes, of the matched rows among the first 512: −4 for points spread over a sphere of many
        dimensions, 0 if all are equal.
        """
        weights = self.matched.astype(self.image.dtype)
        distance = 2 - 2 * row_similarities(self.image, self.recipe)
        means = []
        for side in (self.image[:_SAMPLE], self.recipe[:_SAMPLE]):
            pairs = (weights[:_SAMPLE, None] * weights[:_SAMPLE]) * (1 - jnp.eye(len(side), dtype=side.dtype))
            kernel = jnp.exp(-2 * (2 - 2 * similarities(side, side)))
            means.append(jnp.sum(kernel * pairs) / jnp.maximum(jnp.sum(pairs), 1))
        uniformity = jnp.log(jnp.maximum((means[0] + means[1]) / 2, 1e-30))
        alignment = jnp.sum(distance * weights) / jnp.maximum(jnp.sum(weights), 1)
        return jax.lax.stop_gradient({"alignment": alignment, "uniformity": uniformity})


def pair_batch(embeddings: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], exclude: str = "none") -> PairBatch:
    """Makes the pairs of a batch.

    Args:
        embeddings: `image` and `recipe`; see `Loss.__call__`.
        batch: See `Loss.__call__`.
        exclude: Which pairs are not used as negatives: those of one 'class', 'duplicates' (of one `batch["group"]`), or
            'none'.
    """
    dtype = jnp.result_type(embeddings["image"], embeddings["recipe"])
    image, recipe = (normalize(jnp.asarray(embeddings[name]).astype(dtype)) for name in ("image", "recipe"))
    groups = groups_of(batch, exclude)
    return PairBatch(image, recipe, jnp.asarray(batch["match"]) > 0, groups["image"], groups["recipe"])


def groups_of(batch: Mapping[str, jax.Array], exclude: str) -> dict[str, jax.Array]:
    """Returns the (B,) int32 groups of the images and the recipes of a batch; −1 = no group. See `pair_batch`."""
    if exclude == "class":  # the background, 0, is no class
        names = {"image": "image_class_id", "recipe": "class_id"}
        return {side: jnp.asarray(batch[name], jnp.int32) - 1 for side, name in names.items()}
    none = jnp.full(len(batch["match"]), -1, jnp.int32)
    return dict.fromkeys(("image", "recipe"), jnp.asarray(batch["group"]) if exclude == "duplicates" else none)
