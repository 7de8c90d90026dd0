"""Rows of tokens, one per recipe, in which each segment attends to itself only; and how they are encoded by length."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.recipes.tokens import Tokens

GROUP = 16
"""Number of recipes encoded together, those of similar length."""
STEPS = 8
"""Number of lengths to which groups are padded, in equal steps up to the longest."""


def pad_segments(
    recipes: Sequence[Tokens], parts: Sequence[int], max_tokens: int, max_segments: int
) -> dict[str, np.ndarray]:
    """Joins the segments of some parts of each recipe to a row.

    Args:
        recipes: B recipes.
        parts: Parts to take.
        max_tokens: T, length of a row; what does not fit is dropped.
        max_segments: S, maximum number of segments of a recipe; further ones are dropped.

    Returns:
        `tokens` (B, T) int32; `segments` (B, T) int32, the number of each token's segment, from 1, 0 = padding; and
        `parts` (B, S) int32, the part of each segment, from 1, 0 = no segment.
    """
    # Vectorised over the recipes: a Python loop would take a fifth of the time of the input pipeline.
    rows = np.repeat(np.arange(len(recipes)), [len(recipe.lengths) for recipe in recipes])
    lengths, part_of = (np.concatenate([recipe[field] for recipe in recipes]) for field in (1, 2))
    ids = np.concatenate([recipe.ids for recipe in recipes])
    is_taken = np.isin(part_of, parts)
    number = _counted_by(rows, is_taken, len(recipes))
    is_taken &= number <= max_segments
    segment = np.repeat(np.arange(len(rows)), lengths)
    place = _counted_by(rows[segment], is_taken[segment], len(recipes)) - 1
    kept = is_taken[segment] & (place < max_tokens)
    segment, place, ids = segment[kept], place[kept], ids[kept]
    tokens, segments = (np.zeros((len(recipes), max_tokens), np.int32) for _ in range(2))
    tokens[rows[segment], place], segments[rows[segment], place] = ids, number[segment]
    found = np.zeros((len(recipes), max_segments), np.int32)
    found[rows[segment], number[segment] - 1] = part_of[segment] + 1
    return {"tokens": tokens, "segments": segments, "parts": found}


def _counted_by(rows: np.ndarray, is_counted: np.ndarray, count: int) -> np.ndarray:
    """Numbers the counted entries of each row from 1; the entries are sorted by row."""
    total = np.cumsum(is_counted)
    ends = np.concatenate([[0], total])[np.searchsorted(rows, np.arange(count))]
    return total - ends[rows]


def unread_share(recipes: Sequence[Tokens], parts: Sequence[int], limits: Sequence[tuple[int, int]]) -> str:
    """Describes how many tokens of some parts rows do not hold; '' if they hold all.

    Args:
        recipes: Train recipes.
        parts: Parts that a tower reads.
        limits: For each row, its length in tokens and its maximum number of segments; one row for all parts, or one
            for each.
    """
    groups = [parts] if len(limits) == 1 else [[part] for part in parts]
    rows = [pad_segments(recipes, group, *limit)["segments"] for group, limit in zip(groups, limits, strict=True)]
    kept = sum(np.count_nonzero(row, axis=1) for row in rows)
    total = np.array([recipe.lengths[np.isin(recipe.parts, parts)].sum() for recipe in recipes])
    if not np.sum(total > kept):
        return ""
    share = 100 * (1 - np.sum(kept) / np.sum(total))
    longest = " and ".join(f"{tokens} tokens in {segments} segments" for tokens, segments in limits)
    return (
        f"the recipe tower reads at most {longest}: it does not read {share:.1f} % of the tokens of {len(recipes):,} "
        f"train recipes, which affects {np.sum(total > kept):,} of them"
    )


def positions_of(segments: jax.Array) -> jax.Array:
    """Returns the position (B, T) of each token in its segment, from 0."""
    place = jnp.broadcast_to(jnp.arange(segments.shape[1]), segments.shape)
    return place - jax.lax.cummax(jnp.where(_differs(segments, 1), place, 0), axis=1)


def attention_mask(segments: jax.Array, causal: bool = False) -> jax.Array:
    """Returns a (B, T, T) bool mask, True where the query token (axis 1) attends to the key token (axis 2).

    Tokens attend to all tokens of their segment or, with `causal`, to themselves and earlier ones. Padding attends to
    padding.

    Args:
        segments: (B, T), see `pad_segments`.
        causal: Whether tokens attend to no later tokens.
    """
    mask = segments[:, :, None] == segments[:, None, :]
    return mask & jnp.tril(jnp.ones(mask.shape[1:], bool)) if causal else mask


def pooling_weights(segments: jax.Array, max_segments: int, pool: str) -> jax.Array:
    """Returns (B, S, T) float32 weights that turn the vectors of tokens into those of S segments; 0 without a segment.

    Args:
        segments: (B, T), see `pad_segments`.
        max_segments: S.
        pool: 'mean' of a segment's tokens, its 'first' or its 'last' token.
    """
    is_in = segments[:, None, :] == jnp.arange(1, max_segments + 1)[:, None]
    if pool == "mean":
        return is_in / jnp.maximum(is_in.sum(axis=-1, keepdims=True), 1)
    return (is_in & _differs(segments, 1 if pool == "first" else -1)[:, None, :]).astype(jnp.float32)


def encode_by_length(encode: Callable[..., jax.Array], segments: jax.Array, *fields: jax.Array) -> jax.Array:
    """Encodes recipes in groups of similar length, so that short ones do not cost as much as long ones.

    `encode` is traced for at most `STEPS` lengths. Each group is truncated to the shortest of these that holds all its
    tokens. Activations are recomputed in the backward pass, because `switch` would store those of all branches.

    Args:
        encode: Maps segments (n, t) and the fields (n, t, …), for any t, to (n, …), where n is at most `GROUP`. The
            result must not depend on padding. Rows that consist of padding only can occur.
        segments: (B, T), see `pad_segments`.
        fields: Arrays (B, T, …).

    Returns:
        (B, …).
    """
    rows, longest = segments.shape
    size = min(GROUP, rows)
    groups = -(-rows // size)
    lengths = jnp.sum(segments > 0, axis=1)
    order = jnp.argsort(-lengths)

    def grouped(x: jax.Array) -> jax.Array:
        padding = [(0, groups * size - rows)] + [(0, 0)] * (x.ndim - 1)
        return jnp.pad(x[order], padding).reshape(groups, size, *x.shape[1:])

    steps = [-(-longest * (step + 1) // STEPS) for step in range(STEPS)] if longest >= 8 * STEPS else [longest]

    def branch(length: int) -> Callable[[tuple[jax.Array, ...]], jax.Array]:
        return jax.checkpoint(lambda group: encode(*(x[:, :length] for x in group)))

    def one_group(group: tuple[jax.Array, ...]) -> jax.Array:
        needed = jnp.max(jnp.sum(group[0] > 0, axis=1))
        return jax.lax.switch(jnp.searchsorted(jnp.array(steps), needed), [branch(length) for length in steps], group)

    encoded = jax.lax.map(one_group, tuple(map(grouped, (segments, *fields))))
    flat = encoded.reshape(groups * size, *encoded.shape[2:])[:rows]
    return jnp.zeros_like(flat).at[order].set(flat)


def _differs(segments: jax.Array, shift: int) -> jax.Array:
    """Whether a token's segment differs from that of the token `shift` places before; beyond the ends it does."""
    beyond = jnp.full((len(segments), 1), -1, segments.dtype)
    others = [beyond, segments[:, :-1]] if shift > 0 else [segments[:, 1:], beyond]
    return segments != jnp.concatenate(others, axis=1)
