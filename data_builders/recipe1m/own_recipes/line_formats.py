"""Reads recipes from files with one record per line or row: JSON Lines, CSV and TSV."""

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.fields import NAMES, Entry, field_of
from data_builders.recipe1m.own_recipes.import_report import Report

# A longer cell is not part of a recipe; most likely a quote is missing.
_MAX_CELL = 16 << 20
_DELIMITERS = (",", ";", "\t")
# int() refuses thousands of digits.
_JSON = json.JSONDecoder(parse_int=lambda digits: int(digits) if len(digits) < 100 else float(digits), strict=False)


def parse_json(text: str) -> Any:
    """Parses a JSON text; raises a `ValueError` with the problem and its position."""
    try:
        return _JSON.decode(text)
    except json.JSONDecodeError as error:
        position = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"
        raise ValueError(f"not JSON ({error.msg}, {position})") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_json_lines(path: Path, report: Report) -> Iterator[Entry]:
    """Yields the records of a file with one JSON object per line, skipping blank lines."""
    for number, line in _text_lines(path, report):
        if not line.strip():
            continue
        where = f"{path.name}:{number}"
        try:
            value = parse_json(line)
        except ValueError as error:
            is_list = number == 1 and line.lstrip().startswith("[")
            report.broken(where, f"{error}{'; rename a file with a JSON list to .json' if is_list else ''}")
            continue
        if isinstance(value, dict):
            yield Entry(where, path.parent, value, is_linked_data="@type" in value)
        else:
            report.drop(where, "the line is not an object")


def read_sheet(path: Path, report: Report) -> Iterator[Entry]:
    """Yields the rows of a CSV or TSV file whose first row names the columns, skipping blank rows.

    Raises:
        UserError: The first row has no column for the title, or two columns of the same name.
    """
    csv.field_size_limit(_MAX_CELL)
    lines = (line for _, line in _text_lines(path, report))
    first = next(lines, "")
    rows = csv.reader(itertools.chain([first], lines), delimiter=_delimiter(path, first), strict=True)
    columns = _columns(path, next(_rows(rows, path, report), (1, []))[1])
    for number, row in _rows(rows, path, report):
        where = f"{path.name}:{number}"
        if len(row) > len(columns) and not any(cell.strip() for cell in row[len(columns) :]):
            row = row[: len(columns)]
        if len(row) == len(columns):
            values = {column: cell for column, cell in zip(columns, row, strict=True) if column}
            yield Entry(where, path.parent, values, is_sheet=True)
        else:
            report.drop(where, "the row has more or fewer cells than the first", f"{len(row)} and {len(columns)}")


def _rows(rows: Any, path: Path, report: Report) -> Iterator[tuple[int, list[str]]]:
    """Yields the readable rows that are not blank, each with the number of its first line."""
    while True:
        number = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            report.broken(f"{path.name}:{number}", f"malformed row ({error}); is a quote missing?")
            continue
        if any(cell.strip() for cell in row):
            yield number, row


def _delimiter(path: Path, header: str) -> str:
    """Returns a tab for .tsv, otherwise the delimiter (it depends on the locale) that yields the most known columns."""
    if path.suffix.lower() == ".tsv":
        return "\t"

    def known_columns(delimiter: str) -> int:
        return len({field_of(cell.strip(' "\r\n')) for cell in header.split(delimiter)} - {None})

    return max(_DELIMITERS, key=known_columns)


def _columns(path: Path, header: list[str]) -> list[str]:
    columns = [column.strip() for column in header]
    if repeated := next((column for column in columns if column and columns.count(column) > 1), None):
        raise UserError(f"{path}: two columns are named {repeated!r}; rename one")
    if "title" not in map(field_of, columns):
        raise UserError(
            f"{path}: no column is named {' or '.join(NAMES['title'][:2])} "
            f"(found: {', '.join(columns[:20]) or 'none'}); the first row must name the columns"
        )
    return columns


def _text_lines(path: Path, report: Report) -> Iterator[tuple[int, str]]:
    """Yields the lines of a file, including line ends, with their numbers."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be opened ({error.strerror})") from None
    with file:
        for number, data in enumerate(file, start=1):
            try:
                yield number, data.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                what = f"not UTF-8 text (byte {error.start + 1} of the line); save the file as UTF-8"
                report.broken(f"{path.name}:{number}", what)
