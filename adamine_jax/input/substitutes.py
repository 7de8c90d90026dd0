"""Which record takes the place of a damaged one in a training batch.

The next record of the same class, by record number and cyclically, that can be read and is neither in the planned
global batch nor another row's substitute; where the class has none left, the next such record of any class. The
background counts as a class. This is a pure function of the plan, the labels and of what is damaged: every process
finds the same substitutes by itself, and so does a run that goes on.
"""

from collections.abc import Callable, Iterator, Set

import numpy as np

from adamine_jax.base.errors import UserError


def candidates(number: int, labels: np.ndarray, taken: Set[int]) -> Iterator[int]:
    """The records that may take the place of one, in the order in which they are tried.

    Args:
        number: of the damaged record.
        labels: (N,) classes, 0 = background.
        taken: records that may not.
    """
    is_same = labels == labels[number]
    for is_wanted in (is_same, ~is_same):
        wanted = np.flatnonzero(is_wanted)
        after = np.searchsorted(wanted, number, side="right")
        for other in (*wanted[after:].tolist(), *wanted[:after].tolist()):
            if other not in taken and other != number:
                yield other


def substitute(
    numbers: np.ndarray,
    lenders: np.ndarray,
    labels: np.ndarray,
    damaged_rows: np.ndarray,
    lender_of: Callable[[int, int], int],
    can_be_read: Callable[[int, int, int], tuple[bool, bool]],
) -> tuple[np.ndarray, np.ndarray]:
    """Gives the damaged rows of a global batch other records, or other records' photos.

    A row whose record cannot be read, or its own photo, becomes the substitute's with all that is drawn for it. Where
    only a lent photo cannot be read, its lender alone is replaced, by the same rule.

    Args:
        numbers: (B,) records of the global batch.
        lenders: (B,) records whose photos they get.
        labels: (N,) classes.
        damaged_rows: rows that cannot be read, in ascending order.
        lender_of: (row, record) → its lender there.
        can_be_read: (row, record, lender) → whether the recipe can be, and the photo that is drawn there.

    Returns:
        (numbers (B,), lenders (B,)) of which all can be read.

    Raises:
        UserError: nothing is left to take a place.
    """
    taken = set(numbers.tolist())
    numbers, lenders = numbers.copy(), lenders.copy()

    def first_readable(row: int) -> tuple[int, int]:
        for number in (int(numbers[row]), *candidates(int(numbers[row]), labels, taken)):
            lender = lender_of(row, number)
            has_recipe, has_photo = can_be_read(row, number, lender)
            if has_recipe and has_photo:
                return number, lender
            if has_recipe and lender != number:
                for other in candidates(lender, labels, taken | {number}):
                    if all(can_be_read(row, number, other)):
                        return number, other
        raise UserError(
            f"a batch of {len(numbers)} has a damaged record, and no other of the {len(labels)} records is left to "
            "take its place; convert the data set again with --overwrite, or take a smaller config.batch_size"
        )

    for row in damaged_rows:
        numbers[row], lenders[row] = first_readable(row)
        taken.add(int(numbers[row]))
    return numbers, lenders
