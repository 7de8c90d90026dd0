"""A FAISS index of a gallery, for hundreds of thousands of items and more.

Embeddings are projected on their principal components and stored in the cells of an inverted file, 8 bits a number
(Jégou et al., *Product Quantization for Nearest Neighbor Search*, 2011; Johnson et al., *Billion-scale similarity
search with GPUs*, 2017). How many cells a query visits is found out when the index is built, on queries whose exact
answers are known. Of what it finds the best are chosen by their exact similarities, which the gallery's own embeddings
give.

Beside the embeddings it has two files: `<side>.faiss` and, written last, `<side>.faiss.json`.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from adamine_jax.base import files
from adamine_jax.base.errors import UserError
from adamine_jax.base.extras import how_to_get
from adamine_jax.base.progress import Progress
from adamine_jax.gallery import exact

SMALLEST = 10_000
"""Items below which exact search takes milliseconds and an index helps nobody."""
GOAL = 0.98
"""Recall@10 that the visited cells must reach on the queries of the build."""
COMPONENTS = 256
"""Principal components that are kept; of shorter embeddings all."""
CANDIDATES = 200
"""Items, at least, that are looked at again with their exact similarities: the projection may exchange neighbours."""
_QUERIES = 128
_TRAIN_PER_CELL = 40
_COMPONENT_SAMPLE = 20_000
_BLOCK = 1 << 14
_SEED = 0


class Gallery(Protocol):
    """What an index reads of a `store.Gallery`, which opens it."""

    folder: Path
    about: dict[str, Any]

    @property
    def sides(self) -> tuple[str, ...]: ...

    def embeddings(self, side: str) -> np.ndarray: ...

    def __len__(self) -> int: ...


@dataclasses.dataclass(frozen=True)
class About:
    """What `<side>.faiss.json` holds.

    Attributes:
        gallery: digest of the gallery's own description: an index belongs to one.
        cells: of the inverted file.
        visited: cells that a query visits.
        recall: recall@10 of so many cells on the queries of the build.
        queries: whose queries these were: of the other side of the gallery, or of the same where there is no other.
    """

    gallery: str
    cells: int
    visited: int
    recall: float
    queries: str


class Index:
    """Opens the index of a side of a gallery.

    Args:
        gallery: whose embeddings it has.
        side: 'image' or 'recipe'.

    Raises:
        UserError: there is none, it belongs to another gallery, or cannot be read; or FAISS is not installed.
    """

    def __init__(self, gallery: Gallery, side: str):
        path, faiss = gallery.folder / f"{side}.faiss", _faiss()
        self._embeddings, self.about = gallery.embeddings(side), read_about(gallery, side)
        try:
            self._index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0][:200]}); {_BUILD}") from None
        if (self._index.ntotal, self._index.d) != self._embeddings.shape:
            raise UserError(f"{path}: holds {self._index.ntotal} items, the gallery {len(gallery)}; {_BUILD}")
        _visit(self._index, self.about.visited)

    def search(self, queries: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        """As `exact.search` of all rows; a row that is in none of the visited cells is not found.

        Returns:
            (similarities (Q, K), rows (Q, K)), best first; where the cells hold too few, −inf and −1 at the end.
        """
        return _search(self._index, self._embeddings, queries, top)


def build(gallery: Gallery, side: str) -> About:
    """Builds the index of a side of a gallery, and saves it beside the embeddings.

    The embeddings are read block by block: memory holds the index, which has a byte for each of its numbers, and while
    it is trained 40 projected embeddings a cell.

    Args:
        gallery: of at least `SMALLEST` items.
        side: 'image' or 'recipe'.

    Raises:
        UserError: the gallery is too small, or FAISS is not installed.
    """
    embeddings, rng = gallery.embeddings(side), np.random.default_rng(_SEED)
    if len(embeddings) < SMALLEST:
        raise UserError(
            f"{gallery.folder}: has {len(gallery):,} items; below {SMALLEST:,} exact search takes milliseconds"
        )
    index = _trained(gallery.folder, embeddings, rng)
    with Progress("indexing", len(embeddings), "item") as progress:
        for rows in _blocks(len(embeddings)):
            index.add(np.ascontiguousarray(embeddings[rows]))
            progress.update(rows.stop - rows.start)
    about = _about(gallery, side, index, embeddings, rng)
    path = gallery.folder / f"{side}.faiss"
    (gallery.folder / f"{side}.faiss.json").unlink(missing_ok=True)
    with files.atomic_write(path) as aside:
        _faiss().write_index(index, str(aside))
    files.write_text(gallery.folder / f"{side}.faiss.json", json.dumps(dataclasses.asdict(about)) + "\n")
    print(
        f"{path}: {path.stat().st_size / 2**20:,.0f} MiB; a query visits {about.visited} of {about.cells:,} cells "
        f"({about.visited / about.cells:.1%}), recall@10 {about.recall:.3f} on {about.queries}",
        flush=True,
    )
    return about


def is_there(gallery: Gallery, side: str) -> bool:
    """Whether a side of a gallery has an index."""
    return (gallery.folder / f"{side}.faiss.json").exists()


def read_about(gallery: Gallery, side: str) -> About:
    """What an index says of itself.

    Raises:
        UserError: there is none, it belongs to another gallery, or cannot be read.
    """
    path = gallery.folder / f"{side}.faiss.json"
    try:
        about = About(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"{gallery.folder}: has no index of its {side} embeddings; {_BUILD}") from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {_BUILD}") from None
    if about.gallery != digest(gallery):
        raise UserError(f"{gallery.folder}/{side}.faiss: is the index of another gallery or another model; {_BUILD}")
    return about


def digest(gallery: Gallery) -> str:
    """SHA-256 of a gallery's description, its model's among it."""
    return hashlib.sha256(json.dumps(gallery.about, sort_keys=True).encode()).hexdigest()


_BUILD = "build it with `python -m adamine_jax.search … --index`"


def _faiss():
    try:
        import faiss
    except ImportError:
        raise UserError(f"an index {how_to_get('faiss')}") from None
    return faiss


def _trained(folder: Path, embeddings: np.ndarray, rng: np.random.Generator):
    """An empty index, whose components and cells are chosen on samples.

    Distances are those of the projected embeddings: of unit rows the nearest are the most similar.
    """
    faiss = _faiss()
    count, dim = embeddings.shape
    kept, cells = min(COMPONENTS, dim), 1 << round(np.log2(4 * np.sqrt(count)))
    components = faiss.PCAMatrix(dim, kept)
    components.train(_sample(embeddings, rng, _COMPONENT_SAMPLE))
    chosen = np.sort(rng.choice(count, min(count, _TRAIN_PER_CELL * cells), replace=False))
    projected = np.concatenate(
        [components.apply(np.ascontiguousarray(embeddings[chosen[rows]])) for rows in _blocks(len(chosen))]
    )
    print(f"{folder}: placing {cells:,} cells among {len(chosen):,} of {count:,} items", flush=True)
    inverted = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatL2(kept), kept, cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_L2, False
    )
    inverted.cp.seed, inverted.cp.max_points_per_centroid = _SEED, _TRAIN_PER_CELL
    inverted.cp.min_points_per_centroid = 1  # small galleries have few, which is no mistake
    inverted.train(projected)
    return faiss.IndexPreTransform(components, inverted)


def _sample(embeddings: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    rows = np.sort(rng.choice(len(embeddings), min(size, len(embeddings)), replace=False))
    return np.ascontiguousarray(embeddings[rows])


def _about(gallery: Gallery, side: str, index, embeddings: np.ndarray, rng: np.random.Generator) -> About:
    """Finds out how many cells must be visited."""
    other = next((name for name in gallery.sides if name != side), side)
    queries = _sample(gallery.embeddings(other), rng, _QUERIES)
    right = exact.search(embeddings, queries, 10)[1]
    cells = _faiss().extract_index_ivf(index).nlist
    visited = 1
    while True:
        _visit(index, visited)
        found = _search(index, embeddings, queries, 10)[1]
        recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(right, found, strict=True)]))
        if recall >= GOAL or visited >= cells:
            break
        visited = min(2 * visited, cells)
    said = {"image": "photos", "recipe": "recipes"}[other]
    return About(digest(gallery), cells, visited, recall, f"{_QUERIES} {said} of the gallery")


def _visit(index, cells: int) -> None:
    """Lets a query visit so many cells, which all cores share."""
    inverted = _faiss().extract_index_ivf(index)
    inverted.nprobe, inverted.parallel_mode = cells, 1


def _search(index, embeddings: np.ndarray, queries: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    top = min(top, len(embeddings))
    candidates = min(max(4 * top, CANDIDATES), len(embeddings))
    _, found = index.search(np.ascontiguousarray(queries, np.float32), candidates)
    similarities, rows = np.full((len(queries), top), -np.inf, np.float32), np.full((len(queries), top), -1, np.int64)
    for number, near in enumerate(found):
        near = np.sort(near[near >= 0])
        if len(near):
            best, places = exact.search(embeddings, queries[number : number + 1], top, near)
            similarities[number, : best.shape[1]], rows[number, : best.shape[1]] = best, places
    return similarities, rows


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, _BLOCK):
        yield slice(start, min(start + _BLOCK, count))
