import collections
import os
import pickle
import pickletools

import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.legacy.unpickling import array, load_classes, load_pickles, load_words
from data_builders.recipe1m.vocabulary import load_vocabulary

# (np.arange(3, dtype="<f4").reshape(3, 1), ["a", "é"]) as Python 2 wrote it: byte strings, protocol 2.
PYTHON2 = (
    b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x00cnumpy\nndarray\nq\x01K\x00\x85U\x01b\x87R(K\x01K\x03K\x01\x86"
    b"cnumpy\ndtype\nq\x02U\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x0c"
    + np.arange(3, dtype="<f4").tobytes()
    + b"tb]q\x03(U\x01aU\x02\xc3\xa9e\x86."
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vocab.pkl"


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i8", "|u1", "?"])
def test_arrays_come_back_whatever_the_protocol(path, protocol, dtype):
    values = np.arange(12).reshape(3, 4).astype(dtype)
    path.write_bytes(pickle.dumps((values, np.asfortranarray(values)), protocol))
    for loaded in load_pickles(path, 1)[0]:
        np.testing.assert_array_equal(array(loaded, 1000), values)
        assert array(loaded, 1000).dtype == values.dtype


def test_what_python_2_wrote_is_read(path):
    path.write_bytes(PYTHON2)
    ((matrix, words),) = load_pickles(path, 1)
    assert array(matrix, 1000).tolist() == [[0], [1], [2]]
    assert words == [b"a", "é".encode()]


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_vocabulary_is_read(path, protocol):
    matrix = np.array([[3, 4], [0, 2], [1, 0]], np.float64)
    path.write_bytes(pickle.dumps((matrix, ["</s>", "crème", "salt"]), protocol=protocol))
    words, vectors = load_words(path)
    assert words == ["</s>", "crème", "salt"]
    np.testing.assert_array_equal(vectors, matrix)
    np.testing.assert_allclose(load_vocabulary(path).vectors, [[0.6, 0.8], [0, 1], [1, 0]], rtol=1e-6)


def test_classes_are_two_pickles_in_a_row(path):
    ids = collections.OrderedDict([("00000000aa", 1), ("00000000ab", np.int64(0)), (b"00000000ac", 2)])
    path.write_bytes(pickle.dumps(ids, 2) + pickle.dumps({0: "background", 1: "apple pie", 2: b"pizza"}, 2))
    names, classes = load_classes(path)
    assert names == ["background", "apple pie", "pizza"]
    assert classes == {"00000000aa": 1, "00000000ab": 0, "00000000ac": 2}


class Hostile:
    def __init__(self, call, *args):
        self.call, self.args = call, args

    def __reduce__(self):
        return self.call, self.args


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    ("call", "args", "name"),
    [
        (os.system, ("touch {0}",), "system"),
        (eval, ("open('{0}', 'w')",), "eval"),
        (getattr, ("a", "b"), "getattr"),
        (np.load, ("x",), "load"),
        (open, ("{0}", "w"), "open"),
    ],
)
def test_a_hostile_pickle_is_refused_by_name_and_nothing_runs(path, tmp_path, protocol, call, args, name):
    trace = tmp_path / "trace"
    arguments = [argument.format(trace) for argument in args]
    path.write_bytes(pickle.dumps(([1.0], Hostile(call, *arguments)), protocol))
    with pytest.raises(UserError, match=rf"vocab\.pkl: the pickle calls \S*{name}, which is refused"):
        load_words(path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "program",
    [
        b"c_codecs\nencode\n}X\x05\x00\x00\x00_callc_codecs\nencode\nsb.",  # changes a stand-in
        b"c_codecs\nencode\n(X\x01\x00\x00\x00aX\x06\x00\x00\x00base64tR.",
        b"cnumpy\nndarray\n(tR.",
        b"cnumpy\ndtype\n(X\x01\x00\x00\x00OtR.",
        b"Pname\n.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"cnumpy\ndtype\n.",
        b"(lp0\ng9\n.",
        b"",
        b"no pickle",
        b"N.",
        pickle.dumps(([[1.0]], ["a", "b"])),
        pickle.dumps(([[1.0], [1.0, 2.0]], ["a", "b"])),
        pickle.dumps(([["x"]], ["a"])),
        pickle.dumps(([[1.0]], [5])),
        pickle.dumps(([1.0], ["a"])),
    ],
)
def test_what_is_no_vocabulary_is_refused_in_one_line(path, program):
    path.write_bytes(program)
    with pytest.raises(UserError, match=r"vocab\.pkl"):
        load_words(path)


def test_a_pickle_that_is_cut_off_is_refused(path):
    data = pickletools.optimize(pickle.dumps((np.ones((2, 2)), ["a", "b"]), 2))
    for end in range(len(data)):
        path.write_bytes(data[:end])
        with pytest.raises(UserError, match=r"vocab\.pkl"):
            load_words(path)


@pytest.mark.parametrize(
    ("ids", "names"),
    [
        ({"a": 1}, {0: "background"}),
        ({"a": 0}, {0: "background", 2: "pie"}),
        ({"a": True}, {0: "background", 1: "pie"}),
        ({5: 0}, {0: "background"}),
        ({}, {}),
        ([], {}),
        ({}, {"0": "background"}),
    ],
)
def test_what_is_no_file_of_classes_is_refused_in_one_line(path, ids, names):
    path.write_bytes(pickle.dumps(ids) + pickle.dumps(names))
    with pytest.raises(UserError, match=r"vocab\.pkl"):
        load_classes(path)
    path.write_bytes(pickle.dumps(ids))
    with pytest.raises(UserError, match=r"vocab\.pkl"):
        load_classes(path)


def test_half_a_surrogate_pair_can_be_stored(path, tmp_path):
    path.write_bytes(pickle.dumps((np.ones((2, 1)), ["a\ud800", "é😀"])))
    load_vocabulary(path).write(tmp_path)
    assert (tmp_path / "words.txt").read_text(encoding="utf-8") == "a\ufffd\né😀\n"
    path.write_bytes(pickle.dumps({"0123456789": 1}) + pickle.dumps({0: "background", 1: "\udfffpie"}))
    assert load_classes(path)[0] == ["background", "\ufffdpie"]
