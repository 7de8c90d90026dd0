"""Reads a source with the importer's report."""

import contextlib
from pathlib import Path

import pytest

from adamine_jax.formats.registry import read_source
from adamine_jax.recipes.fields import draft
from data_builders.recipe1m.own_recipes.import_report import Report


@pytest.fixture
def read(tmp_path):
    """Reads a source with the photos of archives."""
    (tmp_path / "report").mkdir()
    (tmp_path / "unpacked").mkdir()

    def run(source: Path):
        report = Report(tmp_path / "report", skip_broken=False, unpacked=tmp_path / "unpacked")
        with contextlib.closing(report):
            return [draft(entry) for entry in read_source(source, report)]

    return run
