"""Zip files: exports of Paprika, Mealie, Tandoor and Nextcloud Cookbook, and folders of recipes that people packed."""

import contextlib
import gzip
import io
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from adamine_jax.formats.json_files import parse_json
from adamine_jax.formats.managers import paprika
from adamine_jax.formats.opening import decoded
from adamine_jax.formats.registry import format_of, read_folder
from adamine_jax.formats.report import Report
from adamine_jax.recipes.fields import Entry

MAX_MEMBERS = 500_000
MAX_UNPACKED = 64 << 30
"""Maximum size of an archive's content in bytes."""
MAX_RECIPE = 256 << 20
"""Maximum size in bytes of a recipe of Paprika, which contains its photos."""
_MAX_RATIO = 200  # of a member's size to that in the archive; text shrinks to a tenth, photos not at all
_PAPRIKA = ".paprikarecipe"


def read_archive(path: Path, name: str, report: Report) -> Iterator[Entry]:
    """Yields the recipes of an archive, whose photos are unpacked to `report.unpacked`.

    Raises:
        ValueError: It is no archive, is damaged, has a member outside of it, or is much larger than its file.
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
        for number, member in enumerate(_checked(archive)):
            inside = f"{name}/{member.filename}"
            if PurePosixPath(member.filename).suffix.lower() == _PAPRIKA:
                try:
                    yield _paprika(archive.read(member), folder, inside, report)
                except ValueError as error:
                    report.broken(inside, str(error))
            else:
                _unpack(archive, member, folder, number)
        if any(folder.iterdir()):
            yield from read_folder(folder, report, prefix=f"{name}/")


def _checked(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Returns the members of an archive that are files.

    Raises:
        ValueError: The archive must not be unpacked.
    """
    members = [member for member in archive.infolist() if not member.is_dir()]
    if len(members) > MAX_MEMBERS or sum(member.file_size for member in members) > MAX_UNPACKED:
        raise ValueError(f"contains more than {MAX_MEMBERS:,} files or {MAX_UNPACKED >> 30} GiB")
    for member in members:
        parts = PurePosixPath(member.filename.replace("\\", "/")).parts
        if ".." in parts or member.filename.startswith(("/", "\\")) or ":" in parts[0]:
            raise ValueError(f"{member.filename!r} is outside of the archive")
        if member.file_size > _MAX_RATIO * max(member.compress_size, 1 << 16):
            raise ValueError(f"{member.filename!r} is more than {_MAX_RATIO} times as large as in the archive")
        if member.flag_bits & 1:
            raise ValueError("is encrypted")
    return members


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path, number: int) -> None:
    """Writes a member that is a recipe or may be a photo; an archive in the archive becomes a folder."""
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if any(part.startswith(".") for part in path.parts) or path.parts[0] == "__MACOSX":
        return
    target = folder.joinpath(*path.parts)
    if format_of(Path(path.name)) == "zip" and path.suffix.lower() == ".zip":
        with zipfile.ZipFile(io.BytesIO(archive.read(member))) as inner:
            target = target.with_name(f"{target.stem}_{number}")
            for inner_number, inner_member in enumerate(_checked(inner)):
                if not inner_member.filename.lower().endswith(".zip"):
                    _unpack(inner, inner_member, target, inner_number)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, open(target, "wb") as file:
        left = member.file_size
        while chunk := source.read(1 << 20):
            left -= len(chunk)
            if left < 0:
                raise ValueError(f"{member.filename!r} is larger than the archive says")
            file.write(chunk)


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
