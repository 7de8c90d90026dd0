import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from adamine_jax.base.errors import UserError
from adamine_jax.base.json_array import read_array
from data_builders.recipe1m.layers import json_blocks
from data_builders.recipe1m.layers.json_blocks import element_spans, read_block, read_blocks, read_text

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
def test_blocks_contain_the_elements_of_the_list_with_their_positions(
    file, records, block_bytes, indent, ascii_only, mark
):
    data = b"\xef\xbb\xbf" * mark + (" " + json.dumps(records, indent=indent, ensure_ascii=ascii_only) + "\n").encode()
    file.write_bytes(data)
    assert read(file, block_bytes) == list(read_array(file))


@settings(max_examples=100, deadline=None)
@given(records=st.lists(RECORDS | VALUES, min_size=1, max_size=8), block_bytes=st.integers(1, 60))
def test_blocks_number_their_records(file, records, block_bytes):
    text = json.dumps(records)
    assume("Infinity" not in text)  # which is no JSON
    file.write_text(text)
    blocks = list(read_blocks(file, block_bytes))
    assert sum(block.records for block in blocks) == len(records)
    assert_numbered(file, blocks, records)


def assert_numbered(file, blocks, records):
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
    """Except for a lost or added quote, which exchanges text and structure, so that the two errors may differ."""
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


def exact_cuts(file, monkeypatch, block_bytes):
    """Returns the blocks of a file, and how many of them were found without a guess."""
    exact, cuts = json_blocks._record_bounds, []
    monkeypatch.setattr(json_blocks, "_record_bounds", lambda window: cuts.append(window) or exact(window))
    return list(read_blocks(file, block_bytes)), len(cuts)


@pytest.mark.parametrize("indent", [None, 1])
def test_records_that_all_look_the_same_are_cut_by_their_looks(file, indent, monkeypatch):
    records = [{"id": f"{n:010x}", "lines": [{"text": "a } , {"}, {"text": "b"}]} for n in range(600)]
    file.write_text(json.dumps(records, indent=indent))
    blocks, exact = exact_cuts(file, monkeypatch, 2000)
    assert exact == 2  # the first block, and the last, where the list ends
    assert len(blocks) > 20
    assert_numbered(file, blocks, records)
    assert read(file, 2000) == list(read_array(file))


@pytest.mark.parametrize(
    "last",
    [
        {"b": [{"id": 1}, {"id": 2}, {"id": 3}, {"id": 4}, {"id": 5}, {"id": 6}]},
        {"b": ' {"id": 1}, {"id": 2}, {"id": 3}, {"id": 4}, {"id": 5}, {"id": 6}'},
    ],
)
def test_what_only_looks_like_a_cut_is_none(file, last, monkeypatch):
    records = [{"id": 1}, {"id": 2}, *[{"id": 3} | last] * 8]
    file.write_text(json.dumps(records))
    blocks, exact = exact_cuts(file, monkeypatch, 60)
    assert exact > 2
    assert sum(block.records for block in blocks) == len(records)
    assert read(file, 60) == list(read_array(file))


@settings(max_examples=150, deadline=None)
@given(records=st.lists(RECORDS | VALUES, min_size=1, max_size=8), indent=st.sampled_from([None, 0, 3]))
def test_places_are_where_the_elements_stand(file, records, indent):
    text = " " + json.dumps(records, indent=indent, ensure_ascii=False) + "\n"
    assume("Infinity" not in text)
    file.write_text(text)
    (block,) = read_blocks(file)
    found = [(block.offset - 1 + start, length) for start, length in element_spans(read_text(file, block))]
    assert found == [(placed.offset, placed.length) for placed in read_array(file)]


def test_values_between_records_are_no_part_of_what_a_cut_looks_like(file):
    records = [{"id": 1}, 5] * 40
    file.write_text(json.dumps(records))
    assert read(file, 50) == list(read_array(file))
    assert_numbered(file, list(read_blocks(file, 50)), records)


def test_bytes_that_are_not_utf8_are_found_where_nothing_is_made_of_them(file):
    file.write_bytes(b'[{"id": "1", "x": "\xff"}]')
    (block,) = read_blocks(file)
    assert read_text(file, block) is None
    with pytest.raises(UserError, match="not UTF-8 text at byte 19"):
        read_block(file, block)
