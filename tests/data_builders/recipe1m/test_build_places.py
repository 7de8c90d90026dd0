"""Builds into a place that contains a collection, other files, another build or a killed one."""

import fcntl
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from data_builders.recipe1m.conversion import Conversion
from tests.data_builders.recipe1m.collection import read_records
from tests.data_builders.recipe1m.planted import FEW_WORDS, planted, run


def test_a_second_build_changes_nothing(source, built, capsys):
    before = {path.name: path.stat().st_mtime_ns for path in built.iterdir()}
    assert run("--source", source, "--out", built.parents[1], "--class-min-train", "1", *FEW_WORDS) == 0
    assert capsys.readouterr().out == f"{built}: already built\n"
    assert {path.name: path.stat().st_mtime_ns for path in built.iterdir()} == before


def test_another_collection_is_replaced_only_on_request(source, built, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(built.parents[1], out)
    same = ("--source", source, "--out", out, *FEW_WORDS)
    assert run(*same, "--class-min-train", "2") == 2
    error = capsys.readouterr().err
    assert "class_min_train was 1, is now 2" in error
    assert "--overwrite" in error
    assert len(error.splitlines()) == 1
    changed = planted()
    changed.layer1[0]["title"] = "Pear pie"
    assert run("--source", changed.write(tmp_path / "changed"), *same[2:], "--class-min-train", "1") == 2
    assert "layer1.json is another file" in capsys.readouterr().err
    assert run(*same, "--class-min-train", "2", "--overwrite", "--resize", "24", "--jpeg-quality", "71") == 0
    place = out / "recipe1m" / "1.0.0"
    assert json.loads((place / "metadata.json").read_text())["options"]["resize"] == 24
    Image.new("RGB", (8, 8)).save(of_this_quality := io.BytesIO(), "JPEG", quality=71)
    photo = Image.open(io.BytesIO(read_records(place, "val")[0]["images"][0]))
    assert photo.size == (32, 24)
    assert photo.quantization == Image.open(of_this_quality).quantization
    assert [path.name for path in out.iterdir()] == ["recipe1m"]


def test_a_collection_from_before_an_option_is_known_again(source, built, tmp_path, capsys):
    out = tmp_path / "out"
    shutil.copytree(built.parents[1], out)
    place = out / "recipe1m" / "1.0.0" / "metadata.json"
    metadata = json.loads(place.read_text())
    del metadata["options"]["unknown_ingredients"]
    place.write_text(json.dumps(metadata))
    same = ("--source", source, "--out", out, "--class-min-train", "1", *FEW_WORDS)
    assert run(*same) == 0
    assert "already built" in capsys.readouterr().out
    assert run(*same, "--unknown-ingredients", "words") == 2
    assert "unknown_ingredients was drop, is now words" in capsys.readouterr().err


def test_a_folder_of_someone_else_is_not_touched(source, tmp_path, capsys):
    (tmp_path / "recipe1m" / "1.0.0").mkdir(parents=True)
    assert run("--source", source, "--out", tmp_path) == 2
    assert "is not a collection of this command" in capsys.readouterr().err


def test_a_build_that_fails_leaves_what_was_there(source, built, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(built.parents[1], out)
    before = (out / "recipe1m" / "1.0.0" / "dataset_info.json").read_bytes()
    examples = Conversion.examples

    def fails(self, partition):
        for number, example in enumerate(examples(self, partition)):
            if number == 2:
                raise RuntimeError("in the middle")
            yield example

    monkeypatch.setattr(Conversion, "examples", fails)
    with pytest.raises(RuntimeError, match="in the middle"):
        run("--source", source, "--out", out, "--overwrite", *FEW_WORDS)
    assert [path.name for path in out.iterdir()] == ["recipe1m"]
    assert (out / "recipe1m" / "1.0.0" / "dataset_info.json").read_bytes() == before


def test_a_killed_build_is_not_taken_for_a_collection(tmp_path, source):
    out = tmp_path / "out"
    # Stops in the middle of the photos, and waits there to be killed.
    program = (
        "import sys, threading\n"
        "from data_builders.recipe1m.passes import photos\n"
        "from data_builders.recipe1m.__main__ import main\n"
        "load, calls = photos.load_photo, []\n"
        "def slow(*args):\n"
        "    calls.append(args)\n"
        "    if len(calls) == 6:\n"
        "        print('half way', file=sys.__stdout__, flush=True)\n"
        "        threading.Event().wait()\n"
        "    return load(*args)\n"
        "photos.load_photo = slow\n"
        "main(sys.argv[1:])\n"
    )
    arguments = ["--source", source, "--out", out, "--workers", "1", *FEW_WORDS]
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout.readline() == b"half way\n"
        process.send_signal(signal.SIGKILL)
    assert not (out / "recipe1m").exists()
    assert (out / ".recipe1m.incomplete").is_dir()
    assert run(*arguments) == 0
    assert [path.name for path in out.iterdir()] == ["recipe1m"]


def test_two_builds_in_one_place_do_not_meet(source, tmp_path, capsys):
    workplace = tmp_path / ".recipe1m.incomplete"
    workplace.mkdir()
    handle = os.open(workplace, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    assert run("--source", source, "--out", tmp_path, *FEW_WORDS) == 2
    assert "another build is writing" in capsys.readouterr().err
    os.close(handle)
