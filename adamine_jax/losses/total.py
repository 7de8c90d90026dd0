"""The loss of a config section as one function."""

from typing import Any

import jax
import jax.numpy as jnp

from adamine_jax.losses.base import Loss, Metrics, metrics_of
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
    group: jax.Array | None = None,
    key: jax.Array | None = None,
) -> tuple[jax.Array, Metrics]:
    """Computes the configured loss of a global batch.

    Args:
        config: The section `config.loss`; see the `defaults` of the loss it names.
        image: (B, D) image embeddings of any floating dtype.
        recipe: (B, D) recipe embeddings; row i belongs to row i of `image` if `match` is +1.
        class_id: (B,) int, classes of the recipes, 0 = background.
        match: (B,) +1 for a matched pair, −1 for a mismatched one; only matched pairs enter instance losses.
        image_class_id: (B,) int, classes of the images if they differ, as they do in mismatched pairs.
        image_logits: (B, C) outputs of a classifier for the images, instead of `params`.
        recipe_logits: (B, C) outputs of a classifier for the recipes.
        params: The loss's own parameters.
        group: (B,) int, the same number for recipes of the same text, for `exclude='duplicates'`; None = all differ.
        key: A PRNG key; required by `sampling='random'`.

    Returns:
        (loss, metrics), scalars in float32 or wider; `metric_names` lists the metrics.
    """
    loss = build(config)
    _check_params(loss, params, image.shape[-1])
    class_id, match = jnp.asarray(class_id), jnp.asarray(match)
    embeddings = {"image": image, "recipe": recipe, "has_image": jnp.ones(len(class_id), bool)}
    batch = {"class_id": class_id, "match": match}
    batch["group"] = jnp.arange(len(class_id), dtype=jnp.int32) if group is None else jnp.asarray(group, jnp.int32)
    batch["image_class_id"] = class_id if image_class_id is None else jnp.asarray(image_class_id)
    if image_logits is not None and recipe_logits is not None and isinstance(loss, RetrievalLoss):
        return loss.with_logits(params or {}, embeddings, batch, key, {"image": image_logits, "recipe": recipe_logits})
    if isinstance(loss, RetrievalLoss) and not params:
        return loss.with_logits({}, embeddings, batch, key, {})
    value, metrics = loss(params or {}, embeddings, batch, key=jax.random.key(0) if key is None else key)
    return value, {"loss": value} | metrics


def _check_params(loss: Loss, params: dict[str, Any] | None, dim: int) -> None:
    """Raises a `ValueError` if the loss has parameters besides the classifier and they are not given."""
    drawn = jax.eval_shape(lambda: loss.init(jax.random.key(0), embedding_dim=dim, num_classes=2))
    if missing := set(drawn) - set(params or {}) - {"classifier"}:
        raise ValueError(f"the loss has parameters, {', '.join(sorted(missing))}: pass those of `init` as `params`")


def metric_names(config: Any) -> tuple[str, ...]:
    """Returns the metric names of a section's loss, `loss` first."""
    loss = build(config)
    params = jax.eval_shape(lambda: loss.init(jax.random.key(0), embedding_dim=8, num_classes=2))
    return metrics_of(loss, params, 8, {})
