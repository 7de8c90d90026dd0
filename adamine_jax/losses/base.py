"""What a loss is: the protocol of the entries of `registry.LOSSES`."""

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

    A subclass needs `__call__`; the rest has defaults. Under `jax.jit` on a mesh the arrays are global whatever their
    sharding, so that one device and many compute the same loss and the same gradient.

    Args:
        config: The section `config.loss` (or a term of a weighted list), with the fields of `defaults()`.
    """

    rules: ClassVar[Mapping[str, Rule]] = {}
    """What the fields of the section accept; see `base.rules`."""

    def __init__(self, config: ml_collections.ConfigDict):
        self.config = config

    @classmethod
    def defaults(cls) -> ml_collections.ConfigDict:
        """Returns the fields of the section, without its `name`."""
        return ml_collections.ConfigDict()

    def check(self, config: ml_collections.ConfigDict) -> None:  # noqa: B027 – nothing to check by default
        """Raises a `UserError` where the section contradicts itself or the rest of `config`, the run's."""

    @property
    def classes_needed_by(self) -> str:
        """What in the section needs records with classes, for errors; empty where nothing does."""
        return ""

    @property
    def uses_class_pairs(self) -> bool:
        """Whether some of it is 0 in a batch without two recipes of one class."""
        return False

    def init(self, key: jax.Array, *, embedding_dim: int, num_classes: int) -> Params:
        """Draws the parameters that the loss owns, trained with those of the towers; none by default.

        Args:
            key: A PRNG key.
            embedding_dim: D.
            num_classes: Classes of the data set, the background counted.
        """
        return {}

    @abc.abstractmethod
    def __call__(
        self, params: Params, embeddings: Mapping[str, jax.Array], batch: Mapping[str, jax.Array], *, key: jax.Array
    ) -> tuple[jax.Array, Metrics]:
        """Computes the loss.

        Args:
            params: Those of `init`.
            embeddings: `image` (B, D) and `recipe` (B, D), unit rows; `has_image` (B,) bool, False where a recipe has
                no photo and its row of `image` means nothing; and, where a tower gives them, `image_parts` or
                `recipe_parts` (B, P, D), unit rows, with `image_parts_mask` or `recipe_parts_mask` (B, P) bool.
            batch: `class_id` (B,) int32, 0 = background; `match` (B,) int32, +1, or −1 where the photo is another
                recipe's; `image_class_id` (B,) int32, the photo's class.
            key: A PRNG key, another one at each step.

        Returns:
            (loss, metrics), scalars in float32 or wider. The metrics' names do not depend on the batch; they are
            averaged over the steps between two lines of `metrics.jsonl`. `loss` is added where it is not among them.
        """


def metrics_of(loss: Loss, params: Params, embedding_dim: int, parts: Mapping[str, int]) -> tuple[str, ...]:
    """Returns the names of a loss's metrics, `loss` first.

    Args:
        loss: The loss.
        params: Its parameters, or their shapes.
        embedding_dim: D.
        parts: P by side ('image', 'recipe'), of the towers that give parts.
    """
    rows, dtype = 4, jnp.float32
    embeddings = {side: jax.ShapeDtypeStruct((rows, embedding_dim), dtype) for side in ("image", "recipe")}
    embeddings["has_image"] = jax.ShapeDtypeStruct((rows,), jnp.bool_)
    for side, count in parts.items():
        embeddings[f"{side}_parts"] = jax.ShapeDtypeStruct((rows, count, embedding_dim), dtype)
        embeddings[f"{side}_parts_mask"] = jax.ShapeDtypeStruct((rows, count), jnp.bool_)
    batch = {name: jax.ShapeDtypeStruct((rows,), jnp.int32) for name in ("class_id", "match", "image_class_id")}
    key = jax.eval_shape(lambda: jax.random.key(0))
    _, metrics = jax.eval_shape(lambda *arguments, key: loss(*arguments, key=key), params, embeddings, batch, key=key)
    return ("loss", *(name for name in metrics if name != "loss"))
