"""Tables: CSV and TSV files of spreadsheets and data sets, and Parquet files. The first row names the columns."""

import ast
import csv
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from adamine_jax.base.extras import require
from adamine_jax.formats.opening import text_lines
from adamine_jax.formats.report import Report
from adamine_jax.recipes.fields import NAMES, Entry, field_of

# A longer cell is not part of a recipe; most likely a quote is missing.
_MAX_CELL = 16 << 20
_DELIMITERS = (",", ";", "\t", "|")
_R_VECTOR = re.compile(r'c\((\s*(?:"(?:[^"\\]|\\.)*"|NA)\s*(?:,\s*(?:"(?:[^"\\]|\\.)*"|NA)\s*)*)\)', re.DOTALL)
_R_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)


def read_sheet(path: Path, name: str, report: Report) -> Iterator[Entry]:
    """Yields the rows of a CSV or TSV file, skipping blank rows.

    A cell may contain a list: JSON, a Python literal, R's c("…"), lines, or items separated by `|`.

    Raises:
        ValueError: The first row has no column for the title, or two columns of the same name.
    """
    csv.field_size_limit(_MAX_CELL)
    lines = _readable(path, name, report)
    first = next(lines, "")
    delimiter = ""
    if marked := re.fullmatch(r'"?sep=(.)"?\s*', first):  # written by Excel
        delimiter, first = marked[1], next(lines, "")
    delimiter = delimiter or _delimiter(path, first)
    rows = csv.reader(itertools.chain([first], lines), delimiter=delimiter, strict=True)
    columns = _columns(next(_rows(rows, name, report), (1, []))[1])
    for number, row in _rows(rows, name, report):
        where = f"{name}:{number}"
        if len(row) > len(columns) and not any(cell.strip() for cell in row[len(columns) :]):
            row = row[: len(columns)]
        if len(row) == len(columns):
            values = {column: _value(cell) for column, cell in zip(columns, row, strict=True) if column}
            yield Entry(where, path.parent, values, is_sheet=True)
        else:
            report.drop(where, "the row has more or fewer cells than the first", f"{len(row)} and {len(columns)}")


def read_parquet(path: Path, name: str, report: Report) -> Iterator[Entry]:
    """Yields the rows of a Parquet file; see `read_sheet`.

    Raises:
        ValueError: The file is damaged, or no column is that of the title.
    """
    require("pyarrow")
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            _columns(file.schema_arrow.names)
            number = 0
            for batch in file.iter_batches(batch_size=1000):
                for row in batch.to_pylist():
                    number += 1
                    values = {column: _value(cell) if isinstance(cell, str) else cell for column, cell in row.items()}
                    yield Entry(f"{name} row {number}", path.parent, values, is_sheet=True)
    except (pyarrow.ArrowException, OSError) as error:
        raise ValueError(f"not a Parquet file ({' '.join(str(error).split())[:80]})") from None


def _readable(path: Path, name: str, report: Report) -> Iterator[str]:
    """Yields the readable lines of a file, without the blank ones at its start."""
    has_started = False
    for number, line, problem in text_lines(path):
        has_started |= bool(line.strip())
        if problem:
            report.broken(f"{name}:{number}", problem)
        elif has_started:
            yield line


def _rows(rows: Any, name: str, report: Report) -> Iterator[tuple[int, list[str]]]:
    """Yields the readable rows that are not blank, each with the number of its first line."""
    while True:
        number = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            report.broken(f"{name}:{number}", f"malformed row ({error}); is a quote missing?")
            continue
        if any(cell.strip() for cell in row):
            yield number, row


def _delimiter(path: Path, header: str) -> str:
    """Returns a tab for .tsv, otherwise the delimiter (it depends on the locale) that yields the most known columns."""
    if ".tsv" in path.suffixes or ".tab" in path.suffixes:
        return "\t"

    def known_columns(delimiter: str) -> int:
        return len({field_of(cell.strip(' "\r\n')) for cell in header.split(delimiter)} - {None})

    return max(_DELIMITERS, key=known_columns)


def _columns(header: Iterable[str]) -> list[str]:
    columns = [column.strip() for column in header]
    if repeated := next((column for column in columns if column and columns.count(column) > 1), None):
        raise ValueError(f"two columns are named {repeated!r}; rename one")
    if "title" not in map(field_of, columns):
        raise ValueError(
            f"no column is named {' or '.join(NAMES['title'][:2])} "
            f"(found: {', '.join(columns[:20]) or 'none'}); the first row must name the columns"
        )
    return columns


def _value(cell: str) -> Any:
    """Returns the list or object that a cell contains, or the cell itself."""
    text = cell.strip()
    if text[:1] in ("[", "{", "(") and text[-1:] in ("]", "}", ")"):
        for parse in (json.loads, ast.literal_eval):
            try:
                value = parse(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            return list(value) if isinstance(value, tuple) else value if isinstance(value, list | dict) else cell
    if text == "character(0)":
        return None
    if vector := _R_VECTOR.fullmatch(text):
        return [re.sub(r"\\(.)", r"\1", item) for item in _R_TEXT.findall(vector[1])]
    return cell
