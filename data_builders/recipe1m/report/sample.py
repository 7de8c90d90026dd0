"""A random sample of the kept recipes, to be looked at."""

import hashlib
import heapq
from dataclasses import dataclass

from adamine_jax.plots.gallery_items import Item
from data_builders.recipe1m.recipes import PARTITIONS

SIZE = 24


@dataclass(frozen=True, slots=True)
class Sampled:
    """A recipe of the sample.

    Attributes:
        partition: where it is.
        position: how many recipes were kept before it.
        item: its texts and one of its photos; no class yet.
        photo_id: of that photo.
    """

    partition: str
    position: int
    item: Item
    photo_id: str = ""


class Sample:
    """Draws recipes without holding more than `size` of each partition.

    Each recipe has a number made from its id and the seed; those with the smallest numbers are the sample, whatever
    the order.

    Args:
        size: recipes to draw, equally many of each partition that has enough.
        seed: which ones are drawn.
    """

    def __init__(self, size: int = SIZE, seed: int = 0):
        self._size, self._seed = size, seed
        self._drawn: dict[str, list[tuple[int, int, Sampled]]] = {name: [] for name in PARTITIONS}

    def number(self, identity: str) -> int:
        """The random number of a recipe, 64 bits."""
        return int.from_bytes(hashlib.blake2b(f"{self._seed} {identity}".encode(), digest_size=8).digest(), "little")

    def takes(self, partition: str, identity: str) -> bool:
        """Whether a recipe with this id would get into the sample of those that came up to now."""
        drawn = self._drawn[partition]
        return len(drawn) < self._size or -self.number(identity) > drawn[0][0]

    def add(self, sampled: Sampled) -> None:
        """Takes a recipe into the sample, perhaps in another one's place, or does not."""
        drawn = self._drawn[sampled.partition]
        entry = (-self.number(sampled.item.id), sampled.position, sampled)
        if len(drawn) < self._size:
            heapq.heappush(drawn, entry)
        else:
            heapq.heappushpop(drawn, entry)

    def chosen(self) -> list[Sampled]:
        """The sample: train's recipes, then val's, then test's."""
        there = {name: [entry[-1] for entry in sorted(drawn, reverse=True)] for name, drawn in self._drawn.items()}
        taken = dict.fromkeys(there, 0)
        left = min(self._size, sum(map(len, there.values())))
        while left:
            for name, recipes in there.items():
                if left and taken[name] < len(recipes):
                    taken[name] += 1
                    left -= 1
        return [sampled for name, recipes in there.items() for sampled in recipes[: taken[name]]]
