"""Whether the pages of an LMDB file hold together.

LMDB takes what is in its file for true: a damaged page number or length makes it read outside of the file, which ends
the process. So the tree is walked once before LMDB gets it. Only its own pages are read, not those of long values.

The layout is that of LMDB 0.9 on a little-endian machine of 64 bits. The first two pages say where the tree starts; a
page has a header of 16 bytes, the places of its nodes from there on, and the nodes at its end.
"""

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adamine_jax.base.errors import UserError

_HEAD = 16
_MAGIC = 0xBEEFC0DE, 1
# Of the first two pages, behind their heads: the two magic numbers, the size of a page; and what `_Tree` has.
_START, _META = struct.Struct("<II16xI"), struct.Struct("<76xHH24xQQQQ")
_PAGE = struct.Struct("<QxxHHH")  # number, flags, end of the places, start of the nodes
_BRANCH, _LEAF, _LONG_VALUE = 1, 2, 1
_NODE = 8
_DEEPEST = 32
_NO_ROOT = 2**64 - 1


class _Tree(NamedTuple):
    flags: int
    depth: int
    entries: int
    root: int
    last_page: int
    transaction: int


class _DamageError(Exception):
    """Says what is wrong."""


def check_pages(path: Path) -> None:
    """Walks through the tree of a database, unless it is none, which LMDB will say.

    Raises:
        UserError: it is cut off, or a page is not what it should be.
    """
    with path.open("rb") as file:
        start = file.read(_HEAD + _START.size)
        if len(start) < _HEAD + _START.size or _START.unpack_from(start, _HEAD)[:2] != _MAGIC:
            return
        page_size = _START.unpack_from(start, _HEAD)[2]
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                _check(path, data, page_size)
            except _DamageError as problem:
                raise UserError(f"{path}: is damaged ({problem})") from None


def _check(path: Path, data: mmap.mmap, page_size: int) -> None:
    if page_size not in [2**power for power in range(8, 17)]:
        raise _DamageError(f"pages of {page_size} bytes")
    _check_length(path, data, 2 * page_size)
    tree = max((_tree(data, page * page_size) for page in (0, 1)), key=lambda tree: tree.transaction)
    _check_length(path, data, (tree.last_page + 1) * page_size)
    if tree.flags or tree.depth > _DEEPEST:
        raise _DamageError("its tree is not one of data_lmdb")
    seen: set[int] = set()
    entries, pages = 0, [] if tree.root == _NO_ROOT else [(tree.root, tree.depth)]
    while pages:
        number, depth = pages.pop()
        if number in seen or not 1 < number <= tree.last_page or not depth:
            raise _DamageError(f"page {number:,} is out of place")
        seen.add(number)
        page = np.frombuffer(data[number * page_size : (number + 1) * page_size], np.uint8)
        try:
            below, values = _nodes(page, number, is_leaf=depth == 1, last_page=tree.last_page)
        except _DamageError as problem:
            raise _DamageError(f"page {number:,}: {problem}") from None
        entries += values
        pages += [(child, depth - 1) for child in below]
    if entries != tree.entries:
        raise _DamageError(f"{tree.entries:,} records are announced, {entries:,} are there")


def _check_length(path: Path, data: mmap.mmap, needed: int) -> None:
    if len(data) < needed:
        raise UserError(f"{path} is cut off: {needed:,} bytes should be there, {len(data):,} are")


def _tree(data: mmap.mmap, start: int) -> _Tree:
    if _START.unpack_from(data, start + _HEAD)[:2] != _MAGIC:
        raise _DamageError("its second page does not start it")
    return _Tree(*_META.unpack_from(data, start + _HEAD))


def _nodes(page: np.ndarray, number: int, *, is_leaf: bool, last_page: int) -> tuple[list[int], int]:
    """The pages below a page, and how many values are on it.

    A node has four numbers of two bytes (for a value its length in two parts, flags, the key's length), the key, and
    the value or, if that is long, the number of its first page. Above the leaves the first three are a page's number.
    """
    itself, flags, places_end, nodes_start = _PAGE.unpack_from(page.data)
    count = (places_end - _HEAD) // 2
    if itself != number or flags & (_BRANCH | _LEAF) != (_LEAF if is_leaf else _BRANCH):
        raise _DamageError("is another one")
    if not (_HEAD < places_end <= nodes_start <= len(page)) or (count < 2 and not is_leaf):
        raise _DamageError("has no room for its records")
    words = page.view("<u2")
    places = words[_HEAD // 2 : _HEAD // 2 + count].astype(np.int64)
    if (places < nodes_start).any() or (places > len(page) - _NODE).any() or (places % 2).any():
        raise _DamageError("has a record elsewhere")
    low, high, flag, key = (words[places // 2 + n].astype(np.int64) for n in range(4))
    ends = places + _NODE + key
    below = low | high << 16 | flag << 32
    if not is_leaf:
        if (ends > len(page)).any():
            raise _DamageError("has a key that does not end")
        return below.tolist(), 0
    lengths, is_long = low | high << 16, flag == _LONG_VALUE
    if (flag & ~_LONG_VALUE).any() or (ends + np.where(is_long, 8, lengths) > len(page)).any():
        raise _DamageError("has a value that does not end")
    first = page[ends[is_long, None] + np.arange(8)].view("<u8").reshape(-1)
    pages = -(-(_HEAD + lengths[is_long]) // len(page))
    if (first < 2).any() or (first > last_page).any() or (first.astype(np.int64) + pages > last_page + 1).any():
        raise _DamageError("has a value that is beyond the file")
    return [], count
