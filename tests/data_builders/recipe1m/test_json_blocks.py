import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.errors import UserError
from data_builders.recipe1m.json_array import read_array
from data_builders.recipe1m.json_blocks import read_block, read_blocks

TEXTS = st.text(st.sampled_from('ab"\\{}[],: \né\U0001f370'), max_size=8)
SCALARS = st.none() | st.booleans() | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))
RECORDS = st.dictionaries(TEXTS, VALUES, max_size=4)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("json") / "layer.json"


def read(file, block_bytes):
    return [record for block in read_blocks(file, block_bytes) for record in read_block(file, block)]


@settings(max_examples=150, deadline=None)
@given(
    records=st.lists(RECORDS | VALUES, max_size=8),
    block_bytes=st.integers(1, 60),
    indent=st.sampled_from([None, 0, 3]),
    ascii_only=st.booleans(),
    mark=st.booleans(),
)
def test_blocks_hold_what_the_list_holds_where_it_stands(file, records, block_bytes, indent, ascii_only, mark):
    data = b"\xef\xbb\xbf" * mark + (" " + json.dumps(records, indent=indent, ensure_ascii=ascii_only) + "\n").encode()
    file.write_bytes(data)
    assert read(file, block_bytes) == list(read_array(file))


@settings(max_examples=100, deadline=None)
@given(records=st.lists(RECORDS, min_size=1, max_size=8), block_bytes=st.integers(1, 60))
def test_blocks_number_their_records(file, records, block_bytes):
    file.write_text(json.dumps(records))
    blocks = list(read_blocks(file, block_bytes))
    assert sum(block.records for block in blocks) == len(records)
    for block in blocks:
        assert [record.value for record in read_block(file, block)] == records[block.number - 1 :][: block.records]


RECORDS_WITH_TRAPS = [{"id": "é\U0001f370", "n": -1.5e3}, {"a": '}, {"', "b": ["\\", '\\"']}, {}, {"c": [{}, {}]}]


@pytest.mark.parametrize("block_bytes", [1, 7, 1 << 20])
def test_every_cut_is_an_error_that_names_file_and_place(file, block_bytes):
    data = json.dumps(RECORDS_WITH_TRAPS, ensure_ascii=False).encode()
    for end in range(len(data)):
        file.write_bytes(data[:end])
        with pytest.raises(UserError, match=r"layer\.json: (broken JSON|not UTF-8 text) at byte \d+"):
            read(file, block_bytes)


@pytest.mark.parametrize("block_bytes", [1, 7, 1 << 20])
def test_a_byte_that_is_lost_or_changed_is_found_where_the_slow_reading_finds_it(file, block_bytes):
    """But for a lost or added quote, after which text and structure change places and both are as wrong."""
    data = json.dumps(RECORDS_WITH_TRAPS, ensure_ascii=False).encode()
    for place in range(len(data)):
        for changed in (data[:place] + data[place + 1 :], data[:place] + b"\x01" + data[place + 1 :]):
            file.write_bytes(changed)
            values, mistake = outcome(lambda: list(read_array(file)))
            found_values, found_mistake = outcome(lambda: read(file, block_bytes))
            assert found_values == values
            assert bool(found_mistake) == bool(mistake)
            if changed.count(b'"') == data.count(b'"') and data[place : place + 1] not in b"{}[]\\":
                assert found_mistake == mistake


def outcome(reading):
    try:
        return reading(), ""
    except UserError as error:
        return None, str(error)


@pytest.mark.parametrize("value", ['"\\ud800"', "NaN", "1" * 400, "1e999"])
def test_what_the_fast_parser_refuses_is_read_as_json_reads_it(file, value):
    file.write_text(f'[{{"a": "x"}}, {{"b": {value}}}, {{"c": null}}]')
    assert str([record.value for record in read(file, 20)]) == str([record.value for record in read_array(file)])
