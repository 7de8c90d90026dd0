"""The formats of recipe files: a reader for each suffix, and folders of files."""

import functools
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from adamine_jax.base.errors import NO_ROOM, UserError
from adamine_jax.base.registry import Registry
from adamine_jax.formats.report import RecordedReport, Report
from adamine_jax.recipes.fields import Entry

FORMATS = Registry(
    "format",
    {
        "json": "adamine_jax.formats.json_files:read_document",
        "jsonl": "adamine_jax.formats.json_files:read_lines",
        "sheet": "adamine_jax.formats.sheets:read_sheet",
        "parquet": "adamine_jax.formats.sheets:read_parquet",
        "page": "adamine_jax.formats.pages:read_page",
        "markdown": "adamine_jax.formats.markdown:read_markdown",
        "cooklang": "adamine_jax.formats.cooklang:read_cooklang",
        "mealmaster": "adamine_jax.formats.mealmaster:read_mealmaster",
        "zip": "adamine_jax.formats.archives:read_archive",
    },
)
"""Readers `read(path, name, report)`, which yield the entries of a file. `name` is the file in messages.

A reader raises a `ValueError` if it cannot read the file at all."""

SUFFIXES = {
    **dict.fromkeys((".json", ".jsonld"), "json"),
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    **dict.fromkeys((".csv", ".tsv", ".tab"), "sheet"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".html", ".htm", ".xhtml", ".mhtml", ".mht"), "page"),
    **dict.fromkeys((".md", ".markdown"), "markdown"),
    ".cook": "cooklang",
    **dict.fromkeys((".mmf", ".mm", ".txt"), "mealmaster"),
    **dict.fromkeys((".zip", ".paprikarecipes", ".paprikarecipe"), "zip"),
}

SMALL = 4 << 20
"""Maximum size in bytes of a file of a folder that is read by `map_files`; the recipes of larger ones are streamed."""

UNREADABLE = (ValueError, OSError, RecursionError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""Exceptions of reading a damaged file."""

# "Soup_files", as browsers call it in several languages.
_PAGE_FOLDER = re.compile(
    r"[_.-](?:files?|dateien|fichiers|archivos|arquivos|ficheiros|bestanden|filer|pliki|soubory|tiedostot|elemei)$",
    re.I,
)


def read_source(source: Path, report: Report, format_name: str = "", map_files: Callable = map) -> Iterator[Entry]:
    """Yields the records of a file, or of all files of a folder and its subfolders.

    Args:
        source: File or folder.
        report: Receives what is left out.
        format_name: Name of `FORMATS`, or `package.module:function`; "" = by the suffix.
        map_files: Calls a function for the small files of a folder, in order, such as `map` or that of a pool.

    Raises:
        UserError: The source is missing, empty or of no known format.
    """
    if source.is_dir():
        yield from read_folder(source, report, format_name, map_files=map_files)
    elif not source.is_file():
        raise UserError(f"{source}: no such file or folder")
    elif not source.stat().st_size:
        raise UserError(f"{source}: the file is empty")
    elif not (format_name or format_of(source)):
        raise UserError(f"{source}: unsupported file type; give a folder or a file ending in {', '.join(SUFFIXES)}")
    else:
        yield from read_file(source, source.name, report, format_name)


def read_file(path: Path, name: str, report: Report, format_name: str = "") -> Iterator[Entry]:
    """Yields the recipes of one file; reports it if it has none or cannot be read."""
    count = 0
    try:
        if not path.stat().st_size:
            raise ValueError("the file is empty")
        for entry in FORMATS(format_name or format_of(path))(path, name, report):
            count += 1
            yield entry
    except UNREADABLE as error:
        report.broken(name, reason_of(error))
        return
    if not count:
        report.no_recipe(name)


def reason_of(error: Exception) -> str:
    """Returns why a file cannot be read; raises the error again if the disk is full."""
    if isinstance(error, OSError):
        if error.errno in NO_ROOM:
            raise error
        return f"cannot be read ({error.strerror})"
    return " ".join(str(error).split())


def format_of(path: Path) -> str:
    """Returns the name of the format for a file's suffix, without a final `.gz`; "" if the suffix is unknown."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    return SUFFIXES.get(suffixes[-1], "") if suffixes else ""


def read_folder(
    folder: Path, report: Report, format_name: str = "", prefix: str = "", map_files: Callable = map
) -> Iterator[Entry]:
    """Yields the recipes of all files of known formats except hidden ones, sorted by their paths without suffixes.

    Args:
        folder: Folder to read, with its subfolders.
        report: Receives what is left out.
        format_name: See `read_source`.
        prefix: Put before the paths of files in messages.
        map_files: See `read_source`.

    Raises:
        UserError: The folder has no file of a known format.
    """
    names = []
    for parent, folders, files in os.walk(folder):
        pages = [Path(name).stem for name in files if format_of(Path(name)) == "page"]
        # What browsers save beside a page: "Soup.html" and "Soup_files".
        folders[:] = [name for name in folders if not name.startswith(".") and not _belongs_to_page(name, pages)]
        known = (name for name in files if not name.startswith(".") and (format_name or format_of(Path(name))))
        names += [os.path.relpath(path, folder) for name in known if _is_inside(path := Path(parent, name), folder)]
    # "Soup.md" before "Soup (copy).md": of equal recipes, the first is kept.
    names.sort(key=lambda name: (os.path.splitext(name.removesuffix(".gz")), name))
    if not names:
        raise UserError(f"{folder}: contains no recipe files; supported suffixes are {', '.join(SUFFIXES)}")
    small = {path: None for name in names if (path := folder / name).stat().st_size <= SMALL}
    results = map_files(functools.partial(_recorded, folder, prefix, report.unpacked, format_name), small)
    for name in names:
        if folder / name in small:
            entries, calls = next(results)
            yield from entries
            calls.repeat(report)
        else:
            yield from read_file(folder / name, f"{prefix}{name}", report, format_name)


def _recorded(
    folder: Path, prefix: str, unpacked: Path | None, format_name: str, path: Path
) -> tuple[list[Entry], RecordedReport]:
    report = RecordedReport(unpacked)
    return list(read_file(path, f"{prefix}{path.relative_to(folder)}", report, format_name)), report


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether a file is a regular file in the folder, not a link to one elsewhere."""
    return path.is_file() and path.resolve().is_relative_to(folder.resolve())


def _belongs_to_page(folder: str, pages: list[str]) -> bool:
    stem = _PAGE_FOLDER.sub("", folder)
    return stem != folder and stem in pages
