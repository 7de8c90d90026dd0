"""A report on the disk: the page, its pictures, and all the numbers."""

import json
from pathlib import Path

from adamine_jax.base.files import write_text
from data_builders.recipe1m.report.page import page
from data_builders.recipe1m.report.report import Report


def write_report(report: Report, folder: Path) -> None:
    """Writes `report.md`, `report.json`, `report.png`, `report.svg` and, if recipes were kept, `contact_sheet.jpg`."""
    # matplotlib takes a second to import, and a report that is only printed has no need of it.
    from data_builders.recipe1m.report.contact_sheet import write_contact_sheet
    from data_builders.recipe1m.report.plots import draw

    write_text(folder / "report.md", page(report))
    write_text(folder / "report.json", json.dumps(report.as_json(), indent=1, ensure_ascii=False) + "\n")
    draw(report, folder)
    if report.sample:
        write_contact_sheet(report.sample, folder / "contact_sheet.jpg")
