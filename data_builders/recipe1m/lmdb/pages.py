"""Validates the pages of an LMDB file.

LMDB trusts its file: a damaged page number or length makes it read outside the mapped file, which kills the process.
So the tree is walked once before LMDB opens the file. Only the pages of the tree are read, not those of long values.

The layout is that of LMDB 0.9 on a little-endian 64-bit machine. The first two pages are meta pages, which refer to the
root of the tree. Every other page has a header of 16 bytes, the offsets of its nodes, and the nodes at its end.
"""

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adamine_jax.base.errors import UserError

_HEADER = 16
_MAGIC = 0xBEEFC0DE, 1
# The fields of a meta page behind its header: magic number, version and page size; and those of `_Tree`.
_START, _META = struct.Struct("<II16xI"), struct.Struct("<76xHH24xQQQQ")
_PAGE = struct.Struct("<QxxHHH")  # page number, flags, end of the node offsets, start of the nodes
_BRANCH, _LEAF, _LONG_VALUE = 1, 2, 1
_NODE = 8
_MAX_DEPTH = 32
_NO_ROOT = 2**64 - 1


class _Tree(NamedTuple):
    flags: int
    depth: int
    entries: int
    root: int
    last_page: int
    transaction: int


class _DamagedPageError(Exception):
    """A page is damaged; the message is the problem."""


def check_pages(path: Path) -> None:
    """Raises a `UserError` if a database is truncated or damaged. Other files are rejected later, by LMDB."""
    with path.open("rb") as file:
        start = file.read(_HEADER + _START.size)
        if len(start) < _HEADER + _START.size or _START.unpack_from(start, _HEADER)[:2] != _MAGIC:
            return
        page_size = _START.unpack_from(start, _HEADER)[2]
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                _check(path, data, page_size)
            except _DamagedPageError as error:
                raise UserError(f"{path} is damaged ({error})") from None


def _check(path: Path, data: mmap.mmap, page_size: int) -> None:
    if page_size not in [2**power for power in range(8, 17)]:
        raise _DamagedPageError(f"the page size is {page_size} bytes")
    _check_length(path, data, 2 * page_size)
    tree = max((_tree(data, page * page_size) for page in (0, 1)), key=lambda tree: tree.transaction)
    _check_length(path, data, (tree.last_page + 1) * page_size)
    if tree.flags or tree.depth > _MAX_DEPTH:
        raise _DamagedPageError("its tree has unexpected flags or too many levels")
    seen: set[int] = set()
    entries, pages = 0, [] if tree.root == _NO_ROOT else [(tree.root, tree.depth)]
    while pages:
        number, depth = pages.pop()
        if number in seen or not 1 < number <= tree.last_page or not depth:
            raise _DamagedPageError(f"invalid reference to page {number:,}")
        seen.add(number)
        page = np.frombuffer(data[number * page_size : (number + 1) * page_size], np.uint8)
        try:
            children, values = _nodes(page, number, is_leaf=depth == 1, last_page=tree.last_page)
        except _DamagedPageError as error:
            raise _DamagedPageError(f"page {number:,}: {error}") from None
        entries += values
        pages += [(child, depth - 1) for child in children]
    if entries != tree.entries:
        raise _DamagedPageError(f"expected {tree.entries:,} records, found {entries:,}")


def _check_length(path: Path, data: mmap.mmap, expected: int) -> None:
    if len(data) < expected:
        raise UserError(f"{path} is truncated: expected {expected:,} bytes, found {len(data):,}")


def _tree(data: mmap.mmap, start: int) -> _Tree:
    if _START.unpack_from(data, start + _HEADER)[:2] != _MAGIC:
        raise _DamagedPageError("its second page is not a meta page")
    return _Tree(*_META.unpack_from(data, start + _HEADER))


def _nodes(page: np.ndarray, number: int, *, is_leaf: bool, last_page: int) -> tuple[list[int], int]:
    """Returns the numbers of a page's children and the number of its values.

    A node starts with four 16-bit numbers: the length of the value in two parts, flags, and the length of the key. The
    key and the value follow, or the number of the value's first page if the value is long. In a branch page the first
    three are the number of a child page.
    """
    stored_number, flags, offsets_end, nodes_start = _PAGE.unpack_from(page.data)
    count = (offsets_end - _HEADER) // 2
    if stored_number != number or flags & (_BRANCH | _LEAF) != (_LEAF if is_leaf else _BRANCH):
        raise _DamagedPageError("wrong page number or type")
    if not (_HEADER < offsets_end <= nodes_start <= len(page)) or (count < 2 and not is_leaf):
        raise _DamagedPageError("invalid header")
    words = page.view("<u2")
    offsets = words[_HEADER // 2 : _HEADER // 2 + count].astype(np.int64)
    if (offsets < nodes_start).any() or (offsets > len(page) - _NODE).any() or (offsets % 2).any():
        raise _DamagedPageError("a node is out of bounds")
    low, high, flag, key = (words[offsets // 2 + n].astype(np.int64) for n in range(4))
    ends = offsets + _NODE + key
    if not is_leaf:
        if (ends > len(page)).any():
            raise _DamagedPageError("a key exceeds the page")
        return (low | high << 16 | flag << 32).tolist(), 0
    lengths, is_long = low | high << 16, flag == _LONG_VALUE
    if (flag & ~_LONG_VALUE).any() or (ends + np.where(is_long, 8, lengths) > len(page)).any():
        raise _DamagedPageError("a value exceeds the page")
    first = page[ends[is_long, None] + np.arange(8)].view("<u8").reshape(-1)
    pages = -(-(_HEADER + lengths[is_long]) // len(page))
    if (first < 2).any() or (first > last_page).any() or (first.astype(np.int64) + pages > last_page + 1).any():
        raise _DamagedPageError("a value exceeds the file")
    return [], count
