"""Finds out what kind of input a person gave, and reads it."""

from collections.abc import Iterator
from pathlib import Path

from adamine_jax.base.errors import UserError
from adamine_jax.recipes.fields import Entry
from data_builders.recipe1m.own_recipes.documents import JSON_SUFFIXES, PAGE_SUFFIXES, read_document, read_folder
from data_builders.recipe1m.own_recipes.report import Report
from data_builders.recipe1m.own_recipes.tables import read_json_lines, read_sheet

LINES_SUFFIXES = (".jsonl", ".ndjson")
SHEET_SUFFIXES = (".csv", ".tsv")


def read_source(source: Path, report: Report) -> Iterator[Entry]:
    """Yields the records of a file or folder.

    Raises:
        UserError: there is no such thing, it is of a kind that is not read, or it is empty.
    """
    suffix = source.suffix.lower()
    if source.is_dir():
        yield from read_folder(source, report)
    elif not source.is_file():
        raise UserError(f"--from {source}: there is no such file or folder")
    elif source.stat().st_size == 0:
        raise UserError(f"--from {source}: the file is empty")
    elif suffix in LINES_SUFFIXES:
        yield from read_json_lines(source, report)
    elif suffix in SHEET_SUFFIXES:
        yield from read_sheet(source, report)
    elif suffix in JSON_SUFFIXES + PAGE_SUFFIXES:
        yield from read_document(source, source.name, report, every_record=True)
    else:
        kinds = ", ".join(LINES_SUFFIXES + SHEET_SUFFIXES + JSON_SUFFIXES + PAGE_SUFFIXES)
        raise UserError(f"--from {source}: the name has to end in one of {kinds}, or to be a folder's")
