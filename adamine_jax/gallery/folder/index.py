"""A FAISS index of a gallery, for hundreds of thousands of items and more.

Embeddings are projected on their principal components and stored in an inverted file with 8 bits per number (Jégou et
al., *Product Quantization for Nearest Neighbor Search*, 2011; Johnson et al., *Billion-scale similarity search with
GPUs*, 2017). The build measures how many cells a query must visit, on queries whose exact results it computes. A search
re-ranks the candidates that the index returns by their exact similarities, computed from the gallery's embeddings.

The index consists of two files beside the embeddings: `<modality>.faiss` and, written last, `<modality>.faiss.json`.
"""

import contextlib
import dataclasses
import hashlib
import json
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from adamine_jax.base import files
from adamine_jax.base.cores import available_cores
from adamine_jax.base.errors import UserError, shown
from adamine_jax.base.progress import Progress
from adamine_jax.gallery import store
from adamine_jax.gallery.folder import exact
from adamine_jax.gallery.folder.index_queries import Selection, candidates, more_cells
from adamine_jax.gallery.folder.snapshot import Snapshot
from adamine_jax.gallery.folder.vectors import Vectors
from adamine_jax.gallery.items import KINDS

COMPONENTS = 256
"""Maximum number of principal components."""
_BUILD = "build it with `python -m adamine_jax.search … --index`"
_QUERIES = 128
_TRAIN_PER_CELL = 40
_COMPONENT_SAMPLE = 20_000
_BLOCK = 1 << 14
_SEED = 0


EXACT = 20_000
"""Number of items up to which a filtered search is exact: gathering their embeddings takes less time than the index."""


class Gallery(Protocol):
    """The part of `folder.store.Gallery` that is indexed; `folder.store` imports this module."""

    folder: Path
    about: dict[str, Any]

    @property
    def modalities(self) -> tuple[str, ...]: ...

    def snapshot(self) -> Snapshot: ...


@dataclasses.dataclass(frozen=True)
class About:
    """Content of `<modality>.faiss.json`.

    Attributes:
        gallery: Digest of `gallery.json`, which ties the index to one gallery.
        cells: Number of cells of the inverted file.
        visited: Number of cells that a query visits.
        recall: Recall@10 on the queries of the build.
        queries: Description of these queries: embeddings of the other modality if the gallery has it.
        rows: Number of the first row that is not in the index.
    """

    gallery: str
    cells: int
    visited: int
    recall: float
    queries: str
    rows: int


