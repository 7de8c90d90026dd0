"""Base class of the published losses: a retrieval loss with an optional classifier."""

import abc
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import ml_collections
import optax

from adamine_jax.base.rules import BOOLEAN, Rule, share
from adamine_jax.losses.anchors import BACKGROUND
from adamine_jax.losses.base import Loss, Metrics, Params


class RetrievalLoss(Loss):
    """Computes (1 − 2w) · retrieval + w · (CE(image) + CE(recipe)), where w is `classifier_weight`.

    The classifier is one linear layer for the embeddings of both towers: `classifier` {kernel (D, C), bias (C,)}.
    """

    rules: ClassVar[Mapping[str, Rule]] = {"classifier_weight": share(0.5), "keep_background": BOOLEAN}

    @classmethod
    def defaults(cls) -> ml_collections.ConfigDict:
        loss = ml_collections.ConfigDict()
        loss.classifier_weight = 0.0  # w in (1 − 2w) · retrieval + w · CE(image) + w · CE(recipe); 0 = no classifier
        loss.keep_background = False  # True: the classifier treats the background as a class
        return loss

    @property
    def classes_needed_by(self) -> str:
        return "config.loss.classifier_weight is not 0" if self.config.classifier_weight else ""

    def init(self, key, *, embedding_dim, num_classes):
        """Draws the classifier from PyTorch's U(±1/√D), if `classifier_weight` is not 0."""
        if not self.config.classifier_weight:
            return {}
        bound, (kernel_key, bias_key) = embedding_dim**-0.5, jax.random.split(key)
        kernel = jax.random.uniform(kernel_key, (embedding_dim, num_classes), minval=-bound, maxval=bound)
        bias = jax.random.uniform(bias_key, (num_classes,), minval=-bound, maxval=bound)
        return {"classifier": {"kernel": kernel, "bias": bias}}

    def __call__(self, params, embeddings, batch, *, key):
        has_image = embeddings["has_image"]
        # A row without an image does not match and has no image class. Its image embedding may be anything, even NaN.
        embeddings = {**embeddings, "image": jnp.where(has_image[:, None], embeddings["image"], 0)}
        batch = {
            **batch,
            "match": jnp.where(has_image, batch["match"], -1),
            "image_class_id": jnp.where(has_image, batch["image_class_id"], BACKGROUND),
        }
        logits = {}
        if self.config.classifier_weight:
            kernel, bias = params["classifier"]["kernel"], params["classifier"]["bias"]
            logits = {modality: embeddings[modality] @ kernel + bias for modality in ("image", "recipe")}
        return self.with_logits(params, embeddings, batch, key, logits)

    def with_logits(
        self,
        params: Params,
        embeddings: Mapping[str, jax.Array],
        batch: Mapping[str, jax.Array],
        key: jax.Array | None,
        logits: Mapping[str, jax.Array],
    ) -> tuple[jax.Array, Metrics]:
        """Computes the loss from embeddings and the classifier's (B, C) outputs for each modality.

        A row without an image has a zero image, `match` −1 and the background as `image_class_id`.

        Raises:
            ValueError: `classifier_weight` is not 0 and `logits` is empty.
        """
        loss, metrics = self.retrieval(params, embeddings, batch, key)
        weight, keep = self.config.classifier_weight, self.config.keep_background
        if not weight:
            return loss, metrics
        if not logits:
            raise ValueError("loss.classifier_weight is not 0: pass image_logits and recipe_logits")
        image_loss = classification_loss(logits["image"], batch["image_class_id"], keep, embeddings["has_image"])
        recipe_loss = classification_loss(logits["recipe"], batch["class_id"], keep)
        classifier = {"loss_class_image": image_loss, "loss_class_recipe": recipe_loss}
        total = (1 - 2 * weight) * loss + weight * (image_loss + recipe_loss)
        return total, {**metrics, "loss_retrieval": loss, **classifier, "loss": total}

    @abc.abstractmethod
    def retrieval(
        self,
        params: Params,
        embeddings: Mapping[str, jax.Array],
        batch: Mapping[str, jax.Array],
        key: jax.Array | None,
    ) -> tuple[jax.Array, Metrics]:
        """Computes the retrieval loss and its metrics, including `loss`; see `with_logits`.

        `params` are those that `init` drew.
        """


def classification_loss(
    logits: jax.Array, class_id: jax.Array, keep_background: bool = False, is_counted: jax.Array | None = None
) -> jax.Array:
    """Computes the mean cross-entropy over the classed items of a batch; 0 if there are none.

    Args:
        logits: (B, C) of any floating dtype.
        class_id: (B,) int in [0, C), 0 = background.
        keep_background: Whether the background counts as a class.
        is_counted: (B,) bool, the rows to average over; None means all.

    Returns:
        A scalar, float32 or wider.
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    counted = jnp.ones_like(class_id, bool) if keep_background else class_id != BACKGROUND
    counted = counted if is_counted is None else counted & is_counted
    entropy = optax.losses.softmax_cross_entropy_with_integer_labels(logits, class_id)
    return jnp.sum(jnp.where(counted, entropy, 0)) / jnp.maximum(jnp.sum(counted, dtype=logits.dtype), 1)


def nan_if_not_finite(loss: jax.Array, *embeddings: jax.Array) -> jax.Array:
    """Returns the loss, or NaN if an embedding is not finite.

    Comparisons with NaN are false, so without this a NaN embedding would look like satisfied triplets.
    """
    return jnp.where(jnp.isfinite(sum(jnp.sum(x) for x in embeddings)), loss, jnp.nan)
