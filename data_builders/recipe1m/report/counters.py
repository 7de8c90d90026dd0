"""Counters of bounded memory: the distribution of an integer, and the most frequent of many texts."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

QUANTILES = {"min": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "max": 1.0}
CAPACITY = 50_000
# Longer texts are truncated, so that a text of a megabyte does not stay in memory.
_MAX_CHARS = 100


class Distribution:
    """Counts how often each integer occurs, e.g. as the length of a text."""

    def __init__(self):
        self.counts: Counter[int] = Counter()

    def add(self, value: int) -> None:
        self.counts[value] += 1

    def total(self) -> int:
        return self.counts.total()

    def quantiles(self) -> dict[str, int]:
        """Returns the `QUANTILES` (inverted distribution function), or an empty dictionary without any integers."""
        steps = [(name, share * self.total()) for name, share in QUANTILES.items()]
        quantiles, cumulative = {}, 0
        for value in sorted(self.counts):
            cumulative += self.counts[value]
            while steps and cumulative >= steps[0][1]:
                quantiles[steps.pop(0)[0]] = value
        return quantiles

    def above(self, limit: int) -> int:
        """Returns how many of the integers are larger than `limit`."""
        return sum(count for value, count in self.counts.items() if value > limit)

    def excess_over(self, limit: int) -> int:
        """Returns the sum of the amounts by which the integers exceed `limit`."""
        return sum(count * (value - limit) for value, count in self.counts.items() if value > limit)

    def as_json(self) -> dict[str, Any]:
        """Returns the quantiles and the count of each integer."""
        return {**self.quantiles(), "counts": {str(value): self.counts[value] for value in sorted(self.counts)}}


class FrequentTexts:
    """Counts texts and discards rare ones when there are too many (Misra & Gries, 1982).

    When there are more than `2 * capacity` different texts, all counts are lowered until at most `capacity` texts
    remain. Until then all counts are exact.

    Args:
        capacity: Number of texts that remain when rare ones are discarded.

    Attributes:
        error: Maximum amount by which a count is too low, at most the number of counted texts / (capacity + 1). Texts
            that occur more often than this are never discarded.
    """

    def __init__(self, capacity: int = CAPACITY):
        self._capacity = capacity
        self._counts: Counter[str] = Counter()
        self.error = 0

    def add(self, texts: Iterable[str]) -> None:
        for text in texts:
            self._counts[text[:_MAX_CHARS]] += 1
            if len(self._counts) > 2 * self._capacity:
                cut = sorted(self._counts.values(), reverse=True)[self._capacity]
                self._counts = Counter({text: count - cut for text, count in self._counts.items() if count > cut})
                self.error += cut

    def most_common(self, number: int) -> list[tuple[str, int]]:
        """Returns the most frequent texts and their counts, in alphabetical order for equal counts."""
        return sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))[:number]

    def __len__(self) -> int:
        return len(self._counts)
