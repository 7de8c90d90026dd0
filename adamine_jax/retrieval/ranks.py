"""The rank of the right answer among all candidates, ties counted by halves.

    rank = 1 + #(candidates strictly more similar) + ½ #(other candidates exactly as similar)

so that a collapsed model, which finds everything equally similar, scores like chance and not like a winner.

Similarities are dot products in float32 at the highest matmul precision. They are made in square tiles of one
fixed shape by one compiled function, and the score of the right answer is always read from such a tile: a sum taken
in another order could differ in its last bit, and turn a tie into a win. A tile is compared and counted as soon as it
is made and never leaves the device, so that the whole takes little longer than the matrix product and little memory
(benchmarks/results/retrieval.md). All work is done on JAX's default device: the ranks do not depend on how many
there are.
"""

from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from adamine_jax.base.errors import UserError

# A tile of similarities is at most 1024 × 1024 float32 numbers, 4 MiB.
_TILE = 1024


def ranks(queries: np.ndarray, candidates: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """The rank of each query's right candidate.

    Args:
        queries: (N, D) embeddings; computed with as float32.
        candidates: (M, D) embeddings of the other modality.
        positives: (N,) integers, the row of `candidates` that answers each query.

    Returns:
        (N,) float32: 1 is best, M worst; ties give halves.

    Raises:
        UserError: a shape does not fit, a positive is out of range, or an embedding is not finite (the row is named).
    """
    queries = checked_embeddings(queries, "query")
    candidates = checked_embeddings(candidates, "candidate")
    if queries.shape[1] != candidates.shape[1]:
        raise UserError(
            f"queries {queries.shape} and candidates {candidates.shape} differ in width: "
            "both must come from the same model"
        )
    positives = _checked_positives(positives, len(queries), len(candidates))
    tile = _tile_size(max(len(queries), len(candidates)))
    candidate_tiles = list(_tiles(candidates, tile))
    result = np.empty(len(queries), np.float32)
    for (start, count, query_tile), (_, _, columns) in zip(_tiles(queries, tile), _tiles(positives, tile), strict=True):
        # One row of tiles is kept, (tile, M) numbers, because the score to compare with may lie in any of them.
        row = [_similarities(query_tile, candidate_tile) for _, _, candidate_tile in candidate_tiles]
        right = jnp.zeros(tile, jnp.float32)
        for (first, _, _), similarities in zip(candidate_tiles, row, strict=True):
            right = _read(similarities, columns - first, right)
        ahead = jnp.zeros(tile, jnp.int32)
        for (_, valid, _), similarities in zip(candidate_tiles, row, strict=True):
            ahead += _halves_ahead(similarities, right, valid)
        result[start : start + count] = _ranks_from_halves(np.asarray(ahead)[:count])
    return result


def pair_ranks(image: np.ndarray, recipe: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ranks of N matched pairs in both directions, from one product.

    Args:
        image: (N, D) image embeddings.
        recipe: (N, D) recipe embeddings; row i belongs to image i.

    Returns:
        (image_to_recipe, recipe_to_image), each (N,) float32. The first equals `ranks(image, recipe, arange(N))`.

    Raises:
        UserError: the shapes differ, or an embedding is not finite (side and row are named).
    """
    image = checked_embeddings(image, "image")
    recipe = checked_embeddings(recipe, "recipe")
    if image.shape != recipe.shape:
        raise UserError(
            f"image embeddings {image.shape} and recipe embeddings {recipe.shape} differ in shape: "
            "row i of one must belong to row i of the other"
        )
    n = len(image)
    tile = _tile_size(n)
    recipe_tiles = list(_tiles(recipe, tile))
    right, from_image, from_recipe = [], [], []
    # The tiles on the diagonal come first: every other one is compared with scores that lie in them.
    for (_, valid, images), (_, _, recipes) in zip(_tiles(image, tile), recipe_tiles, strict=True):
        similarities = _similarities(images, recipes)
        right.append(jnp.diagonal(similarities))
        from_image.append(_halves_ahead(similarities, right[-1], valid))
        from_recipe.append(_halves_ahead_of_columns(similarities, right[-1], valid))
    for i, (_, valid_images, images) in enumerate(_tiles(image, tile)):
        for j, (_, valid_recipes, recipes) in enumerate(recipe_tiles):
            if i != j:
                similarities = _similarities(images, recipes)
                from_image[i] += _halves_ahead(similarities, right[i], valid_recipes)
                from_recipe[j] += _halves_ahead_of_columns(similarities, right[j], valid_images)
        from_image[i].block_until_ready()  # or thousands of tiles would wait on the device at once
    return (
        _ranks_from_halves(np.concatenate(from_image)[:n]),
        _ranks_from_halves(np.concatenate(from_recipe)[:n]),
    )


def checked_embeddings(embeddings: np.ndarray, side: str, ids: Sequence[str] | None = None) -> np.ndarray:
    """`embeddings` as float32, when every similarity made of them is a finite number.

    Args:
        embeddings: (N, D) real numbers, N and D at least 1.
        side: what the rows are ("image", "recipe"), for the message.
        ids: N names of the rows, for the message.

    Returns:
        (N, D) float32.

    Raises:
        UserError: not a table of numbers, empty, or a row that is NaN, infinite or too long; the first is named.
    """
    table = np.asarray(embeddings)
    if table.ndim != 2 or 0 in table.shape:
        raise UserError(f"{side} embeddings have shape {table.shape}: expected (N, D) with at least one row")
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            table = table.astype(np.float32, copy=False)
            # |x·y|² ≤ |x|²|y|²: squares that stay finite guarantee finite similarities.
            finite = np.isfinite(np.einsum("nd,nd->n", table, table))
    except (TypeError, ValueError):
        raise UserError(f"{side} embeddings are {table.dtype}: expected real numbers") from None
    if not finite.all():
        row = int(np.argmin(finite))
        name = f"row {row}" if ids is None else f"row {row} (id {_text(ids[row])})"
        problem = "holds a NaN" if np.isnan(table[row]).any() else "is infinite or too large to square"
        others = np.count_nonzero(~finite) - 1
        more = f" ({others} more like it)" if others else ""
        raise UserError(
            f"{side} embedding of {name} {problem}{more}: no rank can be given; "
            "look for a non-finite loss in metrics.jsonl or for an unreadable input"
        )
    return table


def _text(name: str | bytes) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)


def _checked_positives(positives: np.ndarray, n: int, m: int) -> np.ndarray:
    positives = np.asarray(positives)
    if positives.shape != (n,):
        raise UserError(f"positives have shape {positives.shape}: expected ({n},), one candidate row a query")
    if not np.issubdtype(positives.dtype, np.integer):
        raise UserError(f"positives are {positives.dtype}: expected integers, rows of the candidates")
    outside = (positives < 0) | (positives >= m)
    if outside.any():
        query = int(np.argmax(outside))
        raise UserError(f"positive of query {query} is {positives[query]}: there are candidates 0 to {m - 1}")
    return positives.astype(np.int32)


def _tile_size(rows: int) -> int:
    """The side of the tiles for `rows` rows: little padding, and one compilation for each number of rows."""
    tiles = -(-rows // _TILE)
    return max(64, -(-rows // (8 * tiles)) * 8)


def _tiles(table: np.ndarray, tile: int) -> Iterator[tuple[int, int, jax.Array]]:
    """Yields (first row, number of real rows, `tile` rows on the device, the last ones filled up with zeros)."""
    for start in range(0, len(table), tile):
        rows = table[start : start + tile]
        padding = [(0, tile - len(rows))] + [(0, 0)] * (table.ndim - 1)
        yield start, len(rows), jnp.asarray(np.pad(rows, padding))


@jax.jit
def _similarities(queries: jax.Array, candidates: jax.Array) -> jax.Array:
    """Queries (T, D) against candidates (T, D) → (T, T) float32."""
    return jnp.matmul(queries, candidates.T, precision="highest")


@jax.jit
def _read(similarities: jax.Array, columns: jax.Array, otherwise: jax.Array) -> jax.Array:
    """Row i's entry at `columns[i]` where that column lies in this tile, else `otherwise[i]`; all (T,)."""
    inside = (columns >= 0) & (columns < similarities.shape[1])
    picked = jnp.take_along_axis(similarities, jnp.where(inside, columns, 0)[:, None], axis=1)[:, 0]
    return jnp.where(inside, picked, otherwise)


@jax.jit
def _halves_ahead(similarities: jax.Array, right: jax.Array, valid: int) -> jax.Array:
    """Of each row: 2 for an entry above `right` (T,), 1 for one equal to it, over the first `valid` columns; (T,)."""
    real = jnp.arange(similarities.shape[1]) < valid
    return jnp.sum(jnp.where(real, _halves(similarities, right[:, None]), 0), axis=1)


@jax.jit
def _halves_ahead_of_columns(similarities: jax.Array, right: jax.Array, valid: int) -> jax.Array:
    """The same of each column over the first `valid` rows. A function of its own: both in one were slower on a CPU."""
    real = jnp.arange(similarities.shape[0])[:, None] < valid
    return jnp.sum(jnp.where(real, _halves(similarities, right), 0), axis=0)


def _halves(similarities: jax.Array, right: jax.Array) -> jax.Array:
    return (similarities > right).astype(jnp.int32) + (similarities >= right).astype(jnp.int32)


def _ranks_from_halves(halves: np.ndarray) -> np.ndarray:
    """Halves counted over all candidates → ranks; the right candidate itself contributed one half."""
    return (1 + (halves - 1) / 2).astype(np.float32)
