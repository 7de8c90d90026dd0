"""JSON Lines and sheets."""

import codecs
import contextlib
import gzip

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from adamine_jax.base.errors import UserError
from adamine_jax.formats.registry import SUFFIXES, read_source
from adamine_jax.recipes.fields import draft
from data_builders.recipe1m.own_recipes.import_report import Report


@pytest.fixture
def report(tmp_path):
    (tmp_path / "report").mkdir()
    made = Report(tmp_path / "report", skip_broken=False)
    yield made
    made.close()


@pytest.fixture
def lenient(tmp_path):
    (tmp_path / "lenient").mkdir()
    made = Report(tmp_path / "lenient", skip_broken=True)
    yield made
    made.close()


def written(tmp_path, name, data):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def places(entries):
    return [(entry.where, dict(entry.values)) for entry in entries]


def test_lines_are_records(tmp_path, report):
    path = written(tmp_path, "a.jsonl", codecs.BOM_UTF8 + b'{"title": "\xc3\xa9"}\n\n  {"title": 2}\r\n[1]\n{"id": 7}')
    assert places(read_source(path, report)) == [("a.jsonl:1", {"title": "é"}), ("a.jsonl:3", {"title": 2}),
                                                 ("a.jsonl:5", {"id": 7})]  # fmt: skip
    assert report.dropped["the line is not an object"].first == ["a.jsonl:4"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{'title': 1}", "not JSON (Expecting property name enclosed in double quotes, column 2)"),
        (b'{"title": "a"', "not JSON"),
        (b"title", "not JSON"),
        (b"\xff\xfe", "not UTF-8 text (byte 1 of the line); save the file as UTF-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_broken_line_stops_or_is_left_out(tmp_path, report, lenient, line, message):
    path = written(tmp_path, "a.jsonl", b'{"title": "\xc3\xa9"}\n' + line + b'\n{"title": "b"}\n')
    with pytest.raises(UserError) as caught:
        list(read_source(path, report))
    assert f"a.jsonl:2: {message}" in str(caught.value)
    assert "--skip-broken" in str(caught.value)
    assert [where for where, _ in places(read_source(path, lenient))] == ["a.jsonl:1", "a.jsonl:3"]
    assert lenient.dropped["cannot be read"].counts.total() == 1


def test_a_list_under_the_name_of_lines_is_explained(tmp_path, report):
    path = written(tmp_path, "a.jsonl", '[\n {"title": "a"}\n]\n')
    with pytest.raises(UserError, match=r"a\.jsonl:1: not JSON .* rename a file with a JSON list to \.json"):
        list(read_source(path, report))


def test_huge_numbers_and_constants_are_read(tmp_path, report):
    path = written(tmp_path, "a.jsonl", '{"id": ' + "9" * 5000 + ', "url": NaN, "class": -Infinity}')
    ((_, values),) = places(read_source(path, report))
    assert values["id"] == float("inf")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize(("name", "mark"), [("a.csv", ","), ("a.csv", ";"), ("a.CSV", "\t"), ("a.tsv", "\t")])
def test_rows_are_records(tmp_path, report, encoding, name, mark):
    rows = [["Title", "Ingredients", "ID", ""], ["Crème", '"flour\neggs, ""fresh"""', "7", "x"], ["", "", "", ""],
            ["B", "a|b", "", ""]]  # fmt: skip
    path = written(tmp_path, name, "\r\n".join(mark.join(row) for row in rows).encode(encoding))
    assert places(read_source(path, report)) == [
        (f"{name}:2", {"Title": "Crème", "Ingredients": 'flour\neggs, "fresh"', "ID": "7"}),
        (f"{name}:5", {"Title": "B", "Ingredients": "a|b", "ID": ""}),
    ]


def test_rows_with_more_or_fewer_cells_are_left_out(tmp_path, report):
    path = written(tmp_path, "a.csv", "title,steps\na,b\nc\nd,e,f\ng,h,,\n")
    assert [where for where, _ in places(read_source(path, report))] == ["a.csv:2", "a.csv:5"]
    assert report.dropped["the row has more or fewer cells than the first"].first == [
        "a.csv:3 (1 and 2)",
        "a.csv:4 (3 and 2)",
    ]


def test_a_missing_quote_stops_or_is_left_out(tmp_path, report, lenient):
    path = written(tmp_path, "a.csv", 'title,steps\na,b\n"c" x,d\ne,f\n"g,h\n')
    with pytest.raises(UserError, match=r"a\.csv:3: malformed row .*is a quote missing\?"):
        list(read_source(path, report))
    assert [where for where, _ in places(read_source(path, lenient))] == ["a.csv:2", "a.csv:4"]
    assert lenient.dropped["cannot be read"].counts.total() == 2


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("a,b\n1,2\n", "no column is named title or name (found: a, b)"),
        ("\n\n", "found: none"),
        ("title,x,x\n", "two columns are named 'x'"),
    ],
)
def test_a_sheet_needs_names_of_columns(tmp_path, report, data, message):
    path = written(tmp_path, "a.csv", data)
    with pytest.raises(UserError) as caught:
        list(read_source(path, report))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"title,steps\rPie,Bake.\rTart,Cook.\r",
        b'"sep=;"\r\ntitle;steps\r\nPie;Bake.\r\nTart;Cook.\r\n',
        b"\n\n ,\ntitle,steps\nPie,Bake.\nTart,Cook.",
        gzip.compress(b"title\tsteps\nPie\tBake.\nTart\tCook.\n", mtime=0),
    ],
)
def test_tables_of_other_programs_are_read(tmp_path, report, data):
    path = written(tmp_path, "a.csv.gz", data)
    assert [dict(entry.values) for entry in read_source(path, report)] == [
        {"title": "Pie", "steps": "Bake."},
        {"title": "Tart", "steps": "Cook."},
    ]


