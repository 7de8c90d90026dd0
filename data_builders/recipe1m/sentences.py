"""Writes published sentence vectors, whatever their source, to the file that `config.data.sentence_vectors` names."""

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
from data_builders.recipe1m.layers.formatting import shown
from data_builders.recipe1m.recipes import RECIPE_ID
from data_builders.recipe1m.report.groups import NAMED, Group

DTYPES = ("float32", "float16")

BAD_ID = "recipes whose id is not 10 hex digits"
REPEATED = "recipes whose id appears a second time"
NOT_FINITE = "sentences with a value that is not finite"
NONE = "recipes without a sentence"
# A whole recipe is held in memory, and the number of its sentences may be damaged.
MAX_SENTENCES = 10_000
TOO_MANY = f"recipes with more than {MAX_SENTENCES:,} sentences"


@dataclass(frozen=True, slots=True)
class Sentences:
    """The sentence vectors of a recipe.

    Attributes:
        id: Recipe id, unchecked.
        vectors: (sentences, D) array of any floating dtype, or None if it cannot be read.
        problem: Reason why it cannot be read.
    """

    id: str
    vectors: np.ndarray | None
    problem: str = ""


class Source(Protocol):
    """A source of sentence vectors.

    Attributes:
        recipes: Number of recipes of each partition.
        rows: Maximum number of sentences.
        length: Length D of a vector.
    """

    recipes: dict[str, int]
    rows: int
    length: int

    def read(self, partition: str) -> Iterator[Sentences]:
        """Yields the recipes of a partition in order."""


@dataclass
class Written:
    """Counts of what was written and what was left out.

    Attributes:
        recipes, sentences: Number written, for each partition.
        left_out: Recipes or sentences that were left out, by reason.
        skipped: Number of recipes that were not requested.
    """

    recipes: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, Group] = field(default_factory=dict)
    skipped: int = 0

    def leave_out(self, reason: str, partition: str, name: str) -> None:
        """Counts a recipe or sentence that is not written."""
        self.left_out.setdefault(reason, Group()).add(partition, f"{partition} {name}")

    def lines(self) -> list[str]:
        """Returns the counts as lines of text."""
        lines = [f"{name}: {self.recipes[name]:,} recipes, {self.sentences[name]:,} sentences" for name in self.recipes]
        for reason, group in self.left_out.items():
            more = ", …" if group.counts.total() > NAMED else ""
            lines.append(f"left out: {group.counts.total():,} {reason} ({', '.join(group.first)}{more})")
        if self.skipped:
            lines.append(f"skipped: {self.skipped:,} recipes that are not in the collection")
        return lines


def write(
    source: Source, out: Path, dtype: str, *, wanted: Container[int] | None = None, overwrite: bool = False
) -> Written:
    """Writes a matrix (sentences, D) and, beside it, a `.txt` with the recipe id of each row.

    Either both files are written completely or neither is. Unusable recipes and sentences are left out and reported:
    recipes whose id is invalid or repeated or whose sentences cannot be read, and sentences with values that are not
    finite.

    Args:
        source: Source of the vectors.
        out: Path of the matrix, a `.npy` file.
        dtype: Data type of the matrix, one of `DTYPES`.
        wanted: Ids of the recipes to write, as numbers. None writes all.
        overwrite: Whether to replace existing files.

    Raises:
        UserError: The files cannot be written, or no sentence can be used.
    """
    if out.suffix != ".npy":
        raise UserError(f"--out {out}: the name of the matrix must end in .npy")
    if not overwrite and (existing := [path for path in (out, out.with_suffix(".txt")) if path.exists()]):
        raise UserError(f"--out {out}: {existing[0]} exists already; add --overwrite to replace it")
    written, seen = Written(), set()
    size = source.rows * source.length * np.dtype(dtype).itemsize
    try:
        with _pair(out) as (matrix, ids):
            header = _header(matrix, dtype, 0, source.length)
            if size and wanted is None:  # with `wanted`, the number of rows is not known in advance
                os.posix_fallocate(matrix.fileno(), header, size)  # detects a full disk now instead of hours later
            for partition, number in source.recipes.items():
                written.recipes[partition] = written.sentences[partition] = 0
                for recipe in track(source.read(partition), f"vectors of {partition}", number, "recipe"):
                    if wanted is not None and RECIPE_ID.fullmatch(recipe.id) and int(recipe.id, 16) not in wanted:
                        written.skipped += 1
                        continue
                    vectors = _usable(recipe, partition, dtype, seen, written)
                    matrix.write(vectors.data)
                    ids.write(f"{recipe.id}\n".encode() * len(vectors))
            rows = written.sentences.total()
            if not rows:
                raise UserError("; ".join(["no sentence can be used", *written.lines()]))
            matrix.truncate()
            matrix.seek(0)
            assert _header(matrix, dtype, rows, source.length) == header, "the length of the header changed"
    except OSError as error:
        hint = "" if dtype == "float16" else ", or give --dtype float16"
        up_to = "" if wanted is None else "up to "
        raise UserError(
            f"--out {out}: {up_to}{size / 2**30:.1f} GiB cannot be written ({error.strerror}); free some space{hint}"
        ) from None
    return written


def _usable(recipe: Sentences, partition: str, dtype: str, seen: set[int], written: Written) -> np.ndarray:
    """Returns the rows (sentences, D) of a recipe to write, and counts those and what is left out in `written`."""
    problem, name = "", recipe.id
    if not RECIPE_ID.fullmatch(recipe.id):
        problem, name = BAD_ID, repr(shown(recipe.id))
    elif int(recipe.id, 16) in seen:
        problem = REPEATED
    elif recipe.vectors is None:
        problem = recipe.problem
    else:
        seen.add(int(recipe.id, 16))
        with np.errstate(over="ignore"):
            vectors = np.ascontiguousarray(recipe.vectors, dtype)
        finite = np.isfinite(vectors).all(axis=1)
        for row in np.flatnonzero(~finite):
            written.leave_out(NOT_FINITE, partition, f"{recipe.id}, sentence {row + 1}")
        if finite.any():
            written.recipes[partition] += 1
            written.sentences[partition] += int(finite.sum())
            return vectors[finite]
        problem = NONE
    written.leave_out(problem, partition, name)
    return np.empty((0, 0), dtype)


def _header(file: IO[bytes], dtype: str, rows: int, length: int) -> int:
    """Writes the header of a `.npy` file, whose length does not depend on the number of rows; returns its end."""
    description = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (rows, length)}
    np.lib.format.write_array_header_1_0(file, description)
    return file.tell()


@contextmanager
def _pair(out: Path) -> Generator[tuple[IO[bytes], IO[bytes]]]:
    """Opens two temporary files that become `out` and the `.txt` beside it when the block ends without an error.

    Raises:
        UserError: Another run is writing the same files.
    """
    places = (out, out.with_suffix(".txt"))
    temporary = [place.with_name(f".{place.stem}.incomplete{place.suffix}") for place in places]
    out.parent.mkdir(parents=True, exist_ok=True)
    with temporary[0].open("ab", buffering=0) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"another run is writing {out}; wait for it or choose another --out") from None
        try:
            with temporary[0].open("r+b") as matrix, temporary[1].open("wb") as ids:
                matrix.truncate(0)  # a killed run may have left content
                yield matrix, ids
            out.unlink(missing_ok=True)  # so that an old matrix is never beside new ids
            temporary[1].replace(places[1])
            temporary[0].replace(places[0])
        finally:
            for path in temporary:
                path.unlink(missing_ok=True)
