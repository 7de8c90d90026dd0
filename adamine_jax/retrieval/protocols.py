"""Evaluation protocols: the number of draws, the number of pairs per draw, and the resulting scores.

`1k` is 10 draws of 1,000 pairs, `10k` is 5 draws of 10,000, `full` is every pair once, and `500x20` is 20 draws of
500 pairs. Draw d takes the rows `default_rng([seed, d]).choice(n, pairs, replace=False)` of the id-sorted split, so all
models are measured on the same draws, whatever the order of the files.
"""

import dataclasses
import re
from collections.abc import Iterable, Sequence

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.retrieval.ranks import checked_embeddings, pair_ranks

RECALLS = (1, 5, 10)
DIRECTIONS = ("image_to_recipe", "recipe_to_image")
_NAMED = {"1k": (1_000, 10), "10k": (10_000, 5), "full": (None, 1)}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """`draws` independent draws of `pairs` pairs; all pairs if `pairs` is None."""

    name: str
    pairs: int | None
    draws: int

    def fits(self, available: int) -> bool:
        """Whether a split with `available` pairs is large enough."""
        return available >= (self.pairs or 1)


@dataclasses.dataclass(frozen=True)
class Ranked:
    """Ranks under one protocol.

    Attributes:
        ids: (draws, pairs) ids of the recipes drawn.
        ranks: {direction: (draws, pairs) float32} ranks from 1 among the candidates of the draw, in the order of `ids`.
    """

    ids: np.ndarray
    ranks: dict[str, np.ndarray]


def parse_protocols(protocols: str | Iterable[str]) -> list[Protocol]:
    """Parses the names of protocols.

    Args:
        protocols: Names, or one comma-separated string: `1k`, `10k`, `full`, or `<pairs>x<draws>`.

    Raises:
        UserError: A name is unknown, or no name is given.
    """
    names = protocols.split(",") if isinstance(protocols, str) else protocols
    parsed = list(dict.fromkeys(_parse(name.strip()) for name in names))
    if not parsed:
        raise UserError("no evaluation protocol given; choose from 1k, 10k, full or <pairs>x<draws>")
    return parsed


def skipped_protocols(protocols: str | Iterable[str], available: int) -> list[str]:
    """Returns a message for each protocol that `evaluate` skips because it needs more than the `available` pairs."""
    return [
        f"protocol {protocol.name} skipped: it draws {protocol.pairs:,} pairs, the split has {available:,}"
        for protocol in parse_protocols(protocols)
        if not protocol.fits(available)
    ]


def evaluate(
    image: np.ndarray, recipe: np.ndarray, ids: Sequence[str], protocols: str | Iterable[str], seed: int
) -> dict[str, dict]:
    """Computes median rank and recall of N matched pairs in both directions under each protocol that fits.

    Args:
        image: (N, D) image embeddings.
        recipe: (N, D) recipe embeddings; row i belongs to image i.
        ids: N distinct recipe ids, in any order; rows are sorted by id before they are drawn.
        protocols: See `parse_protocols`. Protocols larger than the split are skipped; see `skipped_protocols`.
        seed: Seed of the draws.

    Returns:
        {protocol: {direction: {metric: {"mean", "std"}}, "draws": int, "pairs": int}} with the directions
        `image_to_recipe` and `recipe_to_image` and the metrics `medr` (median rank from 1), `medr_from_zero`
        (median rank from 0, as AdaMine reports it), and `r1`, `r5`, `r10` in percent: mean and standard deviation
        (ddof 0) over the draws. Plain Python numbers, ready for JSON.
    """
    return score(rank_draws(image, recipe, ids, protocols, seed))


def rank_draws(
    image: np.ndarray, recipe: np.ndarray, ids: Sequence[str], protocols: str | Iterable[str], seed: int
) -> dict[str, Ranked]:
    """Ranks every query of every draw under each protocol that fits; see `evaluate` for the arguments.

    Raises:
        UserError: Shapes or the number of ids differ, an id is not unique, or an embedding is not finite.
    """
    for modality, embeddings in (("image", image), ("recipe", recipe)):
        if np.ndim(embeddings) == 2 and len(embeddings) != len(ids):
            raise UserError(f"{len(embeddings)} {modality} embeddings, but {len(ids)} ids; expected one id per row")
    image, recipe = checked_embeddings(image, "image", ids), checked_embeddings(recipe, "recipe", ids)
    names = np.asarray(ids)
    order = np.argsort(names, kind="stable")
    duplicates = names[order][1:][names[order][1:] == names[order][:-1]]
    if len(duplicates):
        raise UserError(f"id {duplicates[0].item()!r} occurs twice among the evaluated pairs; ids must be unique")
    if not np.array_equal(order, np.arange(len(order))):  # avoids copying the embeddings
        names, image, recipe = names[order], image[order], recipe[order]
    return {
        protocol.name: _rank_protocol(protocol, image, recipe, names, seed)
        for protocol in parse_protocols(protocols)
        if protocol.fits(len(image))
    }


def score(ranked: dict[str, Ranked]) -> dict[str, dict]:
    """Computes the scores that `evaluate` returns from the ranks under each protocol."""
    return {
        name: {
            **{direction: _summary(list(map(metrics, ranks))) for direction, ranks in result.ranks.items()},
            "draws": len(result.ids),
            "pairs": result.ids.shape[1],
        }
        for name, result in ranked.items()
    }


def metrics(ranks: np.ndarray) -> dict[str, float]:
    """Returns `medr`, `medr_from_zero`, and `r1`, `r5`, `r10` in percent, of (N,) ranks."""
    median = float(np.median(ranks))
    recalls = {f"r{k}": 100.0 * float(np.mean(ranks <= k)) for k in RECALLS}
    return {"medr": median, "medr_from_zero": median - 1, **recalls}


def _parse(name: str) -> Protocol:
    if name in _NAMED:
        return Protocol(name, *_NAMED[name])
    numbers = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", name, re.ASCII)
    if numbers is None:
        raise UserError(
            f"unknown evaluation protocol {name!r}; choose from 1k, 10k, full or <pairs>x<draws>, for example 500x20"
        )
    return Protocol(name, int(numbers[1]), int(numbers[2]))


def _rank_protocol(protocol: Protocol, image: np.ndarray, recipe: np.ndarray, ids: np.ndarray, seed: int) -> Ranked:
    """Ranks the draws of one protocol, given id-sorted rows."""
    drawn, ranks = [], []
    for draw in range(protocol.draws):
        rows = slice(None)
        if protocol.pairs is not None:
            rows = np.random.default_rng([seed, draw]).choice(len(image), protocol.pairs, replace=False)
        drawn.append(ids[rows])
        ranks.append(pair_ranks(image[rows], recipe[rows]))
    return Ranked(np.stack(drawn), dict(zip(DIRECTIONS, np.stack(ranks, axis=1), strict=True)))


def _summary(measured: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Returns the mean and standard deviation of each metric over the draws."""
    values = {name: [draw[name] for draw in measured] for name in measured[0]}
    return {name: {"mean": float(np.mean(v)), "std": float(np.std(v))} for name, v in values.items()}
