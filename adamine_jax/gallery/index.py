"""A FAISS index of a gallery, for hundreds of thousands of items and more.

Embeddings are projected on their principal components and stored in an inverted file with 8 bits per number (Jégou et
al., *Product Quantization for Nearest Neighbor Search*, 2011; Johnson et al., *Billion-scale similarity search with
GPUs*, 2017). The build measures how many cells a query must visit, on queries whose exact results it computes. A search
re-ranks the candidates that the index returns by their exact similarities, computed from the gallery's embeddings.

The index consists of two files beside the embeddings: `<modality>.faiss` and, written last, `<modality>.faiss.json`.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from adamine_jax.base import files
from adamine_jax.base.errors import UserError, shown
from adamine_jax.base.progress import Progress
from adamine_jax.gallery import exact
from adamine_jax.gallery.files import KINDS

SMALLEST = 10_000
"""Minimum number of items of an indexed gallery; exact search of fewer takes milliseconds."""
GOAL = 0.98
"""Recall@10 that the visited cells must reach on the queries of the build."""
COMPONENTS = 256
"""Maximum number of principal components."""
CANDIDATES = 200
"""Minimum number of candidates that are re-ranked exactly: the projection may swap neighbours."""
_BUILD = "build it with `python -m adamine_jax.search … --index`"
_QUERIES = 128
_TRAIN_PER_CELL = 40
_COMPONENT_SAMPLE = 20_000
_BLOCK = 1 << 14
_SEED = 0


class Gallery(Protocol):
    """The part of `store.Gallery` that an index reads; `store` imports this module."""

    folder: Path
    about: dict[str, Any]

    @property
    def modalities(self) -> tuple[str, ...]: ...

    def embeddings(self, modality: str) -> np.ndarray: ...

    def __len__(self) -> int: ...


@dataclasses.dataclass(frozen=True)
class About:
    """Content of `<modality>.faiss.json`.

    Attributes:
        gallery: Digest of `gallery.json`, which ties the index to one gallery.
        cells: Number of cells of the inverted file.
        visited: Number of cells that a query visits.
        recall: Recall@10 on the queries of the build.
        queries: Description of these queries: embeddings of the other modality if the gallery has it.
    """

    gallery: str
    cells: int
    visited: int
    recall: float
    queries: str


class Index:
    """Opens the index of one modality of a gallery.

    Raises:
        UserError: The index is missing, damaged or that of another gallery.
    """

    def __init__(self, gallery: Gallery, modality: str):
        import faiss

        path = gallery.folder / f"{modality}.faiss"
        self._embeddings, self.about = gallery.embeddings(modality), _read_about(gallery, modality)
        try:
            self._index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0][:200]}); {_BUILD}") from None
        if (self._index.ntotal, self._index.d) != self._embeddings.shape:
            raise UserError(f"{path}: {self._index.ntotal} items, but the gallery has {len(gallery)}; {_BUILD}")
        _visit(self._index, self.about.visited)

    def search(self, queries: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
        """Searches all rows like `exact.search`, but misses rows outside the visited cells.

        Returns:
            (similarities (Q, K), rows (Q, K)), best first; if the visited cells contain fewer than K rows, the last
            entries are -inf and -1.
        """
        return _search(self._index, self._embeddings, queries, top)


def build(gallery: Gallery, modality: str) -> About:
    """Builds the index of one modality of a gallery and saves it beside the embeddings.

    The embeddings are read in blocks: memory contains only the index, one byte per number, and during training 40
    projected embeddings per cell.

    Raises:
        UserError: The gallery has fewer than `SMALLEST` items.
    """
    import faiss

    embeddings, rng = gallery.embeddings(modality), np.random.default_rng(_SEED)
    if len(embeddings) < SMALLEST:
        raise UserError(
            f"{gallery.folder}: {len(gallery):,} items; an index needs {SMALLEST:,}, exact search of fewer takes "
            "milliseconds"
        )
    index = _trained(gallery.folder, embeddings, rng)
    with Progress("indexing", len(embeddings), "item") as progress:
        for rows in _blocks(len(embeddings)):
            index.add(np.ascontiguousarray(embeddings[rows]))
            progress.update(rows.stop - rows.start)
    about = _tuned(gallery, modality, index, embeddings, rng)
    path = gallery.folder / f"{modality}.faiss"
    (gallery.folder / f"{modality}.faiss.json").unlink(missing_ok=True)
    with files.atomic_write(path) as temporary:
        faiss.write_index(index, str(temporary))
    files.write_text(gallery.folder / f"{modality}.faiss.json", json.dumps(dataclasses.asdict(about)) + "\n")
    print(
        f"{shown(path)}: {path.stat().st_size / 2**20:,.0f} MiB; a query visits {about.visited} of "
        f"{about.cells:,} cells ({about.visited / about.cells:.1%}), recall@10 {about.recall:.3f} on {about.queries}",
        flush=True,
    )
    return about


def exists(gallery: Gallery, modality: str) -> bool:
    """Whether a modality of a gallery has an index."""
    return (gallery.folder / f"{modality}.faiss.json").exists()


def _read_about(gallery: Gallery, modality: str) -> About:
    path = gallery.folder / f"{modality}.faiss.json"
    try:
        about = About(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"{gallery.folder}: the {modality} embeddings have no index; {_BUILD}") from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {_BUILD}") from None
    if about.gallery != _digest(gallery):
        raise UserError(f"{gallery.folder}/{modality}.faiss: index of another gallery or model; {_BUILD}")
    return about


def _digest(gallery: Gallery) -> str:
    return hashlib.sha256(json.dumps(gallery.about, sort_keys=True).encode()).hexdigest()


def _trained(folder: Path, embeddings: np.ndarray, rng: np.random.Generator):
    """Returns an empty index whose components and cells are trained on samples.

    It compares Euclidean distances of the projections: among unit rows the nearest are the most similar.
    """
    import faiss

    count, dim = embeddings.shape
    kept, cells = min(COMPONENTS, dim), 1 << round(np.log2(4 * np.sqrt(count)))
    components = faiss.PCAMatrix(dim, kept)
    components.train(_sample(embeddings, rng, _COMPONENT_SAMPLE))
    chosen = np.sort(rng.choice(count, min(count, _TRAIN_PER_CELL * cells), replace=False))
    projected = np.concatenate(
        [components.apply(np.ascontiguousarray(embeddings[chosen[rows]])) for rows in _blocks(len(chosen))]
    )
    print(f"{shown(folder)}: training {cells:,} cells on {len(chosen):,} of {count:,} items", flush=True)
    inverted = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatL2(kept), kept, cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_L2, False
    )
    inverted.cp.seed, inverted.cp.max_points_per_centroid = _SEED, _TRAIN_PER_CELL
    inverted.cp.min_points_per_centroid = 1  # silences a warning on small galleries
    inverted.train(projected)
    return faiss.IndexPreTransform(components, inverted)


def _sample(embeddings: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    rows = np.sort(rng.choice(len(embeddings), min(size, len(embeddings)), replace=False))
    return np.ascontiguousarray(embeddings[rows])


def _tuned(gallery: Gallery, modality: str, index, embeddings: np.ndarray, rng: np.random.Generator) -> About:
    """Doubles the number of visited cells until the recall reaches `GOAL`."""
    other = next((name for name in gallery.modalities if name != modality), modality)
    queries = _sample(gallery.embeddings(other), rng, _QUERIES)
    expected = exact.search(embeddings, queries, 10)[1]
    visited = 1
    while True:
        cells = _visit(index, visited)
        found = _search(index, embeddings, queries, 10)[1]
        recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(expected, found, strict=True)]))
        if recall >= GOAL or visited >= cells:
            break
        visited = min(2 * visited, cells)
    return About(_digest(gallery), cells, visited, recall, f"{_QUERIES} {KINDS[other,]} of the gallery")


def _visit(index, cells: int) -> int:
    """Sets the number of cells that a query visits, shared among all cores; returns the number of all cells."""
    import faiss

    inverted = faiss.extract_index_ivf(index)
    inverted.nprobe, inverted.parallel_mode = cells, 1
    return inverted.nlist


def _search(index, embeddings: np.ndarray, queries: np.ndarray, top: int) -> tuple[np.ndarray, np.ndarray]:
    top = min(top, len(embeddings))
    candidates = min(max(4 * top, CANDIDATES), len(embeddings))
    _, found = index.search(np.ascontiguousarray(queries, np.float32), candidates)
    similarities, rows = np.full((len(queries), top), -np.inf, np.float32), np.full((len(queries), top), -1, np.int64)
    for number, near in enumerate(found):
        near = np.sort(near[near >= 0])
        if len(near):
            best, best_rows = exact.search(embeddings, queries[number : number + 1], top, near)
            similarities[number, : best.shape[1]], rows[number, : best.shape[1]] = best, best_rows
    return similarities, rows


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, _BLOCK):
        yield slice(start, min(start + _BLOCK, count))
