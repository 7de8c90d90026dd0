"""Recipes, and the ids that they have: 10 hex digits, or the number that these are."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

PARTITIONS = ("train", "val", "test")

RECIPE_ID = re.compile(r"[0-9a-fA-F]{10}")
NO_ID = 2**64 - 1
"""The number of what is no id."""

_DIGITS, _BYTES = 10, 5
_HEX = re.compile(r"[0-9a-fA-F]*")


class Recipe(NamedTuple):
    """One usable record of layer 1 with what the other two layers say about it; all texts are as they were written.

    Attributes:
        id: 10 hex digits.
        partition: "train", "val" or "test".
        ingredients, instructions: the raw lines.
        names: detected ingredient names, empty when det_ingrs.json does not know the recipe.
        valid: for each name, whether the detector was sure.
        images: what layer 2 lists as image ids, in its order and unchecked.
    """

    id: str
    title: str
    url: str
    partition: str
    ingredients: list[str]
    instructions: list[str]
    names: list[str]
    valid: list[bool]
    images: list[str]


class Unusable(msgspec.Struct, tag=True, array_like=True, gc=False):
    """A well-formed record of layer 1 that is no usable recipe.

    Attributes:
        name: what to call it in a report.
        partition: as the record says, or "unknown".
        reason: why it cannot be used.
    """

    name: str
    partition: str
    reason: str


def id_numbers(ids: Sequence[Any]) -> np.ndarray:
    """(ids,) uint64, each below 2⁴⁰, or `NO_ID` where something else than an id stands."""
    if all(isinstance(identity, str) and len(identity) == _DIGITS for identity in ids):
        digits = "".join(ids)
        if _HEX.fullmatch(digits):
            numbers = np.zeros((len(ids), 8), np.uint8)
            numbers[:, -_BYTES:] = np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(-1, _BYTES)
            return numbers.view(">u8")[:, 0].astype(np.uint64)
    is_id = [isinstance(identity, str) and RECIPE_ID.fullmatch(identity) for identity in ids]
    return np.array([int(one, 16) if known else NO_ID for one, known in zip(ids, is_id, strict=True)], np.uint64)
