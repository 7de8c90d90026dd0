"""How a whole number is distributed over many items: lengths of texts, sides of photos."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

QUANTILES = {"min": 0.0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "max": 1.0}


class Distribution:
    """Counts how often each whole number occurs; its memory grows with the number of different ones.

    Attributes:
        counts: number -> how often.
    """

    def __init__(self, values: Iterable[int] = ()):
        self.counts: Counter[int] = Counter(values)

    def add(self, value: int) -> None:
        """Counts one more."""
        self.counts[value] += 1

    def total(self) -> int:
        """How many numbers were counted."""
        return self.counts.total()

    def quantiles(self) -> dict[str, int]:
        """`QUANTILES`: of each, the smallest number that this share of all does not exceed; empty without any."""
        steps = [(name, share * self.total()) for name, share in QUANTILES.items()]
        found, passed = {}, 0
        for value in sorted(self.counts):
            passed += self.counts[value]
            while steps and passed >= steps[0][1]:
                found[steps.pop(0)[0]] = value
        return found

    def above(self, limit: int) -> int:
        """How many are larger than `limit`."""
        return sum(count for value, count in self.counts.items() if value > limit)

    def excess_over(self, limit: int) -> int:
        """By how much they exceed `limit`, all together."""
        return sum(count * (value - limit) for value, count in self.counts.items() if value > limit)

    def as_json(self) -> dict[str, Any]:
        """The quantiles, and how often each number occurs."""
        return {**self.quantiles(), "counts": {str(value): self.counts[value] for value in sorted(self.counts)}}
