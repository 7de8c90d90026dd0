"""Ids and partitions that depend on what a recipe says and not on when or in which order it was read."""

import hashlib
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence

from data_builders.recipe1m.recipes import PARTITIONS

ID = re.compile(r"[0-9a-fA-F]{10}")


def text_digest(title: str, ingredients: Sequence[str], instructions: Sequence[str]) -> str:
    """SHA-256 of a recipe's text, in hexadecimal digits; capitals, spacing and composed accents make no difference."""

    def canonical(line: str) -> str:
        return " ".join(unicodedata.normalize("NFC", line).casefold().split())

    record = [canonical(title), [canonical(line) for line in ingredients], [canonical(line) for line in instructions]]
    return hashlib.sha256(json.dumps(record).encode("ascii")).hexdigest()


def short_ids(digests: Iterable[str], taken: Iterable[str] = ()) -> tuple[dict[str, str], list[str]]:
    """Ten hexadecimal digits for each digest: its first ones, or where those are taken the first free ones of its own.

    Args:
        digests: in any order, which does not matter.
        taken: ids that are in use already, lower-case.

    Returns:
        {digest: id} and the digests whose first digits were taken.
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
    """The id of each recipe: the given one where it is 10 hexadecimal digits, else one from its text.

    Args:
        given: what was given as id, or "".
        digests: of the texts.
        ties: what tells recipes of the same text apart; decides which of them has the text's own id, and which of
            those with the same given id keeps it.

    Returns:
        The ids, and the numbers of the recipes that have neither the id that was given nor that of their text.
    """
    order = sorted(range(len(given)), key=lambda number: (digests[number], ties[number], given[number]))
    ids: dict[int, str] = {}
    taken: set[str] = set()
    for number in order:
        if ID.fullmatch(given[number]) and given[number].lower() not in taken:
            ids[number] = given[number]
            taken.add(given[number].lower())
    without = [number for number in order if number not in ids]
    seen: dict[str, int] = defaultdict(int)
    own: dict[int, str] = {}
    for number in without:
        repeats = seen[digests[number]]
        seen[digests[number]] += 1
        again = f"{digests[number]} again {repeats}"
        own[number] = hashlib.sha256(again.encode()).hexdigest() if repeats else digests[number]
    from_text, moved = short_ids(own.values(), taken)
    for number in without:
        ids[number] = from_text[own[number]]
    other = set(moved)
    changed = [n for n in without if ID.fullmatch(given[n]) or own[n] != digests[n] or own[n] in other]
    return [ids[number] for number in range(len(given))], sorted(changed)


def groups(keys: Sequence[Iterable[str]]) -> list[int]:
    """For each item the number of the first one that it is joined to by a common key, directly or through others."""
    parent = list(range(len(keys)))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = parent[parent[number]]
            number = parent[number]
        return number

    first: dict[str, int] = {}
    for number, own in enumerate(keys):
        for key in own:
            one, other = root(number), root(first.setdefault(key, number))
            parent[max(one, other)] = min(one, other)
    return [root(number) for number in range(len(keys))]


def partitions(
    ids: Sequence[str], given: Sequence[str], group: Sequence[int], shares: Sequence[float]
) -> tuple[list[str], list[int]]:
    """The partition of each recipe: the given one, or its group's, which is given for another member or drawn.

    Args:
        ids: of the recipes.
        given: "train", "val", "test", or "".
        group: a number for each recipe; recipes of a group belong together.
        shares: of train, val and test.

    Returns:
        The partitions, and the groups for whose members different ones were given.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for number, of in enumerate(group):
        members[of].append(number)
    found, split = [""] * len(ids), []
    for of, numbers in members.items():
        numbers = sorted(numbers, key=lambda number: ids[number].lower())
        said = list(dict.fromkeys(given[number] for number in numbers if given[number]))
        if len(said) > 1:
            split.append(of)
        common = said[0] if said else draw(ids[numbers[0]], shares)
        for number in numbers:
            found[number] = given[number] or common
    return found, split


def draw(identity: str, shares: Sequence[float]) -> str:
    """A partition by the shares, the same for an id in every run."""
    digits = hashlib.sha256(f"partition of {identity.lower()}".encode()).hexdigest()[:13]
    point = int(digits, 16) / 16**13 * sum(shares)
    for partition, share in zip(PARTITIONS, shares, strict=True):
        if point < share:
            return partition
        point -= share
    return next(partition for partition, share in zip(PARTITIONS, shares, strict=True) if share > 0)
