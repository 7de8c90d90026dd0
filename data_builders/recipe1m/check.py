"""Reports what a conversion would keep, without converting."""

import os
import tempfile
from pathlib import Path

from adamine_jax.base.errors import UserError
from adamine_jax.base.extras import require
from data_builders.file_errors import os_errors_reported
from data_builders.gc_tuning import rare_gc
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.report.dataset_report import Report
from data_builders.recipe1m.report.writing import write_report
from data_builders.recipe1m.sources import open_conversion
from data_builders.workplace import move_into_place, workplace

_FILES = {"report.md", "report.json", "report.png", "report.svg", "contact_sheet.jpg", "dropped.tsv"}


def check(source: Path, options: Options, *, workers: int, out: Path | None = None) -> str:
    """Reads a download, including its photos, and reports on it.

    Args:
        source: Folder of the download.
        options: Options of the conversion.
        workers: Number of processes that read text, and of threads that decode photos.
        out: Folder to write the report to, replacing an older report. None writes nothing.

    Returns:
        The summary to print.

    Raises:
        UserError: The download cannot be used, or `out` contains something other than a report.
        ModuleNotFoundError: The package that draws the figures of the report is not installed.
    """
    if out is None:
        with os_errors_reported(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
            return _report(source, options, workers, Path(folder)).summary()
    require("matplotlib")
    out = Path(os.path.abspath(out))
    _refuse_other_content(out)
    busy = f"another check is writing to {out}; wait for it or choose another --out"
    temporary = out.with_name(f".{out.name}.incomplete")
    with os_errors_reported(out), workplace(temporary, out, out=out, busy=busy) as folder:
        new = folder / "report"
        new.mkdir()
        report = _report(source, options, workers, new)
        write_report(report, new)
        _refuse_other_content(out)
        move_into_place(new, out, folder)
    return report.summary()


def _report(source: Path, options: Options, workers: int, folder: Path) -> Report:
    conversion = open_conversion(source, options, folder, workers)
    with rare_gc():
        conversion.check()
    return conversion.report


def _refuse_other_content(out: Path) -> None:
    if out.is_dir() and {path.name for path in out.iterdir()} <= _FILES:
        return
    if out.exists():
        raise UserError(f"--out {out}: exists and is not a report; choose another folder")
