"""Finds duplicate photos and texts. Duplicates in two partitions leak training data into an evaluation."""

import hashlib
import itertools
import unicodedata
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data_builders.recipe1m.recipes import PARTITIONS

NAMED = 10
"""Maximum number of pairs to name."""
_ID_BITS = 40  # 10 hex digits


@dataclass(frozen=True)
class Shared:
    """The contents that two partitions share, or that repeat within one.

    Attributes:
        contents: Number of different contents.
        items: Number of items with these contents, for each partition; within one partition, the first is not counted.
        first: Names of the first pairs of equal items, in the order of the collection.
    """

    contents: int
    items: dict[str, int]
    first: list[tuple[str, str]]


class Duplicates:
    """Finds items with equal content by 64-bit digests.

    It takes 16 bytes per item, and about twice as much during the comparison. The probability that any two of a million
    different contents have the same digest is 3e-8.

    Args:
        suffix: Suffix of the names of the items, after their 10 hex digits.
    """

    def __init__(self, suffix: str = ""):
        self._suffix = suffix
        self._digests = array("Q")
        self._items = array("Q")  # partition and id

    def add(self, digest: int, partition: str, identity: str) -> None:
        """Adds an item with a `content_digest` and an id that starts with 10 hex digits."""
        self._digests.append(digest)
        self._items.append(PARTITIONS.index(partition) << _ID_BITS | int(identity[:10], 16))

    def __len__(self) -> int:
        """Returns the number of items."""
        return len(self._digests)

    def find(self) -> dict[tuple[str, ...], Shared]:
        """Returns what each pair of partitions shares and what repeats within each; keys are ("train", "val"), …"""
        rows, contents = self._repeated()
        partitions = (np.frombuffer(self._items, np.uint64)[rows] >> np.uint64(_ID_BITS)).astype(np.int64)
        number, kinds = int(contents[-1]) + 1 if len(contents) else 0, len(PARTITIONS)
        sizes = np.bincount(contents * kinds + partitions, minlength=number * kinds).reshape(number, kinds)
        starts = np.searchsorted(contents, np.arange(number + 1))
        found: dict[tuple[str, ...], Shared] = {}
        for places in (*itertools.combinations(range(kinds), 2), *((place,) for place in range(kinds))):
            once = len(places) == 1  # within one partition, the first item of a content is not a duplicate
            chosen = np.flatnonzero((sizes[:, places] > once).all(axis=1))
            items = {PARTITIONS[place]: int((sizes[chosen, place] - once).sum()) for place in places}
            first = []
            for content in chosen[np.argsort(rows[starts[chosen]], kind="stable")[:NAMED]]:
                span = slice(starts[content], starts[content + 1])
                members = [rows[span][partitions[span] == place] for place in places]
                pair = members[0][:2] if once else [of_partition[0] for of_partition in members]
                first.append((self._name(pair[0]), self._name(pair[1])))
            found[tuple(PARTITIONS[place] for place in places)] = Shared(len(chosen), items, first)
        return found

    def _repeated(self) -> tuple[np.ndarray, np.ndarray]:
        """Returns the rows of the items with repeated contents and content numbers, sorted by content, then by row."""
        digests = np.frombuffer(self._digests, np.uint64)
        ordered = np.sort(digests)
        repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        del ordered
        if not len(repeated):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        contents = np.searchsorted(repeated, digests).clip(max=len(repeated) - 1)
        rows = np.flatnonzero(repeated[contents] == digests)
        contents = contents[rows]
        order = np.argsort(contents, kind="stable")
        return rows[order], contents[order]

    def _name(self, row: int) -> str:
        return f"{self._items[row] & (1 << _ID_BITS) - 1:010x}{self._suffix}"


def content_digest(content: bytes) -> int:
    """Returns a 64-bit digest."""
    # Many processors have instructions for SHA-256; measured, it takes 0.4 of the time of BLAKE2b.
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little")


def text_digest(title: str, ingredients: Iterable[str], instructions: Iterable[str]) -> int:
    """Returns a digest of a recipe's text that ignores letter case, white space, line breaks and Unicode form."""
    parts = (title, " ".join(ingredients), " ".join(instructions))
    return content_digest("\n".join(map(_normalised, parts)).encode())


def _normalised(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())