def test_cells_may_contain_lists(tmp_path, report):
    cells = [
        '["1 egg", "salt, fine"]', "['1 egg', 'salt, fine']", "('1 egg', 'salt, fine')", 'c("1 egg", "salt, fine")',
             "1 egg|salt, fine", "1 egg\nsalt, fine"]  # fmt: skip
    rows = "".join('Pie,"{}"\n'.format(cell.replace('"', '""')) for cell in cells)
    path = written(tmp_path, "a.csv", f"title,ingredients\n{rows}")
    for entry in read_source(path, report):
        assert draft(entry).ingredients == ["1 egg", "salt, fine"]


def test_parquet_is_read(tmp_path, report):
    table = pyarrow.table({"name": ["Pie", "Tart"], "ingredients": [["egg"], ["milk", "salt"]], "n": [1, 2]})
    parquet.write_table(table, tmp_path / "a.parquet")
    found = [draft(entry) for entry in read_source(tmp_path / "a.parquet", report)]
    assert [(recipe.title, recipe.ingredients) for recipe in found] == [("Pie", ["egg"]), ("Tart", ["milk", "salt"])]
    written(tmp_path, "b.parquet", b"PAR1 no")
    with pytest.raises(UserError, match=r"b\.parquet: not a Parquet file"):
        list(read_source(tmp_path / "b.parquet", report))


SUFFIXED = [f"a{suffix}" for suffix in SUFFIXES]


@settings(deadline=None, max_examples=400)
@given(st.binary(max_size=200), st.sampled_from(SUFFIXED))
def test_any_file_is_read_or_reported(tmp_path_factory, data, name):
    folder = tmp_path_factory.mktemp("any")
    path = written(folder, name, data)
    for skip_broken in (True, False):
        place = tmp_path_factory.mktemp("report")
        with contextlib.closing(Report(place, skip_broken=skip_broken)) as report, contextlib.suppress(UserError):
            for entry in read_source(path, report):
                assert entry.where.startswith(name)
