"""LMDB's files are looked through before LMDB gets them; a damaged one would end the process."""

import random
import struct
import subprocess
import sys
from typing import NamedTuple

import lmdb
import pytest

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.lmdb.pages import check_pages

PAGE = 4096


def write(path, records, removed=(), **options):
    """Writes an environment of one file, in several transactions, so that pages are used a second time."""
    options = {"map_size": 1 << 28, "subdir": False, "lock": False, "sync": False} | options
    with lmdb.open(str(path), **options) as environment:
        for start in range(0, len(records), 700):
            with environment.begin(write=True) as transaction:
                for key, value in list(records.items())[start : start + 700]:
                    transaction.put(key, value)
        with environment.begin(write=True) as transaction:
            for key in removed:
                transaction.delete(key)


def records(number, longest, seed=0):
    rng = random.Random(seed)
    return {rng.randbytes(rng.randint(1, 30)): rng.randbytes(rng.randint(0, longest)) for _ in range(number)}


@pytest.mark.parametrize(
    ("number", "longest"), [(0, 0), (1, 3), (1, 50_000), (40, 3_000), (5_000, 20), (3_000, 300), (300, 9_000)]
)
def test_what_lmdb_writes_is_let_through(tmp_path, number, longest):
    written = records(number, longest)
    write(tmp_path / "whole", written)
    check_pages(tmp_path / "whole")
    write(tmp_path / "gaps", written, list(written)[::3])
    check_pages(tmp_path / "gaps")


def test_a_file_of_something_else_is_left_to_lmdb(tmp_path):
    for content in (b"", b"x", bytes(20), bytes(3 * PAGE)):
        (tmp_path / "file").write_bytes(content)
        check_pages(tmp_path / "file")


