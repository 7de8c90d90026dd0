"""What a conversion would keep, without converting."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

from adamine_jax.base.errors import UserError
from adamine_jax.base.extras import require
from data_builders.file_errors import told_in_one_line
from data_builders.garbage import seldom_collected
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.report.dataset_report import Report
from data_builders.recipe1m.report.writing import write_report
from data_builders.recipe1m.sources import open_conversion

_FILES = {"report.md", "report.json", "report.png", "report.svg", "contact_sheet.jpg", "dropped.tsv"}


def check(source: Path, options: Options, *, workers: int, out: Path | None = None) -> str:
    """Reads a download, photos included, and reports on it.

    Args:
        source: the download's folder.
        options: of the conversion that is thought of.
        workers: threads that decode photos.
        out: the folder to write the report to, whole or not at all; an older report there is replaced. None: nothing
            is written.

    Returns:
        The summary to print.

    Raises:
        UserError: the download cannot be used, or `out` is something else than a report.
        ModuleNotFoundError: what draws the report's pictures is not installed.
    """
    if out is None:
        with told_in_one_line(Path(tempfile.gettempdir())), tempfile.TemporaryDirectory() as folder:
            return _report(source, options, workers, Path(folder)).summary()
    require("matplotlib")
    out = Path(os.path.abspath(out))
    _refuse_others(out)
    with told_in_one_line(out), _folder_beside(out) as aside:
        report = _report(source, options, workers, aside)
        write_report(report, aside)
        _refuse_others(out)
        if out.exists():
            shutil.rmtree(out)
        aside.rename(out)
    return report.summary()


def _report(source: Path, options: Options, workers: int, folder: Path) -> Report:
    conversion = open_conversion(source, options, folder, workers)
    with seldom_collected():
        conversion.check()
    return conversion.report


def _refuse_others(out: Path) -> None:
    """Raises a `UserError` where there is something that a report must not replace."""
    if out.is_dir() and {path.name for path in out.iterdir()} <= _FILES:
        return
    if out.exists():
        raise UserError(f"--out {out}: there is something else than a report; take a folder of its own")


@contextlib.contextmanager
def _folder_beside(out: Path) -> Generator[Path]:
    """A new folder beside `out`, which is gone afterwards unless it was renamed."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        folder.chmod(0o755)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror})") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
