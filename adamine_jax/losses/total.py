"""The loss that a section of the configuration describes, as one function."""

from typing import Any

import jax
import jax.numpy as jnp

from adamine_jax.losses.base import Metrics, metrics_of
from adamine_jax.losses.registry import build
from adamine_jax.losses.retrieval import RetrievalLoss


def total_loss(
    config: Any,
    image: jax.Array,
    recipe: jax.Array,
    class_id: jax.Array,
    match: jax.Array,
    *,
    image_class_id: jax.Array | None = None,
    image_logits: jax.Array | None = None,
    recipe_logits: jax.Array | None = None,
    params: dict[str, Any] | None = None,
    key: jax.Array | None = None,
) -> tuple[jax.Array, Metrics]:
    """Computes the configured loss of a global batch.

    Args:
        config: The section `config.loss`; see the defaults of its loss.
        image: (B, D) embeddings of the photos, any float type.
        recipe: (B, D) embeddings of the recipes; row i belongs to row i of `image` where `match` is +1.
        class_id: (B,) int, the recipes' classes, 0 = background.
        match: (B,) +1 for a matched pair, −1 for a mismatched one; only matched pairs enter instance losses.
        image_class_id: (B,) int, the photos' classes where they differ (in mismatched pairs).
        image_logits: (B, C) outputs of a classifier for the photos, in place of `params`.
        recipe_logits: (B, C) for the recipes.
        params: The loss's own parameters.
        key: A PRNG key, of what the loss draws; `sampling='random'` must be given one.

    Returns:
        (loss, metrics), scalars in float32 or wider; `metrics` are those that `metric_names` lists.
    """
    loss = build(config)
    class_id, match = jnp.asarray(class_id), jnp.asarray(match)
    embeddings = {"image": image, "recipe": recipe, "has_image": jnp.ones(len(class_id), bool)}
    batch = {"class_id": class_id, "match": match}
    batch["image_class_id"] = class_id if image_class_id is None else jnp.asarray(image_class_id)
    if image_logits is not None and recipe_logits is not None and isinstance(loss, RetrievalLoss):
        return loss.with_logits(embeddings, batch, key, {"image": image_logits, "recipe": recipe_logits})
    if isinstance(loss, RetrievalLoss) and not params:
        return loss.with_logits(embeddings, batch, key, {})
    value, metrics = loss(params or {}, embeddings, batch, key=jax.random.key(0) if key is None else key)
    return value, {"loss": value} | metrics


def metric_names(config: Any) -> tuple[str, ...]:
    """Returns the names of the metrics of a section's loss, `loss` first."""
    loss = build(config)
    params = jax.eval_shape(lambda: loss.init(jax.random.key(0), embedding_dim=8, num_classes=2))
    return metrics_of(loss, params, 8, {})