class Tree(NamedTuple):
    """A file with a tree of two levels: which of the first two pages counts, the root, and the first leaf."""

    data: bytes
    newest: int
    root: int
    leaf: int

    def node(self, page, number):
        """Where a record of a page stands in the file."""
        return page * PAGE + struct.unpack_from("<H", self.data, page * PAGE + 16 + 2 * number)[0]

    def long_value(self):
        """Where the number of the first page of the leaf's long value stands in the file."""
        (end,) = struct.unpack_from("<H", self.data, self.leaf * PAGE + 12)
        places = [self.node(self.leaf, number) for number in range((end - 16) // 2)]
        at = next(at for at in places if struct.unpack_from("<H", self.data, at + 4)[0] == 1)
        return at + 8 + struct.unpack_from("<H", self.data, at + 6)[0]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    path = tmp_path_factory.mktemp("tree") / "data.mdb"
    write(path, records(200, 100) | {bytes([0, key]): bytes(5_000) for key in range(3)})
    data = path.read_bytes()
    newest = max((0, 1), key=lambda page: struct.unpack_from("<Q", data, page * PAGE + 144)[0])
    (root,) = struct.unpack_from("<Q", data, newest * PAGE + 128)
    low, high = struct.unpack_from("<HH", data, Tree(data, newest, root, 0).node(root, 0))
    return Tree(data, newest, root, low | high << 16)


@pytest.mark.parametrize(
    ("place", "form", "value", "message"),
    [
        (lambda t: 16 + 24, "<I", 4097, "page size is 4097 bytes"),
        (lambda t: PAGE + 16, "<I", 0, "its second page is not a meta page"),
        (lambda t: t.newest * PAGE + 92, "<H", 4, "unexpected flags or too many levels"),
        (lambda t: t.newest * PAGE + 94, "<H", 33, "unexpected flags or too many levels"),
        (lambda t: t.newest * PAGE + 94, "<H", 1, "page .*: wrong page number or type"),
        (lambda t: t.newest * PAGE + 94, "<H", 0, "invalid reference to page"),
        (lambda t: t.newest * PAGE + 120, "<Q", 2**60, "expected .* records, found"),
        (lambda t: t.newest * PAGE + 128, "<Q", 10**9, "invalid reference to page"),
        (lambda t: t.newest * PAGE + 128, "<Q", 1, "invalid reference to page"),
        (lambda t: t.newest * PAGE + 136, "<Q", 10**9, "is truncated"),
        (lambda t: t.leaf * PAGE, "<Q", 3**9, "wrong page number or type"),
        (lambda t: t.leaf * PAGE + 10, "<H", 1, "wrong page number or type"),
        (lambda t: t.leaf * PAGE + 12, "<H", 0, "invalid header"),
        (lambda t: t.leaf * PAGE + 14, "<H", 5_000, "invalid header"),
        (lambda t: t.root * PAGE + 12, "<H", 18, "invalid header"),
        (lambda t: t.leaf * PAGE + 16, "<H", 4_090, "a node is out of bounds"),
        (lambda t: t.leaf * PAGE + 16, "<H", 18, "a node is out of bounds"),
        (lambda t: t.root * PAGE + 18, "<H", 4_001, "a node is out of bounds"),
        (lambda t: t.node(t.root, 1), "<H", None, "invalid reference to page"),
        (lambda t: t.node(t.root, 1) + 4, "<H", 1, "invalid reference to page"),
        (lambda t: t.node(t.root, 1) + 6, "<H", 9_000, "a key exceeds the page"),
        (lambda t: t.node(t.leaf, 5) + 6, "<H", 9_000, "a value exceeds the page"),
        (lambda t: t.node(t.leaf, 5) + 4, "<H", 2, "a value exceeds the page"),
        (lambda t: t.long_value(), "<Q", 10**9, "a value exceeds the file"),
        (lambda t: t.long_value(), "<Q", 2**63 + 5, "a value exceeds the file"),
        (lambda t: t.long_value(), "<Q", 1, "a value exceeds the file"),
        (lambda t: t.long_value() - 2 - 8 + 2, "<H", 60_000, "a value exceeds the file"),
    ],
)
def test_each_damage_is_found(tmp_path, tree, place, form, value, message):
    damaged = bytearray(tree.data)
    struct.pack_into(form, damaged, place(tree), tree.leaf if value is None else value)
    (tmp_path / "data.mdb").write_bytes(damaged)
    with pytest.raises(UserError, match=message) as error:
        check_pages(tmp_path / "data.mdb")
    assert str(tmp_path / "data.mdb") in str(error.value)


PROGRAM = """
import random, sys
from pathlib import Path
from adamine_jax.base.errors import UserError
from data_builders.recipe1m.lmdb.pages import check_pages
import lmdb

path, number = Path(sys.argv[1]), int(sys.argv[2])
data = path.read_bytes()
with lmdb.open(str(path), subdir=False, readonly=True, lock=False) as environment, environment.begin() as transaction:
    keys = [key for key, _ in transaction.cursor()]
refused = 0
for seed in range(number):
    rng, damaged = random.Random(seed), bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        page = rng.randrange(len(data) // 4096) * 4096
        byte = rng.choice((rng.randrange(16), rng.randrange(16, 180), rng.randrange(4096)))
        damaged[page + byte] = rng.choice((0, 1, 127, 255, rng.randrange(256)))
    path.write_bytes(damaged)
    try:
        check_pages(path)
        environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False)
    except (UserError, lmdb.Error):
        refused += 1
        continue
    with environment, environment.begin() as transaction:
        for key in keys:
            try:
                len(transaction.get(key) or b"")
            except lmdb.Error:
                pass
print(refused)
"""


@pytest.mark.parametrize("number", [150, pytest.param(5_000, marks=pytest.mark.slow)])
def test_what_is_let_through_ends_no_process(tmp_path, tree, number):
    (tmp_path / "data.mdb").write_bytes(tree.data)
    command = [sys.executable, "-c", PROGRAM, tmp_path / "data.mdb", str(number)]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 0, done
    assert number * 0.05 < int(done.stdout) < number * 0.95
