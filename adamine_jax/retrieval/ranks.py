"""The rank of the positive among all candidates. A tie counts as half a place:

    rank = 1 + #(candidates strictly more similar) + ½ #(other candidates exactly as similar)

A collapsed model, which finds all candidates equally similar, therefore scores like chance.

Similarities are float32 dot products at the highest matmul precision, computed in square tiles. Every tile is compared
and counted on the device and then discarded, so ranking takes little more time than the matrix product, and little
memory (benchmarks/results/retrieval.md). All work is done on JAX's default device, so the ranks do not depend on the
number of devices.

Ties must be exact, both within and across tiles. If two candidates have equal embeddings, their similarities must agree
to the last bit wherever their columns are; a sum taken in another order may differ in its last bit and turn a tie into
a win or a loss. All tiles therefore have the same shape and come from the same compiled function, and the positive's
score is read from such a tile, never computed on its own.

Each tile counts *halves*, which are integers and add up exactly in any order: 2 for a greater score, 1 for an equal
one. For example, let the positive be column 1 of the scores (.9, .7, .7) in one tile and (.7, .2) in the next. The
tiles count 2 + 1 + 1 and 1 + 0 halves, 5 in total. One of them is the positive's tie with itself, so
rank = 1 + (5 - 1) / 2 = 3: the three tied candidates share the places 2 to 4, and each gets their mean.
"""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.base.errors import UserError

_TILE = 1024
"""Maximum side of a tile; 1024 × 1024 float32 similarities take 4 MiB."""


