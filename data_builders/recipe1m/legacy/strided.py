"""Tensors as PyTorch and Torch7 store them: sizes and strides on a flat storage."""

import math
import operator
from collections.abc import Sequence

import numpy as np

_CODES = {"Byte": "u1", "Char": "i1", "Short": "<i2", "Int": "<i4", "Long": "<i8", "Float": "<f4", "Double": "<f8"}
KINDS = {kind: np.dtype(code) for kind, code in _CODES.items()}
"""The dtype of each kind of storage and tensor that PyTorch and Torch7 share."""


def view(storage: np.ndarray, offset: int, sizes: Sequence[int], strides: Sequence[int]) -> np.ndarray:
    """Returns a tensor as a view of its storage.

    Args:
        storage: (n,) numbers.
        offset: Position of the first element in the storage.
        sizes: Size of each dimension.
        strides: Step of each dimension, in elements.

    Raises:
        ValueError: The tensor exceeds its storage, or has more elements than it.
        TypeError: An argument is not an integer.
    """
    offset, sizes, strides = operator.index(offset), [*map(operator.index, sizes)], [*map(operator.index, strides)]
    shape = "×".join(map(str, sizes))
    if len(sizes) != len(strides) or min([offset, *sizes, *strides]) < 0:
        raise ValueError(f"a tensor has the sizes {sizes}, strides {strides} and offset {offset}")
    elements = math.prod(sizes)
    if not elements:
        return np.empty(sizes, storage.dtype)
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
    if last >= len(storage) or elements > len(storage):
        raise ValueError(f"a tensor of {shape or 1} numbers does not fit its storage of {len(storage)}")
    steps = [stride * storage.itemsize for stride in strides]
    return np.lib.stride_tricks.as_strided(storage[offset:], sizes, steps, writeable=False)
