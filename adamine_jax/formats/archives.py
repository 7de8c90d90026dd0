"""Zip files: exports of Paprika, Mealie, Tandoor and Nextcloud Cookbook, and folders of recipes that people packed."""

import contextlib
import gzip
import io
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from adamine_jax.formats.json_files import parse_json
from adamine_jax.formats.managers import paprika
from adamine_jax.formats.opening import decoded
from adamine_jax.formats.registry import UNREADABLE, format_of, read_folder, reason_of
from adamine_jax.formats.report import Report
from adamine_jax.recipes.fields import Entry
from adamine_jax.recipes.photos import SUFFIXES

MAX_MEMBERS = 500_000
MAX_RECIPE = 256 << 20
"""Maximum size in bytes of a recipe of Paprika, which contains its photos."""
_MAX_RATIO = 100  # of the size of all content to that of the file; text shrinks to a tenth, photos not at all
_ALLOWANCE = 16 << 20  # bytes beyond that
_PAPRIKA = ".paprikarecipe"


def read_archive(path: Path, name: str, report: Report) -> Iterator[Entry]:
    """Yields the recipes of an archive, whose photos are unpacked to `report.unpacked`.

    Raises:
        ValueError: The file is not an archive, is damaged, has a member outside of it, or has far larger content.
    """
    with contextlib.ExitStack() as stack:
        folder = report.unpacked or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder = Path(tempfile.mkdtemp(dir=folder))
        if path.suffix.lower() == _PAPRIKA:
            yield _paprika(path.read_bytes(), path.parent, name, report)
            return
        if not zipfile.is_zipfile(path):
            raise ValueError("not a zip file")
        archive = stack.enter_context(zipfile.ZipFile(path))
        budget = [_MAX_RATIO * path.stat().st_size + _ALLOWANCE]
        for number, member in enumerate(_checked(archive, budget)):
            inside = f"{name}/{member.filename}"
            try:
                if member.filename.lower().endswith(_PAPRIKA):
                    yield _paprika(archive.read(member), folder, inside, report)
                else:
                    _unpack(archive, member, folder, number, budget)
            except DangerousArchiveError:
                raise
            except UNREADABLE as error:
                report.broken(inside, reason_of(error))
        if any(format_of(file) for file in folder.rglob("*") if file.is_file()):
            yield from read_folder(folder, report, prefix=f"{name}/")


class DangerousArchiveError(ValueError):
    """An archive must not be unpacked."""


def _checked(archive: zipfile.ZipFile, budget: list[int]) -> list[zipfile.ZipInfo]:
    """Returns the members of an archive that are recipes or may be photos; their sizes are subtracted from `budget`.

    Raises:
        DangerousArchiveError: A member is outside of the archive or encrypted, or the content is too large.
    """
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MAX_MEMBERS:
        raise DangerousArchiveError(f"contains more than {MAX_MEMBERS:,} files")
    for member in members:
        name = member.filename.replace("\\", "/")
        if ".." in name.split("/") or name.startswith("/") or re.match(r"[A-Za-z]:", name):
            raise DangerousArchiveError(f"{member.filename!r} is outside of the archive")
        if member.flag_bits & 1:
            raise DangerousArchiveError("it is encrypted")
    members = [member for member in members if _is_read(member.filename.replace("\\", "/"))]
    budget[0] -= sum(member.file_size for member in members)
    if budget[0] < 0:
        raise DangerousArchiveError(f"its content is more than {_MAX_RATIO} times as large as the file")
    return members


def _is_read(name: str) -> bool:
    """Whether a member is a recipe or may be a photo, and is not hidden."""
    path = PurePosixPath(name)
    is_hidden = not path.parts or any(part.startswith(".") for part in path.parts) or path.parts[0] == "__MACOSX"
    return not is_hidden and bool(format_of(Path(path.name)) or path.suffix.lower() in (*SUFFIXES, ""))


def _unpack(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, number: int, budget: list[int], depth: int = 1
) -> None:
    """Writes a member; an archive in the archive becomes a folder."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    target = folder.joinpath(*path.parts)
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(io.BytesIO(archive.read(member))) as inner:
            target = target.with_name(f"{target.stem}_{number}")
            for inner_number, inner_member in enumerate(_checked(inner, budget) if depth else ()):
                _unpack(inner, inner_member, target, inner_number, budget, depth - 1)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, open(target, "wb") as file:
        shutil.copyfileobj(source, file)  # zipfile reads no more than the size that was checked


def _paprika(data: bytes, folder: Path, where: str, report: Report) -> Entry:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
            content = file.read(MAX_RECIPE + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"cannot be decompressed ({error})") from None
    if len(content) > MAX_RECIPE:
        raise ValueError(f"more than {MAX_RECIPE >> 20} MiB")
    recipe = parse_json(decoded(content))
    if not isinstance(recipe, dict):
        raise ValueError("not a recipe")
    photos = report.unpacked and Path(tempfile.mkdtemp(dir=report.unpacked))
    return Entry(where, folder, paprika(recipe, photos), is_linked_data=True)
