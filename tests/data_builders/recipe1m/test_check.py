"""`check --out` writes the report of a build, completely or not at all."""

import json
import shutil

import pytest

from data_builders.recipe1m import check
from tests.data_builders.recipe1m.planted import FEW_WORDS, planted, run

FILES = {"report.md", "report.json", "report.png", "report.svg", "contact_sheet.jpg", "dropped.tsv"}


@pytest.fixture(scope="module")
def flags(source):
    return ("check", "--source", source, "--class-min-train", "1", *FEW_WORDS)


@pytest.fixture(scope="module")
def written(flags, tmp_path_factory):
    folder = tmp_path_factory.mktemp("check") / "new" / "report"
    assert run(*flags, "--out", folder) == 0
    return folder


def test_it_is_the_report_that_a_build_writes(built, written):
    assert {path.name for path in written.iterdir()} == FILES
    for name in FILES:
        assert (written / name).read_bytes() == (built / name).read_bytes(), name
    assert [path.name for path in written.parent.iterdir()] == ["report"]


def test_it_prints_the_same_with_and_without_a_folder(flags, tmp_path, capsys):
    assert run(*flags) == 0
    printed = capsys.readouterr().out
    assert run(*flags, "--out", tmp_path / "report") == 0
    assert capsys.readouterr().out == printed


def test_an_older_report_is_replaced_and_so_is_an_empty_folder(flags, written, tmp_path):
    old = tmp_path / "report"
    shutil.copytree(written, old)
    (old / "report.json").write_text("old")
    (tmp_path / "empty").mkdir()
    for name in ("report", "empty"):
        assert run(*flags, "--out", tmp_path / name) == 0
        assert (tmp_path / name / "report.json").read_bytes() == (written / "report.json").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"report", "empty"}


@pytest.mark.parametrize("make", [lambda out: out.write_text(""), lambda out: (out / "photos").mkdir(parents=True)])
def test_something_else_is_not_replaced_and_nothing_is_read_for_it(tmp_path, capsys, make):
    make(tmp_path / "out")
    assert run("check", "--source", tmp_path / "absent", "--out", tmp_path / "out") == 2
    assert "exists and is not a report" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_made_is_one_line(flags, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(*flags, "--out", tmp_path / "file" / "report") == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_check_that_fails_leaves_what_was_there(flags, written, tmp_path, monkeypatch):
    old = tmp_path / "report"
    shutil.copytree(written, old)
    (old / "report.json").write_text("old")
    write_report = check.write_report

    def fails(report, folder):
        write_report(report, folder)
        raise RuntimeError("at the end")

    monkeypatch.setattr(check, "write_report", fails)
    for out in (old, tmp_path / "new"):
        with pytest.raises(RuntimeError, match="at the end"):
            run(*flags, "--out", out)
    assert [path.name for path in tmp_path.iterdir()] == ["report"]
    assert (old / "report.json").read_text() == "old"


def test_a_download_without_kept_recipes_gives_no_report(tmp_path, capsys):
    folder = planted().write(tmp_path / "download")
    shutil.rmtree(folder / "images")
    assert run("check", "--source", folder, "--out", tmp_path / "report", *FEW_WORDS) == 2
    assert "no photo can be read" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["download"]


def test_options_are_in_the_report(source, tmp_path):
    assert run("check", "--source", source, "--out", tmp_path / "report", "--resize", "40", *FEW_WORDS) == 0
    page = (tmp_path / "report" / "report.md").read_text()
    assert "Options: `word_min_count` 1, `word_dim` 8, `word_epochs` 1, `resize` 40; the others" in page
    assert json.loads((tmp_path / "report" / "report.json").read_text())["options"]["resize"] == 40
