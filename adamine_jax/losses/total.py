"""The weighted sum of the configured strategies."""

import jax
import jax.numpy as jnp

from adamine_jax.losses import triplet
from adamine_jax.losses.distances import cosine_distances, normalize


def total_loss(
    config,
    image: jax.Array,
    recipe: jax.Array,
    class_id: jax.Array,
    match: jax.Array,
    *,
    image_class_id: jax.Array | None = None,
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Σ_s weight_s · loss_s / number of strategies, over the global batch.

    Under `jax.jit` on a mesh the arrays are global whatever their sharding, so that one device and many compute
    the same loss and the same gradient.

    Args:
        config: `config.loss`; reads `strategies`, `weights`, `margin`, `num_negatives` and `aggregation`.
        image: (B, D) embeddings of the photos, any float type.
        recipe: (B, D) embeddings of the recipes; row i belongs to row i of `image` where `match` is +1.
        class_id: (B,) int, the recipes' classes, 0 = background.
        match: (B,) +1 for a matched pair, −1 for a mismatched one; only matched pairs enter instance losses.
        image_class_id: (B,) int, the photos' classes where they differ (in mismatched pairs).

    Returns:
        (loss, metrics): scalars in float32 or wider. `metrics` has `loss`, `bad_pairs` (the mean over the
        strategies) and for each strategy `loss_<STRATEGY>`, its weight included, and `bad_pairs_<STRATEGY>`.
    """
    embeddings = {"I": normalize(image), "R": normalize(recipe)}
    classes = {"I": class_id if image_class_id is None else image_class_id, "R": class_id}
    matched = match > 0
    distances: dict[str, jax.Array] = {}

    def distance(anchor: str, candidate: str) -> jax.Array:
        """(B, B) distances between two modalities; each matrix product is made once."""
        if candidate + anchor in distances:
            return distances[candidate + anchor].T
        if anchor + candidate not in distances:
            distances[anchor + candidate] = cosine_distances(embeddings[anchor], embeddings[candidate])
        return distances[anchor + candidate]

    losses, bad_pairs = {}, {}
    for strategy, weight in zip(config.strategies, config.weights, strict=True):
        anchor, positive, negative = strategy[-3:]
        if strategy in triplet.INSTANCE_STRATEGIES:
            to_match = jnp.diagonal(distance(anchor, positive))
            costs = triplet.instance_costs(to_match, distance(anchor, negative), matched, config.margin)
        else:
            costs = triplet.semantic_costs(
                distance(anchor, positive),
                distance(anchor, negative),
                classes[anchor],
                classes[positive],
                classes[negative],
                config.margin,
            )
        if config.num_negatives is not None:
            costs = triplet.hardest(costs, config.num_negatives)
        loss, bad_pairs[strategy] = triplet.aggregate(costs, config.aggregation)
        losses[strategy] = weight * loss

    loss = sum(losses.values()) / len(losses)
    metrics = {"loss": loss, "bad_pairs": sum(bad_pairs.values()) / len(bad_pairs)}
    metrics |= {f"loss_{strategy}": value for strategy, value in losses.items()}
    metrics |= {f"bad_pairs_{strategy}": value for strategy, value in bad_pairs.items()}
    return loss, metrics
