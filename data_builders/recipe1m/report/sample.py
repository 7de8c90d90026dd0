"""Draws a random sample of the kept recipes for the contact sheet."""

import dataclasses
import hashlib
import heapq
from typing import Any

from adamine_jax.plots.gallery_items import Item
from data_builders.recipe1m.recipes import PARTITIONS

SIZE = 24


@dataclasses.dataclass(frozen=True, slots=True)
class Sampled:
    """A recipe of the sample.

    Attributes:
        partition: Partition of the recipe.
        position: Number of recipes kept before it.
        item: Its texts and one of its photos. The class name is empty until the classes are known.
        photo_id: Id of the photo.
    """

    partition: str
    position: int
    item: Item
    photo_id: str = ""

    def with_item(self, **fields: Any) -> "Sampled":
        """Returns a copy with some fields of `item` replaced."""
        return dataclasses.replace(self, item=dataclasses.replace(self.item, **fields))


class Sample:
    """Draws recipes while keeping at most `size` of each partition in memory.

    The sample consists of the recipes with the smallest hashes of their id and the seed, so it does not depend on the
    order of the recipes.

    Args:
        size: Number of recipes to draw, equally many of each partition that has enough.
        seed: Seed of the hashes.
    """

    def __init__(self, size: int = SIZE, seed: int = 0):
        self._size, self._seed = size, seed
        self._drawn: dict[str, list[tuple[int, int, Sampled]]] = {name: [] for name in PARTITIONS}

    def number(self, identity: str) -> int:
        """Returns the 64-bit hash of a recipe's id and the seed."""
        return int.from_bytes(hashlib.blake2b(f"{self._seed} {identity}".encode(), digest_size=8).digest(), "little")

    def takes(self, partition: str, identity: str) -> bool:
        """Whether `add` would take a recipe with this id."""
        drawn = self._drawn[partition]
        return len(drawn) < self._size or -self.number(identity) > drawn[0][0]

    def add(self, sampled: Sampled) -> None:
        """Takes a recipe if its hash is among the smallest of its partition."""
        drawn = self._drawn[sampled.partition]
        entry = (-self.number(sampled.item.id), sampled.position, sampled)
        if len(drawn) < self._size:
            heapq.heappush(drawn, entry)
        else:
            heapq.heappushpop(drawn, entry)

    def chosen(self) -> list[Sampled]:
        """Returns the sample in the order train, val, test."""
        drawn = {name: [entry[-1] for entry in sorted(heap, reverse=True)] for name, heap in self._drawn.items()}
        taken = dict.fromkeys(drawn, 0)
        remaining = min(self._size, sum(map(len, drawn.values())))
        while remaining:
            for name, recipes in drawn.items():
                if remaining and taken[name] < len(recipes):
                    taken[name] += 1
                    remaining -= 1
        return [sampled for name, recipes in drawn.items() for sampled in recipes[: taken[name]]]
