"""Inputs, places and options that cannot be used: one line, and nothing is written."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from data_builders.recipe1m.own_recipes import importing, writing
from tests.data_builders.recipe1m.download import jpeg
from tests.data_builders.recipe1m.own_recipes.own import (
    Imported,
    recipe,
    run_import,
    write_lines,
    write_list,
    write_photos,
)


@pytest.fixture
def source(tmp_path):
    """A file of three recipes."""
    write_photos(tmp_path / "own", 0, 1, 2)
    return write_lines(tmp_path / "own" / "own.jsonl", [recipe(number) for number in range(3)])


@pytest.fixture
def out(tmp_path):
    return tmp_path / "place" / "download"


def error_of(capsys) -> str:
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("none.jsonl", None, "no such file or folder"),
        ("a.jsonl", b"", "the file is empty"),
        ("a.jsonl", b"\n \n", "contains no recipe"),
        (
            "a.jsonl",
            b'{"title": "a"}\nnot json\n',
            "a.jsonl:2: not JSON (Expecting value, column 1); fix it, or add --skip",
        ),
        (
            "a.jsonl",
            b'{"titel": "Pie", "zutaten": 1}',
            "no title (a.jsonl:1); unused columns: titel, zutaten",
        ),
        ("a.jsonl", b'{"title": "a", "steps": "b"}', "no photo can be used: no record lists one"),
        (
            "a.jsonl",
            b'{"title": "a", "steps": "b", "photo": "x.jpg"}',
            "1 missing (x.jpg of a.jsonl:1); paths must be",
        ),
        ("a.csv", b"x,y\n", "no column is named title or name (found: x, y)"),
        ("a.csv", b"title,steps\n", "contains no recipe"),
        ("a.json", b"[]", "contains no recipe"),
        ("a.json", b"{}", "contains no recipe"),
        ("a.json", b'[{"title": ', "a.json: broken JSON at byte"),
        ("a.html", b"<html>", "contains no recipe"),
        ("a.xlsx", b"PK", "give a folder or a file ending in .json, .jsonld, .jsonl"),
    ],
)
def test_a_file_without_recipes_is_refused(tmp_path, out, capsys, name, data, message):
    if data is not None:
        (tmp_path / name).write_bytes(data)
    assert run_import(tmp_path / name, out) == 2
    assert message in error_of(capsys)
    assert not out.exists()
    assert not out.parent.exists() or not list(out.parent.iterdir())


def test_a_folder_without_recipes_is_refused(tmp_path, out, capsys):
    (tmp_path / "own").mkdir()
    assert run_import(tmp_path / "own", out) == 2
    assert "contains no recipe files" in error_of(capsys)
    write_list(tmp_path / "own" / "package.json", {"name": "x"})
    assert run_import(tmp_path / "own", out) == 2
    assert "contains no recipe" in error_of(capsys)


def test_broken_lines_can_be_skipped(source, out, capsys):
    with source.open("ab") as file:
        file.write(b'{"title"\n\xff\n')
    assert run_import(source, out) == 2
    assert "own.jsonl:4: not JSON" in error_of(capsys)
    assert run_import(source, out, "--skip-broken") == 0
    assert len(Imported(out).layer("layer1")) == 3
    assert "  2 cannot be read: own.jsonl:4 (not JSON" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--splits", "1,2"), "give three numbers"),
        (("--splits", "a,b,c"), "give three numbers"),
        (("--splits", "1,-1,1"), "not negative"),
        (("--splits", "0,0,0"), "at least one must be positive"),
        (("--splits", "nan,1,1"), "at least one must be positive"),
        (("--workers", "0"), "--workers is 0"),
    ],
)
def test_options_that_make_no_sense_are_refused(source, out, capsys, flags, message):
    assert run_import(source, out, *flags) == 2
    assert message in error_of(capsys)
    assert not out.exists()


def test_a_folder_with_content_is_replaced_only_on_request(source, out, capsys):
    assert run_import(source, out) == 0
    before = sorted(path for path in out.rglob("*"))
    capsys.readouterr()
    assert run_import(source, out) == 2
    assert "is not empty; choose another folder, or add --overwrite to replace it" in error_of(capsys)
    write_lines(source, [recipe(0)])
    assert run_import(source, out, "--overwrite") == 0
    assert len(before) > len(sorted(path for path in out.rglob("*")))
    assert len(Imported(out).layer("layer1")) == 1
    assert not list(out.parent.glob(".*"))


def test_what_this_command_did_not_write_is_never_replaced(source, out, capsys):
    out.mkdir(parents=True)
    (out / "layer1.json").write_text("mine")
    assert run_import(source, out, "--overwrite") == 2
    assert "was not written by this command and will not be replaced" in error_of(capsys)
    assert (out / "layer1.json").read_text() == "mine"


def test_places_that_would_harm_the_input_are_refused(source, out, capsys):
    folder = source.parent
    write_list(folder / "a.json", [recipe(0)])
    for origin, place, message in (
        (folder, folder / "download", "is inside the input folder"),
        (folder, folder, "is inside the input folder"),
        (source, folder, "contains the input"),
        (source, folder.parent, "contains the input"),
        (source, source, "contains the input"),
    ):
        assert run_import(origin, place, "--overwrite") == 2
        assert message in error_of(capsys)
    (out.parent).mkdir()
    out.write_text("")
    assert run_import(source, out) == 2
    assert "is a file; give a folder" in error_of(capsys)
    assert run_import(source, out / "below") == 2
    assert "cannot be written" in error_of(capsys)
    assert run_import(source, folder / "download") == 0  # beside a file it is all right


def _changed_photo(folder, patch):
    placed = importing._placed

    def meddle(*args):
        (folder / "photos" / "3.jpg").write_bytes(jpeg(9))
        return placed(*args)

    patch.setattr(importing, "_placed", meddle)


def _removed_photo(folder, patch):
    placed = importing._placed

    def meddle(*args):
        (folder / "photos" / "3.jpg").unlink()
        return placed(*args)

    patch.setattr(importing, "_placed", meddle)


def _full_disk(folder, patch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(writing.Layers, "add", fail)


def _no_renaming(folder, patch):
    rename = Path.rename

    def fail(path, target):
        if path.name == "download" and Path(target).name == "download":
            raise OSError(errno.EIO, "Input/output error")
        return rename(path, target)

    patch.setattr(Path, "rename", fail)


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_changed_photo, "was changed during the import; rerun the import"),
        (_removed_photo, "can no longer be opened"),
        (_full_disk, "No space left on device ("),
        (_no_renaming, ": Input/output error"),
    ],
)
def test_an_import_that_fails_leaves_what_was_there(source, out, capsys, monkeypatch, harm, message):
    assert run_import(source, out) == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    write_photos(source.parent, 3)
    write_lines(source, [recipe(3)])
    capsys.readouterr()
    harm(source.parent, monkeypatch)
    assert run_import(source, out, "--overwrite") == 2
    assert message in error_of(capsys)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert not list(out.parent.glob(".*"))


def test_only_one_import_writes_a_place_and_what_a_killed_one_left_is_removed(source, out, capsys):
    workplace = out.parent / f".{out.name}.incomplete"
    (workplace / "download" / "images").mkdir(parents=True)
    (workplace / "download" / "layer1.json").write_text("half")
    handle = os.open(workplace, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert run_import(source, out) == 2
    assert "another import is writing" in error_of(capsys)
    assert (workplace / "download" / "layer1.json").read_text() == "half"
    os.close(handle)
    assert run_import(source, out) == 0
    assert len(Imported(out).layer("layer1")) == 3
    assert not workplace.exists()
