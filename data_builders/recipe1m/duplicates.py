"""Photos and texts that are there twice: in two partitions they let a model be tested on what it was trained on."""

import hashlib
import itertools
import unicodedata
from array import array
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from data_builders.recipe1m.recipes import PARTITIONS

NAMED = 10
_ID_BITS = 40  # ten hex digits


@dataclass(frozen=True)
class Shared:
    """What one or two partitions hold more than once.

    Attributes:
        contents: different contents.
        items: partition -> items that have one of these contents; of one partition all but the first of each.
        first: names of two items each that are the same, in the order of the collection.
    """

    contents: int
    items: dict[str, int]
    first: list[tuple[str, str]]


class Duplicates:
    """Finds items of the same content by 64-bit digests of it.

    It takes 16 bytes an item, and about twice as much while it compares. Two of a million different contents have
    the same digest with a probability of 3e-8.

    Args:
        suffix: of the items' names, behind their ten hex digits.
    """

    def __init__(self, suffix: str = ""):
        self._suffix = suffix
        self._digests = array("Q")
        self._items = array("Q")  # partition and id

    def add(self, digest: int, partition: str, identity: str) -> None:
        """Adds an item.

        Args:
            digest: of its content, see `content_digest`.
            partition: where it is.
            identity: its id, which starts with 10 hex digits; it is shown in lower case.
        """
        self._digests.append(digest)
        self._items.append(PARTITIONS.index(partition) << _ID_BITS | int(identity[:10], 16))

    def __len__(self) -> int:
        """How many items it holds."""
        return len(self._digests)

    def find(self) -> dict[tuple[str, ...], Shared]:
        """What each pair of partitions shares and what repeats within each; keys are ("train", "val"), ("train",), …"""
        rows, contents = self._repeated()
        partitions = np.frombuffer(self._items, np.uint64)[rows] >> np.uint64(_ID_BITS)
        number, kinds = int(contents[-1]) + 1 if len(contents) else 0, len(PARTITIONS)
        sizes = np.bincount(contents * kinds + partitions.astype(np.int64), minlength=number * kinds)
        sizes = sizes.reshape(number, kinds)
        found: dict[tuple[str, ...], Shared] = {}
        for one, other in itertools.combinations(range(kinds), 2):
            chosen = np.flatnonzero((sizes[:, one] > 0) & (sizes[:, other] > 0))
            items = {PARTITIONS[place]: int(sizes[chosen, place].sum()) for place in (one, other)}
            first = self._first(rows, contents, partitions, chosen, (one, other))
            found[PARTITIONS[one], PARTITIONS[other]] = Shared(len(chosen), items, first)
        for place, name in enumerate(PARTITIONS):
            chosen = np.flatnonzero(sizes[:, place] > 1)
            items = {name: int(sizes[chosen, place].sum()) - len(chosen)}
            found[(name,)] = Shared(len(chosen), items, self._first(rows, contents, partitions, chosen, (place, place)))
        return found

    def _repeated(self) -> tuple[np.ndarray, np.ndarray]:
        """Items whose digest another one has: (rows, numbers of their contents), ordered by content, then row."""
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

    def _first(
        self,
        rows: np.ndarray,
        contents: np.ndarray,
        partitions: np.ndarray,
        chosen: np.ndarray,
        places: tuple[int, int],
    ) -> list[tuple[str, str]]:
        """Names of the first item of each place, or of its first two, of the chosen contents that come first."""
        starts = np.searchsorted(contents, chosen)
        ends = np.searchsorted(contents, chosen, side="right")
        pairs = []
        for content in np.argsort(rows[starts], kind="stable")[:NAMED]:
            span = slice(starts[content], ends[content])
            members, at = rows[span], partitions[span]
            one, other = (members[at == place] for place in places)
            pairs.append((self._name(one[0]), self._name(other[1 if places[0] == places[1] else 0])))
        return pairs

    def _name(self, row: int) -> str:
        return f"{self._items[row] & (1 << _ID_BITS) - 1:010x}{self._suffix}"


def content_digest(content: bytes) -> int:
    """64 bits that tell contents apart."""
    # Many processors have instructions for this one: measured, 0.4 times the time of BLAKE2b.
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little")


def text_digest(title: str, ingredients: Iterable[str], instructions: Iterable[str]) -> int:
    """The digest of a recipe's text, whatever its letter case, white space, division into lines and Unicode form."""
    parts = (title, " ".join(ingredients), " ".join(instructions))
    return content_digest("\n".join(map(_normalised, parts)).encode())


def _normalised(text: str) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())
