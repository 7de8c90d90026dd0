"""Published sentence vectors, whatever they come from, become the file that `config.data.sentence_vectors` takes."""

import fcntl
import os
from collections import Counter
from collections.abc import Container, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.base.progress import track
from data_builders.recipe1m.layers.markup import shown
from data_builders.recipe1m.recipes import RECIPE_ID
from data_builders.recipe1m.report.groups import NAMED, Group

DTYPES = ("float32", "float16")

BAD_ID = "recipes whose id is not 10 hex digits"
REPEATED = "recipes whose id appears a second time"
NOT_FINITE = "sentences with a value that is not finite"
NONE = "recipes without a sentence"
# A recipe is held in memory as a whole, and a damaged number of sentences may say anything.
MOST = 10_000
TOO_MANY = f"recipes with more than {MOST:,} sentences"


@dataclass(frozen=True, slots=True)
class Sentences:
    """The vectors of a recipe's sentences, in their order.

    Attributes:
        id: of the recipe, unchecked.
        vectors: (sentences, D), any floating dtype; None where they cannot be had.
        problem: why not.
    """

    id: str
    vectors: np.ndarray | None
    problem: str = ""


class Source(Protocol):
    """Where vectors come from.

    Attributes:
        recipes: partition -> how many recipes it has.
        rows: at most so many sentences.
        length: D, of a vector.
    """

    recipes: dict[str, int]
    rows: int
    length: int

    def read(self, partition: str) -> Iterator[Sentences]:
        """Yields the recipes of a partition, in their order."""


@dataclass
class Written:
    """What became of the recipes.

    Attributes:
        recipes, sentences: partition -> number of those written.
        left_out: reason -> the recipes or sentences it holds for.
        passed_over: recipes that were not asked for.
    """

    recipes: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, Group] = field(default_factory=dict)
    passed_over: int = 0

    def leave_out(self, reason: str, partition: str, name: str) -> None:
        """Counts and names something that is not written."""
        self.left_out.setdefault(reason, Group()).add(partition, f"{partition} {name}")

    def lines(self) -> list[str]:
        """The same for a terminal."""
        lines = [f"{name}: {self.recipes[name]:,} recipes, {self.sentences[name]:,} sentences" for name in self.recipes]
        for reason, group in self.left_out.items():
            more = ", …" if group.counts.total() > NAMED else ""
            lines.append(f"left out: {group.counts.total():,} {reason} ({', '.join(group.first)}{more})")
        if self.passed_over:
            lines.append(f"passed over: {self.passed_over:,} recipes that the collection does not have")
        return lines


def write(
    source: Source, out: Path, dtype: str, *, wanted: Container[int] | None = None, overwrite: bool = False
) -> Written:
    """Writes a matrix (sentences, D), and beside it a `.txt` with the recipe's id of each row.

    Both are there whole or not at all. Only one recipe at a time is in memory. What cannot be used is left out, counted
    and named: a recipe whose id is none or was there before, or whose sentences are not in the source, and single
    sentences that are not finite.

    Args:
        source: of the vectors.
        out: the matrix, a `.npy`.
        dtype: of its numbers, one of `DTYPES`.
        wanted: ids, as numbers, of the recipes to write; None: all.
        overwrite: replaces a file that is there.

    Raises:
        UserError: the files cannot be written, or nothing is left to be written.
    """
    if out.suffix != ".npy":
        raise UserError(f"--out {out}: the matrix is a .npy file")
    if not overwrite and (there := [path for path in (out, out.with_suffix(".txt")) if path.exists()]):
        raise UserError(f"--out {out}: {there[0]} is there already; add --overwrite to replace it")
    written, seen = Written(), set()
    size = source.rows * source.length * np.dtype(dtype).itemsize
    try:
        with _pair(out) as (matrix, ids):
            header = _header(matrix, dtype, 0, source.length)
            if size and wanted is None:  # how many rows others have is not known
                os.posix_fallocate(matrix.fileno(), header, size)  # a full disk is told at once, not hours later
            for partition, number in source.recipes.items():
                written.recipes[partition] = written.sentences[partition] = 0
                for recipe in track(source.read(partition), f"vectors of {partition}", number, "recipe"):
                    if wanted is not None and RECIPE_ID.fullmatch(recipe.id) and int(recipe.id, 16) not in wanted:
                        written.passed_over += 1
                        continue
                    vectors = _usable(recipe, partition, dtype, seen, written)
                    matrix.write(vectors.data)
                    ids.write(f"{recipe.id}\n".encode() * len(vectors))
            rows = written.sentences.total()
            if not rows:
                raise UserError("; ".join(["no sentence can be used", *written.lines()]))
            matrix.truncate()
            matrix.seek(0)
            assert _header(matrix, dtype, rows, source.length) == header, "the header has grown"
    except OSError as error:
        hint = "" if dtype == "float16" else ", or give --dtype float16"
        most = "up to " if wanted is not None else ""
        raise UserError(
            f"--out {out}: {most}{size / 2**30:.1f} GiB cannot be written ({error.strerror}); make room{hint}"
        ) from None
    return written


def _usable(recipe: Sentences, partition: str, dtype: str, seen: set[int], written: Written) -> np.ndarray:
    """The rows (sentences, D) of a recipe that are to be written."""
    nothing = np.empty((0, 0), dtype)
    if not RECIPE_ID.fullmatch(recipe.id):
        written.leave_out(BAD_ID, partition, repr(shown(recipe.id)))
        return nothing
    key = int(recipe.id, 16)
    if key in seen:
        written.leave_out(REPEATED, partition, recipe.id)
        return nothing
    if recipe.vectors is None:
        written.leave_out(recipe.problem, partition, recipe.id)
        return nothing
    seen.add(key)
    with np.errstate(over="ignore"):
        vectors = np.ascontiguousarray(recipe.vectors, dtype)
    finite = np.isfinite(vectors).all(axis=1)
    for row in np.flatnonzero(~finite):
        written.leave_out(NOT_FINITE, partition, f"{recipe.id}, sentence {row + 1}")
    vectors = vectors[finite]
    if not len(vectors):
        written.leave_out(NONE, partition, recipe.id)
        return nothing
    written.recipes[partition] += 1
    written.sentences[partition] += len(vectors)
    return vectors


def _header(file: IO[bytes], dtype: str, rows: int, length: int) -> int:
    """Writes the beginning of a `.npy`, which has the same length for any number of rows; returns where it ends."""
    description = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (rows, length)}
    np.lib.format.write_array_header_1_0(file, description)
    return file.tell()


@contextmanager
def _pair(out: Path) -> Generator[tuple[IO[bytes], IO[bytes]]]:
    """Two files to write, which become `out` and the `.txt` beside it when the block ends without an error.

    What a killed run left is overwritten by the next one.

    Raises:
        UserError: another run is writing the same.
    """
    places = (out, out.with_suffix(".txt"))
    asides = [place.with_name(f".{place.stem}.incomplete{place.suffix}") for place in places]
    out.parent.mkdir(parents=True, exist_ok=True)
    with asides[0].open("ab", buffering=0) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"another run is writing {out}; wait for it or choose another --out") from None
        try:
            with asides[0].open("r+b") as matrix, asides[1].open("wb") as ids:
                matrix.truncate(0)
                yield matrix, ids
            out.unlink(missing_ok=True)  # an old matrix must never be beside new ids
            for aside, place in zip(reversed(asides), reversed(places), strict=True):
                aside.replace(place)
        finally:
            for aside in asides:
                aside.unlink(missing_ok=True)
