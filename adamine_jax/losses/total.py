"""The training loss that the configuration asks for."""

import jax
import jax.numpy as jnp

from adamine_jax.losses.classification import classification_loss
from adamine_jax.losses.distances import normalize
from adamine_jax.losses.lifted import lifted_loss
from adamine_jax.losses.pairwise import pairwise_loss
from adamine_jax.losses.triplet import INSTANCE_STRATEGIES, SEMANTIC_STRATEGIES, Pairs, aggregate, strategy_costs

NAMES = ("triplet", "pairwise", "pairwise_plus")
STRATEGIES = (*INSTANCE_STRATEGIES, *SEMANTIC_STRATEGIES, "LIFT")

Metrics = dict[str, jax.Array]


def total_loss(
    config,
    image: jax.Array,
    recipe: jax.Array,
    class_id: jax.Array,
    match: jax.Array,
    *,
    image_class_id: jax.Array | None = None,
    image_logits: jax.Array | None = None,
    recipe_logits: jax.Array | None = None,
    key: jax.Array | None = None,
) -> tuple[jax.Array, Metrics]:
    """The loss of a global batch, (1 − 2w) · retrieval + w · (CE(image) + CE(recipe)), w the classifier's weight.

    The retrieval part of 'triplet' is Σ_s weight_s · loss_s / number of strategies. Under `jax.jit` on a mesh the
    arrays are global whatever their sharding, so that one device and many compute the same loss and the same gradient.
    An embedding that is not finite makes the loss NaN.

    Args:
        config: `config.loss`, see `configs/adamine.py`.
        image: (B, D) embeddings of the photos, any float type.
        recipe: (B, D) embeddings of the recipes; row i belongs to row i of `image` where `match` is +1.
        class_id: (B,) int, the recipes' classes, 0 = background.
        match: (B,) +1 for a matched pair, −1 for a mismatched one; only matched pairs enter instance losses.
        image_class_id: (B,) int, the photos' classes where they differ (in mismatched pairs).
        image_logits: (B, C) classifier outputs of the photos, read where `classifier_weight` is not 0.
        recipe_logits: (B, C) of the recipes.
        key: of the negatives drawn with `sampling` 'random'.

    Returns:
        (loss, metrics): scalars in float32 or wider; `metrics` are those that `metric_names` lists.
    """
    class_id = jnp.asarray(class_id)
    image_class_id = class_id if image_class_id is None else jnp.asarray(image_class_id)
    dtype = jnp.result_type(image, recipe)
    image, recipe = (normalize(jnp.asarray(side).astype(dtype)) for side in (image, recipe))
    matched = jnp.asarray(match) > 0
    if config.name == "triplet":
        pairs = Pairs({"I": image, "R": recipe}, {"I": image_class_id, "R": class_id}, matched)
        loss, metrics = _of_strategies(config, pairs, key)
    else:
        # Cosine embedding loss, or, with margins on both sides, the paper's PWC++.
        margins = (0.0, 1 - config.margin) if config.name == "pairwise" else (config.margin, config.negative_margin)
        positive_margin, negative_margin = margins
        loss, bad_pairs = pairwise_loss(
            image, recipe, matched, positive_margin=positive_margin, negative_margin=negative_margin
        )
        metrics = {"bad_pairs": bad_pairs}
    if config.classifier_weight:
        if image_logits is None or recipe_logits is None:
            raise ValueError("loss.classifier_weight is not 0: total_loss needs image_logits and recipe_logits")
        of_classes = {
            "loss_class_image": classification_loss(image_logits, image_class_id, config.keep_background),
            "loss_class_recipe": classification_loss(recipe_logits, class_id, config.keep_background),
        }
        metrics |= {"loss_retrieval": loss} | of_classes
        weight = config.classifier_weight
        loss = (1 - 2 * weight) * loss + weight * sum(of_classes.values())
    # Comparisons with NaN are false: without this a broken embedding would look like triplets that cost nothing.
    loss = jnp.where(jnp.isfinite(jnp.sum(image) + jnp.sum(recipe)), loss, jnp.nan)
    return loss, {"loss": loss} | metrics


def metric_names(config) -> tuple[str, ...]:
    """The metrics of `total_loss`: `loss`, `bad_pairs` (the mean over the strategies), the parts of the loss.

    For each strategy these are `loss_<STRATEGY>`, its weight included, and `bad_pairs_<STRATEGY>`; with a classifier
    `loss_retrieval`, `loss_class_image` and `loss_class_recipe`, all without the weights.
    """
    strategies = config.strategies if config.name == "triplet" else ()
    each = [f"{name}_{strategy}" for strategy in strategies for name in ("loss", "bad_pairs")]
    classifier = ("loss_retrieval", "loss_class_image", "loss_class_recipe") if config.classifier_weight else ()
    return ("loss", "bad_pairs", *each, *classifier)


def _of_strategies(config, pairs: Pairs, key: jax.Array | None) -> tuple[jax.Array, Metrics]:
    reduced = {
        strategy: aggregate(costs, config.aggregation) for strategy, costs in strategy_costs(config, pairs, key).items()
    }
    if "LIFT" in config.strategies:
        image, recipe = pairs.embeddings["I"], pairs.embeddings["R"]
        reduced["LIFT"] = lifted_loss(image, recipe, pairs.matched, config.margin, config.lifted_published_scale)
    metrics = {}
    for strategy, weight in zip(config.strategies, config.weights, strict=True):
        loss, bad_pairs = reduced[strategy]
        metrics |= {f"loss_{strategy}": weight * loss, f"bad_pairs_{strategy}": bad_pairs}
    count = len(config.strategies)
    metrics["bad_pairs"] = sum(metrics[f"bad_pairs_{strategy}"] for strategy in config.strategies) / count
    return sum(metrics[f"loss_{strategy}"] for strategy in config.strategies) / count, metrics
