"""What a pickle may ask for is bounded by its size."""

import pickle
import pickletools
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.legacy.pickle_limits import check_instructions, numbers_in
from data_builders.recipe1m.legacy.unpickling import load_classes, load_pickles, load_words
from data_builders.recipe1m.lmdb.pickles import loads

NUMBER, LENGTH = struct.Struct("<I"), struct.Struct("<Q")
MEBI = 1 << 20

contents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=300),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vocab.pkl"


@pytest.mark.parametrize("opcode", pickletools.opcodes, ids=lambda opcode: opcode.name)
def test_every_instruction_of_pickle_is_known(opcode):
    """Each is followed by an argument that is zeros or lines, whatever its kind, and then by the end."""
    size = opcode.arg.n if opcode.arg else 0
    lines = {"stringnl_noescape_pair": b"a\nb\n"}.get(opcode.arg.name, b"0\n") if opcode.arg else b""
    # Below zero pickletools says how an argument is read: up to a line feed, or as many bytes as a length says.
    argument = bytes(size) if size >= 0 else {-1: lines, -2: b"\0", -3: bytes(4), -4: bytes(4), -5: bytes(8)}[size]
    check_instructions(opcode.code.encode("latin-1") + argument + b".")


@given(contents, st.integers(0, pickle.HIGHEST_PROTOCOL), st.integers(0, 9))
def test_what_pickle_writes_is_let_through(content, protocol, start):
    check_instructions(bytes(start) + pickle.dumps(content, protocol), start)


@given(contents, st.integers(0, pickle.HIGHEST_PROTOCOL), st.data())
def test_what_is_cut_off_is_refused(content, protocol, data):
    whole = pickle.dumps(content, protocol)
    with pytest.raises(ValueError, match=r"truncated|unknown instruction|memo index"):
        check_instructions(whole[: data.draw(st.integers(0, len(whole) - 1))])


ENCODE = b"c_codecs\nencode\n\x94X" + NUMBER.pack(MEBI) + b"a" * MEBI + b"\x94X\6\0\0\0latin1\x94"
GREEDY = {
    "remembered under a high number": b"\x80\x02]r" + NUMBER.pack(1 << 27) + b".",
    "the same in text": b"]p900000000\n.",
    "the same with a thousand digits": b"]p" + b"9" * 1000 + b"\n.",
    "bytes": b"\x80\x04\x8e" + LENGTH.pack(1 << 40) + b".",
    "bytes to be changed": b"\x80\x05\x96" + LENGTH.pack(1 << 32) + b".",
    "text": b"\x80\x04\x8d" + LENGTH.pack((1 << 63) + 7) + b".",
    "old bytes": b"\x80\x02T" + NUMBER.pack(1 << 31) + b".",
    "one text encoded many times": b"\x80\x04" + ENCODE + b"](" + b"h\0h\1h\2\x86R" * 4000 + b"e.",
    "a name that never ends": b"\x80\x04\x8c\2os\x8d" + LENGTH.pack(MEBI) + b"x" * MEBI + b"\x93.",
    "a name with control characters": b"\x80\x04\x8c\2os\x8c\7\x1b[2Jabc\x93.",
}


@pytest.mark.parametrize("greedy", GREEDY.values(), ids=GREEDY)
@pytest.mark.parametrize("read", ["file", "record"])
def test_a_greedy_pickle_takes_no_memory_and_is_one_short_line(path, greedy, read):
    path.write_bytes(greedy)
    tracemalloc.start()
    with pytest.raises(UserError) as caught:
        loads(greedy) if read == "record" else load_pickles(path, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * MEBI
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()


def test_lists_that_contain_each_other_make_no_array(path):
    numbers = [1.0]
    for _ in range(9):
        numbers = [numbers] * 10
    for matrix, words in ((numbers, ["a"]), ([[1.0] * 3000] * 3000, ["a"] * 3000)):
        path.write_bytes(pickle.dumps((matrix, words)))
        with pytest.raises(UserError, match="not a pickle of"):
            load_words(path)
    storage = b"\x80\x02ctorch\nFloatStorage\n" + pickle.dumps(numbers, 2)[2:-1] + b"\x85R."
    with pytest.raises(UserError, match="its content is much larger than the pickle"):
        loads(storage)


def test_one_text_that_is_there_many_times_is_refused(path):
    path.write_bytes(pickle.dumps((np.zeros((500, 2)), [b"x" * 5000] * 500)))
    with pytest.raises(UserError, match="not a pickle of"):
        load_words(path)
    path.write_bytes(pickle.dumps({"a": 0}) + pickle.dumps(dict.fromkeys(range(500), b"x" * 5000)))
    with pytest.raises(UserError, match="not two pickles"):
        load_classes(path)


def test_a_class_of_many_digits_is_one_line(path):
    path.write_bytes(pickle.dumps({"0123456789": 10**6000}) + pickle.dumps({0: "background"}))
    with pytest.raises(UserError, match="1 classes of recipes have no name"):
        load_classes(path)


@given(st.recursive(st.just([1.0, 2.0]), lambda inner: inner.map(lambda one: [one, one, one]), max_leaves=5))
def test_numbers_are_counted_as_numpy_makes_them(values):
    assert numbers_in(values) == np.asarray(values).size
