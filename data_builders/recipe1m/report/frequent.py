"""The most frequent of many texts, in bounded memory."""

from collections import Counter
from collections.abc import Iterable

CAPACITY = 50_000
# A text is told apart by this many characters: one of a megabyte would stay in memory as well.
_MOST_CHARS = 100


class FrequentTexts:
    """Counts texts and forgets rare ones where they become too many (Misra & Gries, 1982).

    At `2 * capacity` different texts the counts are lowered by as much as leaves at most `capacity` of them. Before
    that every count is exact.

    Args:
        capacity: texts that stay when rare ones are forgotten.

    Attributes:
        error: by how much a count may be too low, at most the number of counted texts / (capacity + 1); 0: all counts
            are exact. A text that was counted more often than this is never forgotten.
    """

    def __init__(self, capacity: int = CAPACITY):
        self._capacity = capacity
        self._counts: Counter[str] = Counter()
        self.error = 0

    def add(self, texts: Iterable[str]) -> None:
        """Counts each text once more."""
        for text in texts:
            self._counts[text[:_MOST_CHARS]] += 1
            if len(self._counts) > 2 * self._capacity:
                self._forget()

    def most_common(self, number: int) -> list[tuple[str, int]]:
        """The most frequent texts and their counts; equally frequent ones in the order of their letters."""
        return sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:number]

    def __len__(self) -> int:
        """How many texts it holds."""
        return len(self._counts)

    def _forget(self) -> None:
        cut = sorted(self._counts.values(), reverse=True)[self._capacity]
        self._counts = Counter({text: count - cut for text, count in self._counts.items() if count > cut})
        self.error += cut
