"""A tensor as PyTorch and Torch7 store it: sizes and strides on a flat row of numbers."""

import math
import operator
from collections.abc import Sequence

import numpy as np


def view(storage: np.ndarray, offset: int, sizes: Sequence[int], strides: Sequence[int]) -> np.ndarray:
    """The tensor, without copying a number.

    Args:
        storage: (n,) numbers.
        offset: of the first element, in numbers.
        sizes: of each dimension.
        strides: from one element of a dimension to the next, in numbers.

    Raises:
        ValueError: it is not inside the storage, or larger than the storage.
        TypeError: something is not a whole number.
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