def ranks(queries: np.ndarray, candidates: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """Returns the rank of each query's positive.

    Args:
        queries: (N, D) embeddings, converted to float32.
        candidates: (M, D) embeddings of the other modality.
        positives: (N,) integers: the row of `candidates` that belongs to each query.

    Returns:
        (N,) float32 ranks from 1 (best) to M, in steps of ½.

    Raises:
        UserError: Shapes do not match, a positive is out of range, or an embedding is not finite.
    """
    queries = checked_embeddings(queries, "query")
    candidates = checked_embeddings(candidates, "candidate")
    if queries.shape[1] != candidates.shape[1]:
        raise UserError(
            f"queries {queries.shape} and candidates {candidates.shape} differ in width; embed both with the same model"
        )
    positives = _checked_positives(positives, len(queries), len(candidates))
    tile = _tile_size(max(len(queries), len(candidates)))
    candidate_tiles = [candidate_tile for _, _, candidate_tile in _tiles(candidates, tile)]
    result = np.empty(len(queries), np.float32)
    for (start, count, query_tile), (_, _, columns) in zip(_tiles(queries, tile), _tiles(positives, tile), strict=True):
        # A whole row of tiles is kept, (tile, M) similarities: the positive's score may be in any of them.
        row = jnp.concatenate([_similarities(query_tile, candidate_tile) for candidate_tile in candidate_tiles], axis=1)
        positive_scores = jnp.take_along_axis(row, columns[:, None], axis=1)[:, 0]
        halves = _halves_of_rows(row, positive_scores, len(candidates))
        result[start : start + count] = _ranks_from_halves(np.asarray(halves)[:count])
    return result


def pair_ranks(image: np.ndarray, recipe: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the ranks of N matched pairs in both directions, from one matrix product.

    Args:
        image: (N, D) image embeddings.
        recipe: (N, D) recipe embeddings; row i belongs to image i.

    Returns:
        (image_to_recipe, recipe_to_image), each (N,) float32. The first equals `ranks(image, recipe, arange(N))`.

    Raises:
        UserError: The shapes differ, or an embedding is not finite.
    """
    image = checked_embeddings(image, "image")
    recipe = checked_embeddings(recipe, "recipe")
    if image.shape != recipe.shape:
        raise UserError(
            f"image embeddings {image.shape} and recipe embeddings {recipe.shape} differ in shape; "
            "row i of one must belong to row i of the other"
        )
    n = len(image)
    tile = _tile_size(n)
    recipe_tiles = list(_tiles(recipe, tile))
    positive_scores, image_halves, recipe_halves = [], [], []
    # The diagonal tiles come first: they contain the positives' scores, with which all other tiles are compared.
    for (_, valid, images), (_, _, recipes) in zip(_tiles(image, tile), recipe_tiles, strict=True):
        similarities = _similarities(images, recipes)
        positive_scores.append(jnp.diagonal(similarities))
        image_halves.append(_halves_of_rows(similarities, positive_scores[-1], valid))
        recipe_halves.append(_halves_of_columns(similarities, positive_scores[-1], valid))
    for i, (_, valid_images, images) in enumerate(_tiles(image, tile)):
        for j, (_, valid_recipes, recipes) in enumerate(recipe_tiles):
            if i != j:
                similarities = _similarities(images, recipes)
                image_halves[i] += _halves_of_rows(similarities, positive_scores[i], valid_recipes)
                recipe_halves[j] += _halves_of_columns(similarities, positive_scores[j], valid_images)
        image_halves[i].block_until_ready()  # limits the number of tiles queued on the device
    return (
        _ranks_from_halves(np.concatenate(image_halves)[:n]),
        _ranks_from_halves(np.concatenate(recipe_halves)[:n]),
    )


def checked_embeddings(embeddings: np.ndarray, kind: str, ids: Sequence[str | bytes] | None = None) -> np.ndarray:
    """Returns embeddings as float32 after checking that all their dot products are finite.

    Args:
        embeddings: (N, D) real numbers, with N and D at least 1.
        kind: What the rows are, for error messages: 'image', 'recipe', 'query' or 'candidate'.
        ids: N ids of the rows, for error messages.

    Returns:
        (N, D) float32 array.

    Raises:
        UserError: The array has the wrong shape or type, or contains a row that is NaN, infinite or too large.
    """
    table = np.asarray(embeddings)
    if table.ndim != 2 or 0 in table.shape:
        raise UserError(f"{kind} embeddings have shape {table.shape}; expected (N, D) with at least one row")
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            table = table.astype(np.float32, copy=False)
            # |x·y|² ≤ |x|²|y|²: finite squares guarantee finite similarities.
            finite = np.isfinite(np.einsum("nd,nd->n", table, table))
    except (TypeError, ValueError):
        raise UserError(f"{kind} embeddings are {table.dtype}; expected real numbers") from None
    if not finite.all():
        row = int(np.argmin(finite))
        name = f"row {row}"
        if ids is not None:
            identifier = ids[row]
            name += f" (id {identifier.decode(errors='replace') if isinstance(identifier, bytes) else identifier})"
        problem = "contains NaN" if np.isnan(table[row]).any() else "is infinite or too large to square"
        others = np.count_nonzero(~finite) - 1
        more = f" (and {others} more)" if others else ""
        raise UserError(
            f"{kind} embedding of {name} {problem}{more}, so it cannot be ranked; "
            "look for a non-finite loss in metrics.jsonl or an unreadable input"
        )
    return table


def _checked_positives(positives: np.ndarray, n: int, m: int) -> np.ndarray:
    positives = np.asarray(positives)
    if positives.shape != (n,):
        raise UserError(f"positives have shape {positives.shape}; expected ({n},), one candidate row per query")
    if not np.issubdtype(positives.dtype, np.integer):
        raise UserError(f"positives are {positives.dtype}; expected integers, rows of the candidates")
    outside = (positives < 0) | (positives >= m)
    if outside.any():
        query = int(np.argmax(outside))
        raise UserError(f"positive of query {query} is {positives[query]}; candidates are numbered 0 to {m - 1}")
    return positives.astype(np.int32)


def _tile_size(rows: int) -> int:
    """Returns the side of the tiles: little padding, and one compilation for each number of rows."""
    tiles = -(-rows // _TILE)
    return max(64, -(-rows // (8 * tiles)) * 8)


def _tiles(table: np.ndarray, tile: int) -> Iterator[tuple[int, int, jax.Array]]:
    """Yields (first row, number of valid rows, `tile` rows on the device, zero-padded at the end)."""
    for start in range(0, len(table), tile):
        rows = table[start : start + tile]
        padding = [(0, tile - len(rows))] + [(0, 0)] * (table.ndim - 1)
        yield start, len(rows), jnp.asarray(np.pad(rows, padding))


@jax.jit
def _similarities(queries: jax.Array, candidates: jax.Array) -> jax.Array:
    """(T, D) queries, (T, D) candidates → (T, T) float32 similarities."""
    return jnp.matmul(queries, candidates.T, precision="highest")


@jax.jit
def _halves_of_rows(similarities: jax.Array, positive_scores: jax.Array, valid: int) -> jax.Array:
    """Counts the halves of each row over its first `valid` columns; `positive_scores` and the result are (T,)."""
    is_valid = jnp.arange(similarities.shape[1]) < valid
    return jnp.sum(jnp.where(is_valid, _halves(similarities, positive_scores[:, None]), 0), axis=1)


@jax.jit
def _halves_of_columns(similarities: jax.Array, positive_scores: jax.Array, valid: int) -> jax.Array:
    """Counts the halves of each column over its first `valid` rows. One function for both is slower on a CPU."""
    is_valid = jnp.arange(similarities.shape[0])[:, None] < valid
    return jnp.sum(jnp.where(is_valid, _halves(similarities, positive_scores), 0), axis=0)


def _halves(similarities: jax.Array, positive_scores: jax.Array) -> jax.Array:
    return (similarities > positive_scores).astype(jnp.int32) + (similarities >= positive_scores).astype(jnp.int32)


def _ranks_from_halves(halves: np.ndarray) -> np.ndarray:
    """Converts halves counted over all candidates to ranks; the positive's tie with itself is subtracted."""
    return (1 + (halves - 1) / 2).astype(np.float32)
