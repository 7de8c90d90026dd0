"""Things that share a fate: how many there are, and the names of the first."""

from collections import Counter
from dataclasses import dataclass, field

# How many of each kind the report names; `dropped.tsv` names them all.
NAMED = 10


@dataclass
class Group:
    """Things that share a fate: how many in each partition, and the first names."""

    counts: Counter[str] = field(default_factory=Counter)
    first: list[str] = field(default_factory=list)

    def add(self, partition: str, name: str) -> None:
        """Counts one more."""
        self.counts[partition] += 1
        if len(self.first) < NAMED:
            self.first.append(name)


def by_size(groups: dict[str, Group]) -> list[tuple[str, Group]]:
    """Groups with their names, the largest first."""
    return sorted(groups.items(), key=lambda item: -item[1].counts.total())
