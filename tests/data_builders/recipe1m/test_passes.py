"""Conversions with several processes, of a part of a download, and of recipes without photos."""

import json

import pytest
import tensorflow_datasets as tfds

from adamine_jax.base.errors import UserError
from data_builders.recipe1m import conversion, workers
from data_builders.recipe1m.classes import class_of_title
from data_builders.recipe1m.layers import json_blocks
from tests.data_builders.recipe1m.download import Download, recipe_id
from tests.data_builders.recipe1m.planted import FEW_WORDS, planted, run

CLASSES = ("--class-min-train", "0")


def convert(source, out, *flags):
    assert run("--source", source, "--out", out, *FEW_WORDS, *CLASSES, *flags) == 0
    (place,) = out.glob("recipe1m/*")
    return place


def splits(place):
    builder = tfds.builder_from_directory(place)
    return {
        name: {record["id"].decode(): record for record in tfds.as_numpy(builder.as_dataset(split=name))}
        for name in builder.info.splits
    }


def test_several_processes_write_the_same_files(tmp_path, monkeypatch):
    source = planted().write(tmp_path / "download")
    one = convert(source, tmp_path / "one", "--workers", "1")
    monkeypatch.setattr(conversion, "SMALL_TEXT", 0)
    monkeypatch.setattr("data_builders.recipe1m.layers.reading.BLOCK_BYTES", 600)
    several = convert(source, tmp_path / "several", "--workers", "2")
    assert len(list(json_blocks.read_blocks(source / "layer1.json", 600))) > 3
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in several.iterdir())
    for name in names:
        assert (one / name).read_bytes() == (several / name).read_bytes(), name


def test_an_error_in_a_process_comes_out_whole(tmp_path):
    with workers.Workers(2, tmp_path) as pool:
        assert list(pool.map(abs, range(-20, 0))) == list(range(20, 0, -1))
        with pytest.raises(UserError, match=r"^three$"):
            list(pool.map(_refuse_three, range(10)))
    assert list(tmp_path.iterdir()) == []


def _refuse_three(number):
    if number == 3:
        raise UserError("three")
    return number


def test_a_killed_process_is_reported(tmp_path):
    with workers.Workers(2, tmp_path) as pool, pytest.raises(UserError, match="worker process was killed"):
        list(pool.map(_die, range(10)))


def _die(_):
    import os
    import signal

    os.kill(os.getpid(), signal.SIGKILL)


def test_recipes_without_photos_are_a_split_of_their_own(tmp_path):
    download = planted()
    download.add(20, photos=0, title="Apple pie of paper")
    source = download.write(tmp_path / "download")
    plain = splits(convert(source, tmp_path / "plain"))
    place = convert(source, tmp_path / "all", "--without-photos")
    found = splits(place)
    text = found.pop("text")
    assert {name: sorted(records) for name, records in found.items()} == {
        name: sorted(records) for name, records in plain.items()
    }
    # 9 and 20 list no photo, none of 10's can be read; 7, 8 and 11 are left out for other reasons.
    assert sorted(text) == [recipe_id(number) for number in (9, 10, 20)]
    assert all(len(record["images"]) == len(record["image_ids"]) == 0 for record in text.values())
    assert text[recipe_id(20)]["word_ids"].size > 0
    names = json.loads((place / "classes.json").read_text())
    assert names[text[recipe_id(20)]["class_id"]] == "apple pie"
    report = json.loads((place / "report.json").read_text())
    assert report["kept_without_photos"]["all"] == 3
    assert report["kept"]["all"] == 3 + sum(map(len, plain.values()))
    for name in ("train", "val", "test"):  # each kept recipe is counted under its own partition
        assert sum(sizes[name] for sizes in report["classes"].values()) == report["kept"][name]
    assert "without photos (the split text)" in (place / "report.md").read_text()


def test_only_photoless_recipes_are_no_collection(tmp_path):
    download = Download()
    download.add(1, photos=0)
    assert run("--source", download.write(tmp_path / "a"), "--out", tmp_path / "b", "--without-photos", *FEW_WORDS) == 2


def test_partitions_are_left_out_when_not_asked_for(tmp_path):
    source = planted().write(tmp_path / "download")
    found = splits(place := convert(source, tmp_path / "out", "--partitions", "val,test"))
    assert {name: sorted(records) for name, records in found.items()} == {"val": [recipe_id(5)], "test": [recipe_id(6)]}
    dropped = json.loads((place / "report.json").read_text())["dropped"]
    assert dropped["in a partition that --partitions excludes"]["train"] == 10


def test_unknown_partitions_are_refused(tmp_path, capsys):
    source = planted().write(tmp_path / "download")
    assert run("--source", source, "--out", tmp_path / "out", "--partitions", "val,tset") == 2
    assert "'tset'" in capsys.readouterr().err


@pytest.mark.parametrize("limit", [1, 6, 1000])
def test_a_limit_reads_the_first_records(tmp_path, limit, monkeypatch):
    download = planted()
    source = download.write(tmp_path / "download")
    monkeypatch.setattr("data_builders.recipe1m.layers.reading.BLOCK_BYTES", 600)
    place = convert(source, tmp_path / "out", "--limit", limit)
    report = json.loads((place / "report.json").read_text())
    assert report["records"]["all"] == min(limit, len(download.layer1))
    download.layer1 = download.layer1[:limit]
    same = convert(download.write(tmp_path / "short"), tmp_path / "same")
    assert (place / "words.txt").read_text() == (same / "words.txt").read_text()
    assert report | {"options": {}} == json.loads((same / "report.json").read_text()) | {"options": {}}


def test_the_class_of_a_title_is_the_first_it_contains():
    names = ["background", "apple pie", "pie"]
    assert [class_of_title(title, names) for title in ("Best APPLE PIE", "Cow pie", "Background noise")] == [1, 2, 0]
