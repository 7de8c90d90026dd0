"""Evaluation protocols: how many pairs are drawn, how often, and the table of numbers that results.

`1k` is 10 draws of 1,000 pairs, `10k` is 5 draws of 10,000, `full` is every pair once, and `500x20` is 20 draws of
500 pairs. Draw number d of a split always takes the rows `default_rng([seed, d]).choice(n, pairs, replace=False)` of
the id-sorted split, so that two models, or two orders of the same files, are measured on the same draws.
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
    """`draws` independent draws of `pairs` pairs; `pairs` None means all of them."""

    name: str
    pairs: int | None
    draws: int

    def fits(self, available: int) -> bool:
        """Whether a split of `available` pairs is large enough."""
        return available >= (self.pairs or 1)


@dataclasses.dataclass(frozen=True)
class Ranked:
    """The ranks of one protocol's draws.

    Attributes:
        ids: (draws, pairs) the recipes drawn, in the order of the rows.
        ranks: {direction: (draws, pairs) float32} from 1, of the same rows, each among the candidates of its draw.
    """

    ids: np.ndarray
    ranks: dict[str, np.ndarray]


def parse_protocols(protocols: str | Iterable[str]) -> list[Protocol]:
    """Protocols by their names, in the order given.

    Args:
        protocols: names, or one string with commas between them: `1k`, `10k`, `full`, or `<pairs>x<draws>`.

    Raises:
        UserError: a name is none of these, or there is none.
    """
    names = protocols.split(",") if isinstance(protocols, str) else protocols
    parsed = list(dict.fromkeys(_parse(name.strip()) for name in names))
    if not parsed:
        raise UserError("no evaluation protocol given: choose from 1k, 10k, full or <pairs>x<draws>")
    return parsed


def skipped_protocols(protocols: str | Iterable[str], available: int) -> list[str]:
    """One line for each protocol that needs more than the `available` pairs and that `evaluate` leaves out."""
    return [
        f"protocol {protocol.name} skipped: it draws {protocol.pairs:,} pairs, the split has {available:,}"
        for protocol in parse_protocols(protocols)
        if not protocol.fits(available)
    ]


def evaluate(
    image: np.ndarray, recipe: np.ndarray, ids: Sequence[str], protocols: str | Iterable[str], seed: int
) -> dict[str, dict]:
    """Median rank and recall of N matched pairs, both directions, under each protocol that the split can fill.

    Args:
        image: (N, D) image embeddings.
        recipe: (N, D) recipe embeddings; row i belongs to image i.
        ids: the N recipes' ids, all different. Rows may come in any order: they are sorted by id before drawing.
        protocols: as for `parse_protocols`; `skipped_protocols` says which of them are left out.
        seed: of the draws.

    Returns:
        {protocol: {direction: {metric: {"mean", "std"}}, "draws": int, "pairs": int}} with the directions
        `image_to_recipe` and `recipe_to_image` and the metrics `medr` (median rank from 1), `medr_from_zero`
        (the same less 1, as AdaMine's own table counts), and `r1`, `r5`, `r10` in percent: mean and standard deviation
        (ddof 0) over the draws. Plain Python numbers, ready for JSON.

    Raises:
        UserError: as `rank_draws`.
    """
    return score(rank_draws(image, recipe, ids, protocols, seed))


def rank_draws(
    image: np.ndarray, recipe: np.ndarray, ids: Sequence[str], protocols: str | Iterable[str], seed: int
) -> dict[str, Ranked]:
    """The rank of every query of every draw, under each protocol that the split can fill; arguments as for `evaluate`.

    Raises:
        UserError: shapes or number of ids differ, an id occurs twice, an embedding is not finite (its id is named).
    """
    _check_ids(ids)
    for side, embeddings in (("image", image), ("recipe", recipe)):
        if np.ndim(embeddings) == 2 and len(embeddings) != len(ids):
            raise UserError(f"{len(embeddings)} {side} embeddings and {len(ids)} ids: expected one id a row")
    image, recipe = checked_embeddings(image, "image", ids), checked_embeddings(recipe, "recipe", ids)
    names = np.asarray(ids)
    order = np.argsort(names, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):  # or the embeddings would be copied for nothing
        names, image, recipe = names[order], image[order], recipe[order]
    return {
        protocol.name: _run(protocol, image, recipe, names, seed)
        for protocol in parse_protocols(protocols)
        if protocol.fits(len(image))
    }


def score(ranked: dict[str, Ranked]) -> dict[str, dict]:
    """What `evaluate` returns, from the ranks of each protocol's draws."""
    return {
        name: {
            **{direction: _over_draws(list(map(metrics, positions))) for direction, positions in result.ranks.items()},
            "draws": len(result.ids),
            "pairs": result.ids.shape[1],
        }
        for name, result in ranked.items()
    }


def metrics(positions: np.ndarray) -> dict[str, float]:
    """`medr`, `medr_from_zero` and `r1`, `r5`, `r10` in percent of (N,) ranks."""
    median = float(np.median(positions))
    recalls = {f"r{k}": 100.0 * float(np.mean(positions <= k)) for k in RECALLS}
    return {"medr": median, "medr_from_zero": median - 1, **recalls}


def _parse(name: str) -> Protocol:
    if name in _NAMED:
        return Protocol(name, *_NAMED[name])
    numbers = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", name, re.ASCII)
    if numbers is None:
        raise UserError(
            f"unknown evaluation protocol {name!r}: choose from 1k, 10k, full or <pairs>x<draws>, for instance 500x20"
        )
    return Protocol(name, int(numbers[1]), int(numbers[2]))


def _check_ids(ids: Sequence[str]) -> None:
    seen = set()
    for item in ids:
        if item in seen:
            raise UserError(f"id {item!r} occurs twice among the evaluated pairs: each pair needs an id of its own")
        seen.add(item)


def _run(protocol: Protocol, image: np.ndarray, recipe: np.ndarray, ids: np.ndarray, seed: int) -> Ranked:
    """One protocol on id-sorted rows."""
    drawn, measured = [], {direction: [] for direction in DIRECTIONS}
    for draw in range(protocol.draws):
        rows = slice(None)
        if protocol.pairs is not None:
            rows = np.random.default_rng([seed, draw]).choice(len(image), protocol.pairs, replace=False)
        both = pair_ranks(image[rows], recipe[rows])
        drawn.append(ids[rows])
        for direction, positions in zip(DIRECTIONS, both, strict=True):
            measured[direction].append(positions)
    return Ranked(np.stack(drawn), {direction: np.stack(positions) for direction, positions in measured.items()})


def _over_draws(measured: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation of each metric over independent draws."""
    values = {name: [draw[name] for draw in measured] for name in measured[0]}
    return {name: {"mean": float(np.mean(v)), "std": float(np.std(v))} for name, v in values.items()}
