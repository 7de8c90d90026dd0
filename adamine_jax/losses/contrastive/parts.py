"""InfoNCE between the title, the ingredients and the instructions of recipes, which need no photos for it."""

import itertools
import math
from collections.abc import Mapping
from typing import ClassVar

import jax
import jax.numpy as jnp
import ml_collections

from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import Rule, integer, number, one_of
from adamine_jax.losses.base import Loss
from adamine_jax.losses.contrastive.infonce import infonce_loss
from adamine_jax.losses.contrastive.pairs import EXCLUDED, PairBatch, groups_of, pair_batch
from adamine_jax.losses.distances import normalize


class PartsLoss(Loss):
    """The mean of InfoNCE over all ordered pairs of different parts, with a linear map for each.

    The loss between the parts of a recipe of Salvador et al. (*Revamping cross-modal recipe retrieval with hierarchical
    Transformers*, CVPR 2021), with InfoNCE instead of triplets. Row i's part a, mapped by the matrix of (a, b), must
    find part b of row i among those of the batch, and reverse. Rows without one of the two parts do not count for the
    pair. It needs a recipe tower with `part_embeddings`.

    With `photos` = w, w times the mean over the parts of InfoNCE between photos and part embeddings is added, so that a
    part alone finds the photo. Rows without a photo do not count for it.
    """

    rules: ClassVar[Mapping[str, Rule]] = {
        "temperature": number("above 0"),
        "exclude": one_of(*EXCLUDED),
        "block": integer(0),
        "photos": number("from 0"),
    }

    @classmethod
    def defaults(cls) -> ml_collections.ConfigDict:
        loss = ml_collections.ConfigDict()
        loss.temperature = 0.05  # divisor of the cosine similarities
        loss.exclude = "duplicates"  # not used as negatives: recipes of one 'class', or 'duplicates', of the same text
        loss.block = 0  # candidates per block; memory grows with batch_size · block; 0 = automatic
        loss.photos = 0.0  # weight of InfoNCE between photos and parts
        return loss

    @property
    def learns_from_text(self) -> bool:
        return True

    def check(self, config: ml_collections.ConfigDict) -> None:
        section = config.model.recipe
        if not section.get("part_embeddings") or ("parts" in section and len(section.parts) < 2):
            raise UserError(
                "the loss 'parts' needs config.model.recipe.part_embeddings=True and two parts or more; the recipe "
                "towers 'lstm', 'bag', 'transformer' and 'pretrained' have this field"
            )

    def init(self, key, *, embedding_dim, num_classes):
        """Draws a map (D, D) for each ordered pair of three parts from U(±1/√D)."""
        bound = 1 / math.sqrt(embedding_dim)
        shape = (len(_pairs(3)), embedding_dim, embedding_dim)
        return {"part_maps": jax.random.uniform(key, shape, minval=-bound, maxval=bound)}

    def __call__(self, params, embeddings, batch, *, key):
        parts, mask = embeddings["recipe_parts"], embeddings["recipe_parts_mask"]
        groups = groups_of(batch, self.config.exclude)["recipe"]
        total, correct, pairs = 0.0, 0.0, _pairs(parts.shape[1])
        for place, (one, other) in enumerate(pairs):
            matrix = params["part_maps"][place].astype(parts.dtype)
            mapped = normalize(jnp.matmul(normalize(parts[:, one]), matrix, precision="highest"))
            both = mask[:, one] & mask[:, other]
            mapped, target = (jnp.where(both[:, None], side, 0) for side in (mapped, normalize(parts[:, other])))
            rows = PairBatch(mapped, target, both, groups, groups)
            loss, accuracy = infonce_loss(rows, 1 / self.config.temperature, block=self.config.block)
            total, correct = total + loss / len(pairs), correct + accuracy / len(pairs)
        if self.config.photos:
            total += self.config.photos * self._with_photos(embeddings, batch)
        return total, {"loss": total, "accuracy": correct}

    def _with_photos(self, embeddings, batch) -> jax.Array:
        """Returns the mean over the parts of InfoNCE between photos and the embeddings of a part."""
        parts, mask = embeddings["recipe_parts"], embeddings["recipe_parts_mask"]
        total = jnp.zeros((), parts.dtype)
        for place in range(parts.shape[1]):
            pairs = pair_batch({"image": embeddings["image"], "recipe": parts[:, place]}, batch, self.config.exclude)
            both = pairs.matched & mask[:, place]
            image, part = (jnp.where(both[:, None], side, 0) for side in (pairs.image, pairs.recipe))
            pairs = pairs._replace(image=image, recipe=part, matched=both)
            loss, _ = infonce_loss(pairs, 1 / self.config.temperature, block=self.config.block)
            total += loss / parts.shape[1]
        return total


def _pairs(count: int) -> list[tuple[int, int]]:
    return list(itertools.permutations(range(count), 2))
