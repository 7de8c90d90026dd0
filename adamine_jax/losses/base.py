"""The protocol of losses, the entries of `registry.LOSSES`."""

import abc
from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import ml_collections

from adamine_jax.base.rules import Rule

Metrics = dict[str, jax.Array]
Params = dict[str, Any]


class Loss(abc.ABC):
    """A loss of the global batch.

    A subclass implements `__call__`; everything else has defaults. Under `jax.jit` on a mesh the arrays are global
    whatever their sharding, so any number of devices computes the same loss and the same gradient.

    Args:
        config: The section `config.loss` (or a term of a weighted list), with the fields of `defaults()`.
    """

    rules: ClassVar[Mapping[str, Rule]] = {}
    """Accepted values of the section's fields; see `base.rules`."""

    def __init__(self, config: ml_collections.ConfigDict):
        self.config = config

    @property
    def schedulable(self) -> tuple[str, ...]:
        """Fields that may be traced numbers, so that `config.loss_schedules` can change them."""
        return ()

    @classmethod
    def defaults(cls) -> ml_collections.ConfigDict:
        """Returns the fields of the section, without its `name`."""
        return ml_collections.ConfigDict()

    def check(self, config: ml_collections.ConfigDict) -> None:  # noqa: B027 – optional
        """Raises a `UserError` if the section contradicts itself or the rest of the run's `config`."""

    @property
    def learns_from_text(self) -> bool:
        """Whether the loss, or a part of it, has a gradient for recipes without photos."""
        return False

    @property
    def classes_needed_by(self) -> str:
        """The setting that requires records with classes, for error messages; empty if none does."""
        return ""

    @property
    def uses_class_pairs(self) -> bool:
        """Whether a part of the loss is 0 in a batch without two recipes of one class."""
        return False

    def init(self, key: jax.Array, *, embedding_dim: int, num_classes: int) -> Params:
        """Draws the loss's own parameters, which are trained with those of the towers; none by default.

        Args:
            key: A PRNG key.
            embedding_dim: D.
            num_classes: Number of classes of the data set, including the background.
        """
        return {}

    @abc.abstractmethod
    def __call__(
        self, params: Params, embeddings: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Computes the loss.

        Args:
            params: The parameters that `init` drew.
            embeddings: `image` (B, D) and `recipe` (B, D), unit rows; `has_image` (B,) bool, False if a row has no
                image and its row of `image` must be ignored; and, if a tower returns parts, `image_parts` or
                `recipe_parts` (B, P, D), unit rows, with `image_parts_mask` or `recipe_parts_mask` (B, P) bool.
            batch: `class_id` (B,) int32, 0 = background; `match` (B,) int32, +1, or −1 if the image is of another
                recipe; `image_class_id` (B,) int32, the class of the image; `group` (B,) int32 ≥ 0, the same in rows
                whose recipes have the same text.
            key: A PRNG key, different at each step.

        Returns:
            (loss, metrics), scalars in float32 or wider. The names of the metrics do not depend on the batch; values
            are averaged over the steps between two lines of `metrics.jsonl`. `loss` is added if it is not included.
        """


def metrics_of(loss: Loss, params: Params, embedding_dim: int, parts: Mapping[str, int]) -> tuple[str, ...]:
    """Returns the names of a loss's metrics, `loss` first.

    Args:
        loss: The loss.
        params: The loss's parameters, or their shapes.
        embedding_dim: D.
        parts: P by modality ('image', 'recipe'), for towers that return parts.
    """
    rows, dtype = 4, jnp.float32
    embeddings = {modality: jax.ShapeDtypeStruct((rows, embedding_dim), dtype) for modality in ("image", "recipe")}
    embeddings["has_image"] = jax.ShapeDtypeStruct((rows,), jnp.bool_)
    for modality, count in parts.items():
        embeddings[f"{modality}_parts"] = jax.ShapeDtypeStruct((rows, count, embedding_dim), dtype)
        embeddings[f"{modality}_parts_mask"] = jax.ShapeDtypeStruct((rows, count), jnp.bool_)
    batch = {
        name: jax.ShapeDtypeStruct((rows,), jnp.int32) for name in ("class_id", "match", "image_class_id", "group")
    }
    key = jax.eval_shape(lambda: jax.random.key(0))
    _, metrics = jax.eval_shape(lambda *arguments, key: loss(*arguments, key=key), params, embeddings, batch, key=key)
    return ("loss", *(name for name in metrics if name != "loss"))
