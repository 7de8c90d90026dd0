"""Recipes and their ids, which are 10 hex digits or the corresponding number."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

PARTITIONS = ("train", "val", "test")

RECIPE_ID = re.compile(r"[0-9a-fA-F]{10}")
NO_ID = 2**64 - 1
"""Number that represents an invalid id."""

_HEX = re.compile(r"[0-9a-fA-F]*")


class Recipe(NamedTuple):
    """A usable record of layer 1, joined with the records of the other two layers. All texts are unchanged.

    Attributes:
        id: Recipe id, 10 hex digits.
        title: Title.
        url: Link to the recipe.
        partition: "train", "val" or "test".
        ingredients, instructions: Raw lines.
        names: Detected ingredient names; empty if the recipe is not in det_ingrs.json.
        valid: For each name, whether the detector marked it as valid.
        images: Image ids in the order of layer 2, unchecked.
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
    """A well-formed record of layer 1 that is not a usable recipe.

    Attributes:
        name: Name of the record in a report.
        partition: Partition of the record, or "unknown".
        reason: Reason why it cannot be used.
    """

    name: str
    partition: str
    reason: str


def id_numbers(ids: Sequence[Any]) -> np.ndarray:
    """Returns (ids,) uint64 numbers below 2⁴⁰, or `NO_ID` for each value that is not an id."""
    if all(isinstance(identity, str) and len(identity) == 10 for identity in ids):
        digits = "".join(ids)
        if _HEX.fullmatch(digits):  # the usual case, converted in one step
            numbers = np.zeros((len(ids), 8), np.uint8)
            numbers[:, 3:] = np.frombuffer(bytes.fromhex(digits), np.uint8).reshape(-1, 5)
            return numbers.view(">u8")[:, 0].astype(np.uint64)
    are_ids = [isinstance(identity, str) and RECIPE_ID.fullmatch(identity) for identity in ids]
    return np.array([int(text, 16) if is_id else NO_ID for text, is_id in zip(ids, are_ids, strict=True)], np.uint64)
