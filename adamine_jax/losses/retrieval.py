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
        image, recipe, has_image = (embeddings[name] for name in ("image", "recipe", "has_image"))
        logits = {}
        if self.config.classifier_weight:
            kernel, bias = params["classifier"]["kernel"], params["classifier"]["bias"]
            logits = {"image_logits": image @ kernel + bias, "recipe_logits": recipe @ kernel + bias}
        return self.total(
            image, recipe, batch["class_id"], batch["match"], batch["image_class_id"], has_image, key, **logits
        )

    def total(
        self,
        image: jax.Array,
        recipe: jax.Array,
        class_id: jax.Array,
        match: jax.Array,
        image_class_id: jax.Array,
        has_image: jax.Array | None,
        key: jax.Array | None,
        image_logits: jax.Array | None = None,
        recipe_logits: jax.Array | None = None,
    ) -> tuple[jax.Array, Metrics]:
        """The loss, given the classifier's (B, C) outputs; the other arguments as in `Loss.__call__`."""
        if has_image is not None:  # a row without a photo is no pair, and has no photo of any class
            match = jnp.where(has_image, match, -1)
            image_class_id = jnp.where(has_image, image_class_id, BACKGROUND)
        loss, metrics = self.retrieval(image, recipe, class_id, match, image_class_id, has_image, key)
        weight, keep = self.config.classifier_weight, self.config.keep_background
        if weight:
            if image_logits is None or recipe_logits is None:
                raise ValueError("loss.classifier_weight is not 0: needs image_logits and recipe_logits")
            of_classes = {
                "loss_class_image": classification_loss(image_logits, image_class_id, keep, has_image),
                "loss_class_recipe": classification_loss(recipe_logits, class_id, keep),
            }
            metrics |= {"loss_retrieval": metrics["loss"]} | of_classes
            loss = (1 - 2 * weight) * loss + weight * sum(of_classes.values())
            metrics["loss"] = loss
        return loss, metrics

    @abc.abstractmethod
    def retrieval(
        self,
        image: jax.Array,
        recipe: jax.Array,
        class_id: jax.Array,
        match: jax.Array,
        image_class_id: jax.Array,
        has_image: jax.Array | None,
        key: jax.Array | None,
    ) -> tuple[jax.Array, Metrics]:
        """The retrieval loss and its metrics, `loss` and `bad_pairs` among them."""


def nan_if_broken(loss: jax.Array, *embeddings: jax.Array) -> jax.Array:
    """The loss, or NaN where an embedding is not finite.

    Comparisons with NaN are false: without this a broken embedding would look like triplets that cost nothing.
    """
    return jnp.where(jnp.isfinite(sum(jnp.sum(side) for side in embeddings)), loss, jnp.nan)
