import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.base import json_array
from adamine_jax.base.errors import UserError
from adamine_jax.base.json_array import read_array
from data_builders.recipe1m.layers.json_index import ArrayIndex

SCALARS = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner))


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("json") / "layer.json"


@settings(max_examples=200, deadline=None)
@given(
    records=st.lists(VALUES, max_size=6),
    chunk=st.integers(1, 40),
    indent=st.sampled_from([None, 0, 3]),
    ascii_only=st.booleans(),
)
def test_elements_equal_those_of_json_and_have_positions(file, records, chunk, indent, ascii_only):
    data = (" " + json.dumps(records, indent=indent, ensure_ascii=ascii_only) + "\n").encode("utf-8")
    file.write_bytes(data)
    placed = list(read_array(file, chunk))
    assert [record.value for record in placed] == json.loads(data)
    for offset, length, value in placed:
        assert json.loads(data[offset : offset + length]) == value


@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_every_cut_is_an_error_that_names_file_and_place(file, chunk):
    data = json.dumps([{"id": "é\U0001f370", "n": -1.5e3}, [True, None], 12], ensure_ascii=False).encode()
    for end in range(len(data)):
        file.write_bytes(data[:end])
        with pytest.raises(UserError, match=r"layer\.json: (broken JSON|not UTF-8 text) at byte \d+"):
            list(read_array(file, chunk))


@pytest.mark.parametrize(
    ("text", "byte", "what"),
    [
        (b"", 0, "the file is empty; expected a list"),
        (b'[{"a": 1}', 9, "expected a comma or the closing . after a record; the file may be truncated"),
        (b'{"id": 1}', 0, "expected a list"),
        (b"[1] x", 4, "unexpected text after the closing"),
        (b"[1 2]", 3, "expected a comma"),
        (b"[1,]", 3, "Expecting value"),
        ('["é", {"a" 1}]'.encode(), 12, "Expecting ':'"),
        (b'[{"a": 1}, {"b": nul}, {}]' + b" " * 100, 17, "Expecting value"),
        (b"[" * 100_000, 1, "nested too deeply"),
    ],
)
def test_the_place_of_the_mistake(file, text, byte, what):
    file.write_bytes(text)
    with pytest.raises(UserError, match=rf"at byte {byte} .*{what}"):
        list(read_array(file))


@pytest.mark.parametrize("chunk", [1, 2, 1 << 20])
def test_the_place_of_a_byte_that_is_not_utf8(file, chunk):
    file.write_bytes('["é", "'.encode() + b'\xff"]')
    with pytest.raises(UserError, match="not UTF-8 text at byte 8"):
        list(read_array(file, chunk))


def test_a_mark_of_the_byte_order_is_no_text(file):
    file.write_bytes(b"\xef\xbb\xbf[7, 8]")
    assert list(read_array(file)) == [(4, 1, 7), (7, 1, 8)]


def test_numbers_of_any_length_do_not_stop_the_reading(file):
    file.write_text(f"[{'9' * 5000}, 1]")
    assert [record.value for record in read_array(file)] == [float("inf"), 1]


def test_a_missing_quote_does_not_read_the_rest_of_the_file_into_memory(file, monkeypatch):
    monkeypatch.setattr(json_array, "MAX_RECORD_CHARS", 1000)
    file.write_text('[{"title": "no end}, ' + "x" * 100_000)
    with pytest.raises(UserError, match=r"at byte 11 .*a record is longer than"):
        list(read_array(file, 100))


def test_the_index_finds_the_first_record_of_a_key(file):
    ids = ["0000000005", "fFffffffff", "0000000000", "0000000005", None]
    records = [{"id": identity, "text": f"é{row}"} for row, identity in enumerate(ids)]
    file.write_text(json.dumps(records, ensure_ascii=False))
    index = ArrayIndex(file)
    assert [index.find(key) for key in (0, 5, 2**40 - 1)] == [records[2], records[0], records[1]]
    assert index.find(1) is None
    assert index.find(2**40) is None
    assert (index.unusable, index.repeated) == (1, 1)
    index.close()
