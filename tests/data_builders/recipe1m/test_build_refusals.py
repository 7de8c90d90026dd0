"""Downloads and options that cannot be used."""

import json
import os
import pickle
import shutil
import sys

import pytest

from tests.data_builders.recipe1m.download import recipe_id
from tests.data_builders.recipe1m.planted import FEW_WORDS, planted, run

FOOD101 = "food101_classes_renamed.txt"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: shutil.rmtree(folder), ": no such folder"),
        (lambda folder: (folder / "layer2.json").unlink(), "layer2.json is missing"),
        (lambda folder: (folder / "layer1.json").write_text('[{"id": "a", '), "broken JSON at byte 13"),
        (lambda folder: shutil.rmtree(folder / "images"), "no photo can be read"),
        (lambda folder: (folder / "layer2.json").write_text("[]"), "no recipe of"),
        (lambda folder: (folder / "vocab.bin").write_text("no"), "vocab.bin: a word2vec file must start"),
    ],
)
def test_a_download_that_cannot_be_used_is_one_line(tmp_path, capsys, change, message):
    folder = planted().write(tmp_path / "download")
    change(folder)
    assert run("--source", folder, "--out", tmp_path / "out", *FEW_WORDS) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out" / "recipe1m").exists()


@pytest.mark.parametrize("name", ["layer2.json", "remove1M.txt", "vocab.bin", "classes1M.pkl", FOOD101])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("nowhere", path)])
def test_what_is_there_and_is_no_file_is_not_taken_for_absent(tmp_path, capsys, name, make):
    folder = planted().write(tmp_path / "download")
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    assert run("check", "--source", folder, *FEW_WORDS) == 2
    assert f"error: {folder / name}: not a file" in capsys.readouterr().err


def test_letters_of_ids_make_no_difference(tmp_path):
    download = planted()
    download.removed = [recipe_id(11).upper()]
    download.layer1[11]["id"] = recipe_id(12).upper()
    folder = download.write(tmp_path / "download")
    classes = {recipe_id(12): 1, recipe_id(1): 1}
    (folder / "classes1M.pkl").write_bytes(pickle.dumps(classes) + pickle.dumps({0: "background", 1: "pie"}))
    flags = ("--source", folder, "--no-published-split", *FEW_WORDS)
    assert run("check", *flags, "--out", tmp_path / "report") == 0
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    assert sum(report["classes"]["pie"].values()) == 2
    assert report["dropped"]["listed in remove1M.txt"]["train"] == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--word-min-count", "1000"), "give a smaller --word-min-count"),
        (("--resize", "0"), "resize is 0"),
        (("--jpeg-quality", "0"), "jpeg_quality is 0; it must be between 1 and 100"),
        (("--jpeg-quality", "101"), "jpeg_quality is 101; it must be between 1 and 100"),
        (("--images-per-recipe", "0"), "images_per_recipe is 0"),
        (("--workers", "0"), "--workers is 0"),
        (("--vocab", "absent.bin"), "absent.bin: no such file"),
    ],
)
def test_options_that_make_no_sense_are_one_line(source, tmp_path, capsys, flags, message):
    assert run("--source", source, "--out", tmp_path / "out", *FEW_WORDS, *flags) == 2
    assert message in capsys.readouterr().err
    assert run("--source", source) == 2
    assert "--out is missing" in capsys.readouterr().err


def test_an_absent_beam_is_one_line(source, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.delitem(sys.modules, "data_builders.recipe1m.cluster", raising=False)
    assert run("--source", source, "--out", tmp_path / "out", "--beam-options=--runner=FlinkRunner") == 2
    wanted = "error: this needs apache_beam, which is not installed: pip install 'adamine-jax[beam]'\n"
    assert capsys.readouterr().err == wanted