class Index:
    """Opens the index of one modality of a gallery.

    Args:
        folder: Folder of the gallery.
        about: Content of its `gallery.json`.
        modality: Modality of the embeddings.
        shared: Whether to memory-map the index, so that processes share it; a search then takes twice as long.

    Raises:
        UserError: The index is missing, damaged or that of another gallery.
    """

    def __init__(self, folder: Path, about: dict[str, Any], modality: str, *, shared: bool = False):
        import faiss

        path = folder / f"{modality}.faiss"
        self._modality, self.about = modality, _read_about(folder, about, modality)
        try:
            self._index = faiss.read_index(str(path), faiss.IO_FLAG_MMAP if shared else 0)
        except RuntimeError as error:
            raise UserError(f"{path}: cannot be read ({str(error).splitlines()[0][:200]}); {_BUILD}") from None
        self._running, self._counting = 0, threading.Lock()
        self._selections: list[Selection] = []
        if self._index.d != about["dim"]:
            raise UserError(f"{path}: {self._index.d} dimensions, but the gallery has {about['dim']}; {_BUILD}")

    def search(
        self, gallery: Snapshot, queries: np.ndarray, top: int, mask: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Searches all rows like `exact.search`, but misses rows outside the visited cells.

        Args:
            gallery: Snapshot of the gallery, which may have more or fewer rows than the index.
            queries: (Q, D) float32 unit rows.
            top: Maximum number of results K.
            mask: (P,) whether a row may be found; None = all rows.

        Returns:
            (similarities (Q, K), rows (Q, K)), best first. Rows that are not in the index are searched exactly.
        """
        vectors = gallery.vectors[self._modality]
        chosen = self._selection(gallery, mask)
        visited = min(round(self.about.visited * more_cells(chosen.share)), self.about.cells)
        with self._share_of_cores():
            found = candidates(self._index, queries, top, visited, chosen)
        top = min(top, chosen.count)
        best, positions = exact.search(vectors.tail(chosen.first_new), queries, top, chosen.new)
        missing = top - best.shape[1]
        similarities = np.pad(best, ((0, 0), (0, missing)), constant_values=-np.inf)
        rows = np.pad(gallery.rows[chosen.first_new + positions], ((0, 0), (0, missing)), constant_values=-1)
        for number, near in enumerate(found):
            near = _stored(gallery, near)
            if len(near) < min(top, chosen.count_old):  # the visited cells contain fewer
                near = np.arange(chosen.first_new) if chosen.old is None else chosen.old
            best, positions = exact.search(vectors, queries[number : number + 1], top, near)
            both = np.concatenate([similarities[number], best[0]])
            numbers = np.concatenate([rows[number], gallery.rows[positions[0]]])
            order = np.lexsort((numbers, -both))[:top]
            similarities[number], rows[number] = both[order], numbers[order]
        return similarities, rows

    def _selection(self, gallery: Snapshot, mask: np.ndarray | None) -> Selection:
        """Returns what a mask selects; the last ones are kept, because snapshots keep their masks."""
        current = [kept for kept in self._selections if kept.rows is gallery.rows]
        for kept in current:
            if kept.mask is mask:
                return kept
        chosen = Selection(gallery.rows, mask, self.about.rows)
        self._selections = [chosen, *current[:15]]
        return chosen

    @contextlib.contextmanager
    def _share_of_cores(self) -> Generator[None]:
        """Divides the cores among the searches that run at once; too many threads would wait for each other."""
        import faiss

        with self._counting:
            self._running += 1
            faiss.omp_set_num_threads(max(available_cores() // self._running, 1))  # of searches by this thread
        try:
            yield
        finally:
            with self._counting:
                self._running -= 1


def _stored(gallery: Snapshot, found: np.ndarray) -> np.ndarray:
    """Returns the ascending positions of the rows found by an index, without those that `compact` has deleted."""
    positions = np.minimum(gallery.positions(found), len(gallery.rows) - 1)
    return np.sort(positions[gallery.rows[positions] == found])


def build(gallery: Gallery, modality: str) -> About:
    """Builds the index of one modality of a gallery and saves it beside the embeddings.

    The embeddings are read in blocks: memory contains only the index, one byte per number, and during training 40
    projected embeddings per cell.

    Raises:
        UserError: The gallery has fewer than `store.SMALLEST` items.
    """
    import faiss

    snapshot, rng = gallery.snapshot(), np.random.default_rng(_SEED)
    vectors = snapshot.vectors[modality]
    positions = np.arange(len(vectors)) if snapshot.alive is None else np.flatnonzero(snapshot.alive)
    if len(positions) < store.SMALLEST:
        raise UserError(
            f"{gallery.folder}: {len(positions):,} items; an index needs {store.SMALLEST:,}, exact search of fewer "
            "takes milliseconds"
        )
    index = _trained(gallery.folder, vectors, positions, rng)
    with Progress("indexing", len(positions), "item") as progress:
        for block in _blocks(positions):
            index.add_with_ids(vectors[block], snapshot.rows[block])
            progress.update(len(block))
    about = _tuned(gallery, snapshot, modality, index, positions, rng)
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


def _read_about(folder: Path, gallery: dict[str, Any], modality: str) -> About:
    path = folder / f"{modality}.faiss.json"
    try:
        about = About(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise UserError(f"{folder}: the {modality} embeddings have no index; {_BUILD}") from None
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); {_BUILD}") from None
    if about.gallery != _digest(gallery):
        raise UserError(f"{folder}/{modality}.faiss: index of another gallery or model; {_BUILD}")
    return about


def _digest(gallery: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(gallery, sort_keys=True).encode()).hexdigest()


def _trained(folder: Path, vectors: Vectors, positions: np.ndarray, rng: np.random.Generator):
    """Returns an empty index whose components and cells are trained on samples.

    It compares Euclidean distances of the projections: among unit rows the nearest are the most similar.
    """
    import faiss

    count, dim = len(positions), vectors.shape[1]
    kept, cells = min(COMPONENTS, dim), 1 << round(np.log2(4 * np.sqrt(count)))
    components = faiss.PCAMatrix(dim, kept)
    components.train(vectors[_sample(positions, rng, _COMPONENT_SAMPLE)])
    chosen = _sample(positions, rng, _TRAIN_PER_CELL * cells)
    projected = np.concatenate([components.apply(vectors[block]) for block in _blocks(chosen)])
    print(f"{shown(folder)}: training {cells:,} cells on {len(chosen):,} of {count:,} items", flush=True)
    inverted = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatL2(kept), kept, cells, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_L2, False
    )
    inverted.cp.seed, inverted.cp.max_points_per_centroid = _SEED, _TRAIN_PER_CELL
    inverted.cp.min_points_per_centroid = 1  # silences a warning on small galleries
    inverted.train(projected)
    return faiss.IndexPreTransform(components, inverted)


def _sample(positions: np.ndarray, rng: np.random.Generator, size: int) -> np.ndarray:
    return np.sort(rng.choice(positions, min(size, len(positions)), replace=False))


def _tuned(gallery: Gallery, snapshot: Snapshot, modality: str, index, positions: np.ndarray, rng) -> About:
    """Doubles the number of visited cells until the recall reaches `store.GOAL`."""
    import faiss

    other = next((name for name in gallery.modalities if name != modality), modality)
    queries = snapshot.vectors[other][_sample(positions, rng, _QUERIES)]
    expected = exact.search(snapshot.vectors[modality], queries, 10, positions)[1]
    cells, visited, limit = faiss.extract_index_ivf(index).nlist, 1, int(snapshot.rows[-1]) + 1
    while True:
        found = []
        for number, near in enumerate(candidates(index, queries, 10, visited)):
            near = np.sort(snapshot.positions(near[near >= 0]))
            found.append(exact.search(snapshot.vectors[modality], queries[number : number + 1], 10, near)[1][0])
        recall = float(np.mean([np.isin(a, b).mean() for a, b in zip(expected, found, strict=True)]))
        if recall >= store.GOAL or visited >= cells:
            break
        visited = min(2 * visited, cells)
    queries_of = f"{_QUERIES} {KINDS[other,]} of the gallery"
    return About(_digest(gallery.about), cells, visited, recall, queries_of, limit)


def _blocks(positions: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(positions), _BLOCK):
        yield positions[start : start + _BLOCK]
