"""Records or photos that are reported under the same reason."""

from collections import Counter
from dataclasses import dataclass, field

# Number of items that a report names per reason; `dropped.tsv` lists all of them.
NAMED = 10


@dataclass
class Group:
    """Items with the same reason: their number in each partition and the first names."""

    counts: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)

    def add(self, partition: str, name: str) -> None:
        self.counts[partition] += 1
        if len(self.first) < NAMED:
            self.first.append(name)


def by_size(groups: dict[str, Group]) -> list[tuple[str, Group]]:
    """Returns the groups with their reasons, the largest first."""
    return sorted(groups.items(), key=lambda item: -item[1].counts.total())
