"""What the published losses share: a retrieval loss, with a classifier beside it where that has a weight."""

import abc
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import ml_collections

from adamine_jax.base.rules import BOOLEAN, Rule, share
from adamine_jax.losses.anchors import BACKGROUND
from adamine_jax.losses.base import Loss, Metrics
from adamine_jax.losses.classification import classification_loss


class RetrievalLoss(Loss):
    """(1 − 2w) · retrieval + w · (CE(image) + CE(recipe)), w being `classifier_weight`.

    The classifier is a linear layer over both towers' embeddings: `classifier` {kernel (D, C), bias (C,)}.
    """

    rules: ClassVar[Mapping[str, Rule]] = {"classifier_weight": share(0.5), "keep_background": BOOLEAN}

    @classmethod
    def defaults(cls) -> ml_collections.ConfigDict:
        loss = ml_collections.ConfigDict()
        loss.classifier_weight = 0.0  # w in (1 − 2w) · retrieval + w · CE(image) + w · CE(recipe); 0 = no classifier
        loss.keep_background = False  # True: recipes without a class are a class to the classifier
        return loss

    @property
    def classes_needed_by(self) -> str:
        return "config.loss.classifier_weight is not 0" if self.config.classifier_weight else ""

    def init(self, key, *, embedding_dim, num_classes):
        """Draws the classifier from PyTorch's U(±1/√D), where there is one."""
        if not self.config.classifier_weight:
            return {}
        bound, (kernel_key, bias_key) = embedding_dim**-0.5, jax.random.split(key)
        kernel = jax.random.uniform(kernel_key, (embedding_dim, num_classes), minval=-bound, maxval=bound)
        bias = jax.random.uniform(bias_key, (num_classes,), minval=-bound, maxval=bound)
        return {"classifier": {"kernel": kernel, "bias": bias}}

    def __call__(self, params, embeddings, batch, *, key):
        has_image = embeddings["has_image"]
        # A row without a photo is no pair, has no photo of any class, and its image may hold anything.
        embeddings = {**embeddings, "image": jnp.where(has_image[:, None], embeddings["image"], 0)}
        batch = {
            **batch,
            "match": jnp.where(has_image, batch["match"], -1),
            "image_class_id": jnp.where(has_image, batch["image_class_id"], BACKGROUND),
        }
        logits = {}
        if self.config.classifier_weight:
            kernel, bias = params["classifier"]["kernel"], params["classifier"]["bias"]
            logits = {side: embeddings[side] @ kernel + bias for side in ("image", "recipe")}
        return self.with_logits(embeddings, batch, key, logits)

    def with_logits(
        self,
        embeddings: Mapping[str, jax.Array],
        batch: Mapping[str, jax.Array],
        key: jax.Array | None,
        logits: Mapping[str, jax.Array],
    ) -> tuple[jax.Array, Metrics]:
        """Computes the loss, given the classifier's (B, C) outputs of each side, which `classifier_weight` needs.

        A row without a photo has a zero image, does not match, and its photo is of the background.
        """
        loss, metrics = self.retrieval(embeddings, batch, key)
        weight, keep = self.config.classifier_weight, self.config.keep_background
        if not weight:
            return loss, metrics
        if not logits:
            raise ValueError("loss.classifier_weight is not 0: needs image_logits and recipe_logits")
        of_image = classification_loss(logits["image"], batch["image_class_id"], keep, embeddings["has_image"])
        of_recipe = classification_loss(logits["recipe"], batch["class_id"], keep)
        of_classes = {"loss_class_image": of_image, "loss_class_recipe": of_recipe}
        total = (1 - 2 * weight) * loss + weight * (of_image + of_recipe)
        return total, {**metrics, "loss_retrieval": loss, **of_classes, "loss": total}

    @abc.abstractmethod
    def retrieval(
        self, embeddings: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], key: jax.Array | None
    ) -> tuple[jax.Array, Metrics]:
        """Computes the retrieval loss and its metrics, `loss` and `bad_pairs` among them; see `with_logits`."""


def nan_if_broken(loss: jax.Array, *embeddings: jax.Array) -> jax.Array:
    """The loss, or NaN where an embedding is not finite.

    Comparisons with NaN are false: without this a broken embedding would look like triplets that cost nothing.
    """
    return jnp.where(jnp.isfinite(sum(jnp.sum(side) for side in embeddings)), loss, jnp.nan)
