"""Where photos are looked for, and which of them can be used."""

import hashlib
import os

import pytest
from PIL import Image

from adamine_jax.formats.photo_files import (
    LINK,
    MISSING,
    OUTSIDE,
    UNREADABLE,
    PhotoFile,
    PhotoFinder,
    PhotoProblem,
)
from tests.data_builders.recipe1m.download import jpeg


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "recipes"
    (folder / "sub").mkdir(parents=True)
    (folder / "a b.jpg").write_bytes(jpeg(1))
    (folder / "sub" / "c.jpg").write_bytes(jpeg(2))
    (tmp_path / "outside.jpg").write_bytes(jpeg(3))
    return folder


@pytest.mark.parametrize(
    ("place", "listed", "number"),
    [("", "a b.jpg", 1), ("", "a%20b.jpg", 1), ("", "./sub/../a b.jpg", 1), ("", "sub/c.jpg", 2), ("", "sub\\c.jpg", 2),
     ("sub", "c.jpg", 2), ("sub", "../a b.jpg", 1)],
)  # fmt: skip
def test_paths_are_relative_to_the_file_that_lists_them(root, place, listed, number):
    found = PhotoFinder(root, allow_outside=False).find(root / place, listed)
    assert isinstance(found, PhotoFile)
    assert found.path.read_bytes() == jpeg(number)
    assert found.digest == hashlib.sha256(jpeg(number)).hexdigest()


@pytest.mark.parametrize(
    ("listed", "kind"),
    [("none.jpg", MISSING), ("sub", MISSING), ("", MISSING), ("a\0b.jpg", MISSING), ("\ud800.jpg", MISSING),
     ("x" * 5000, MISSING), ("sub/none.jpg", MISSING), ("../none.jpg", OUTSIDE), ("../outside.jpg", OUTSIDE),
     ("sub/../../outside.jpg", OUTSIDE), ("%2e%2e/outside.jpg", OUTSIDE), ("/etc/passwd", OUTSIDE),
     ("link.jpg", OUTSIDE), ("linked/outside.jpg", OUTSIDE), ("https://example.org/a.jpg", LINK),
     ("HTTP://example.org/a.jpg", LINK), ("//example.org/a.jpg", LINK), ("data:image/png;base64,AAAA", LINK),
     ("file:///etc/passwd", LINK)],
)  # fmt: skip
def test_what_is_not_there_or_outside_is_not_taken(root, listed, kind):
    os.symlink(root.parent / "outside.jpg", root / "link.jpg")
    os.symlink(root.parent, root / "linked")
    problem = PhotoFinder(root, allow_outside=False).find(root, listed)
    assert isinstance(problem, PhotoProblem)
    assert (problem.listed, problem.kind) == (listed, kind)


@pytest.mark.parametrize("listed", ["sub/c.jpg", "Sub/C.JPG", "c.jpg", "/sub/c.jpg", "notes/sub/c.jpg"])
def test_paths_from_another_root_are_found_if_one_file_fits(root, listed):
    (root / "notes").mkdir()
    found = PhotoFinder(root, allow_outside=False).find(root / "notes", listed)
    if listed.startswith("notes"):
        assert found.kind == MISSING
    else:
        assert found.path.read_bytes() == jpeg(2)
        (root / "notes" / "more" / "sub").mkdir(parents=True)
        (root / "notes" / "more" / "sub" / "c.jpg").write_bytes(jpeg(4))
        assert isinstance(PhotoFinder(root, allow_outside=False).find(root / "notes", listed), PhotoProblem)


def test_photos_outside_are_taken_where_that_is_allowed(root):
    finder = PhotoFinder(root, allow_outside=True)
    for listed in ("../outside.jpg", str(root.parent / "outside.jpg")):
        assert finder.find(root, listed).path.read_bytes() == jpeg(3)
    assert finder.find(root, "../none.jpg").kind == MISSING


def test_a_link_within_the_folder_is_no_escape(root, tmp_path):
    os.symlink(root, tmp_path / "other")
    os.symlink(root / "a b.jpg", root / "same.jpg")
    assert PhotoFinder(tmp_path / "other", allow_outside=False).find(tmp_path / "other", "same.jpg").path.is_file()


@pytest.mark.parametrize(
    ("name", "data", "detail"),
    [("a.jpg", b"", "not an image"), ("a.jpg", b"<html>", "not an image"),
     ("a.heic", b"\0\0\0 ftypheic", "not an image"),
     ("a.jpg", jpeg(1, (300, 300))[:-400], "truncated or damaged image")],
)  # fmt: skip
def test_what_cannot_be_decoded_is_unreadable(root, name, data, detail):
    (root / name).write_bytes(data)
    finder = PhotoFinder(root, allow_outside=False)
    for _ in range(2):
        problem = finder.find(root, name)
        assert (problem.listed, problem.kind) == (name, UNREADABLE)
        assert problem.detail.startswith(detail)


@pytest.mark.parametrize("kind", ["png", "webp", "gif", "bmp", "tiff", "avif"])
def test_other_formats_are_read(root, kind):
    Image.new("RGB", (40, 30), "red").save(root / f"a.{kind}")
    assert isinstance(PhotoFinder(root, allow_outside=False).find(root, f"a.{kind}"), PhotoFile)


def test_a_pipe_is_no_photo(root):
    os.mkfifo(root / "pipe.jpg")
    assert PhotoFinder(root, allow_outside=False).find(root, "pipe.jpg").kind == MISSING
