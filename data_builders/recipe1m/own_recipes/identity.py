"""Ids and partitions that depend only on the content of the recipes, not on their order."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from data_builders.recipe1m.recipes import PARTITIONS, RECIPE_ID


def short_ids(digests: Iterable[str], taken: Iterable[str] = ()) -> tuple[dict[str, str], list[str]]:
    """Assigns each digest its first ten digits, or those of a hash of it if they are taken.

    Args:
        digests: Hexadecimal digests; their order does not matter.
        taken: Lower-case ids already in use.

    Returns:
        The id of each digest, and the digests whose first digits were taken.
    """
    used, ids, moved = set(taken), {}, []
    for digest in sorted(set(digests)):
        short, attempt = digest[:10], 0
        while short in used:
            attempt += 1
            short = hashlib.sha256(f"{digest} {attempt}".encode()).hexdigest()[:10]
        if attempt:
            moved.append(digest)
        used.add(short)
        ids[digest] = short
    return ids, moved


def recipe_ids(given: Sequence[str], digests: Sequence[str], ties: Sequence[tuple]) -> tuple[list[str], list[int]]:
    """Returns the id of each recipe: the given one if it is 10 hexadecimal digits, otherwise one from its text.

    Args:
        given: Given ids, or "".
        digests: Digests of the texts.
        ties: Keys that order recipes of the same text. The first one gets the id of the text, or keeps the given id
            that several recipes share.

    Returns:
        The ids, and the indices of the recipes that have neither their given id nor the id of their text.
    """
    order = sorted(range(len(given)), key=lambda number: (digests[number], ties[number], given[number]))
    ids: dict[int, str] = {}
    taken: set[str] = set()
    for number in order:
        if RECIPE_ID.fullmatch(given[number]) and given[number].lower() not in taken:
            ids[number] = given[number]
            taken.add(given[number].lower())
    repeats: Counter[str] = Counter()
    keys: dict[int, str] = {}
    for number in (number for number in order if number not in ids):
        digest = digests[number]
        repeated = f"{digest} again {repeats[digest]}"
        keys[number] = hashlib.sha256(repeated.encode()).hexdigest() if repeats[digest] else digest
        repeats[digest] += 1
    from_text, moved = short_ids(keys.values(), taken)
    ids |= {number: from_text[key] for number, key in keys.items()}
    moved = set(moved)
    changed = [n for n, key in keys.items() if RECIPE_ID.fullmatch(given[n]) or key != digests[n] or key in moved]
    return [ids[number] for number in range(len(given))], sorted(changed)


def groups(keys: Sequence[Iterable[str]]) -> list[int]:
    """Returns, for each item, the index of the first item of its connected component; common keys connect items."""
    parent = list(range(len(keys)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    first: dict[str, int] = {}
    for number, item_keys in enumerate(keys):
        for key in item_keys:
            one, other = root(number), root(first.setdefault(key, number))
            parent[max(one, other)] = min(one, other)
    return [root(number) for number in range(len(keys))]


def partitions(
    ids: Sequence[str], given: Sequence[str], group: Sequence[int], shares: Sequence[float]
) -> tuple[list[str], list[int]]:
    """Returns the partition of each recipe: the given one, or that of its group, which is given for a member or drawn.

    Args:
        ids: Ids of the recipes.
        given: "train", "val", "test", or "".
        group: Group of each recipe; a group stays in one partition.
        shares: Shares of train, val and test.

    Returns:
        The partitions, and the groups whose members were given different partitions.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for number, key in enumerate(group):
        members[key].append(number)
    found, split = [""] * len(ids), []
    for key, numbers in members.items():
        numbers = sorted(numbers, key=lambda number: ids[number].lower())
        given_to_group = list(dict.fromkeys(given[number] for number in numbers if given[number]))
        if len(given_to_group) > 1:
            split.append(key)
        common = given_to_group[0] if given_to_group else draw(ids[numbers[0]], shares)
        for number in numbers:
            found[number] = given[number] or common
    return found, split


def draw(identity: str, shares: Sequence[float]) -> str:
    """Draws a partition with the probabilities `shares`, determined by the id."""
    digits = hashlib.sha256(f"partition of {identity.lower()}".encode()).hexdigest()[:13]
    point = int(digits, 16) / 16**13 * sum(shares)
    for partition, share in zip(PARTITIONS, shares, strict=True):
        if point < share:
            return partition
        point -= share
    return next(partition for partition, share in zip(PARTITIONS, shares, strict=True) if share > 0)
