"""A download has the official layout and content, whatever the number of workers."""

import json
import os
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from PIL import Image

from adamine_jax.base.errors import UserError
from data_builders.kitchen import writer
from data_builders.kitchen.__main__ import main
from data_builders.kitchen.defects import PER_BLOCK
from data_builders.kitchen.photo import photo
from data_builders.kitchen.recipes import photo_rng, recipe

SPLITS = (0.7, 0.15, 0.15)
KITCHEN = writer.Kitchen(seed=11, recipes=200, splits=SPLITS, photo_size=48)


@pytest.fixture(scope="module")
def download(tmp_path_factory):
    out = tmp_path_factory.mktemp("kitchen") / "download"
    writer.write_download(KITCHEN, out, workers=1)
    return out


@pytest.fixture(scope="module")
def layers(download):
    names = ("layer1", "layer2", "det_ingrs")
    return {name: json.loads((download / f"{name}.json").read_text(encoding="utf-8")) for name in names}


def test_records_have_the_official_fields(layers):
    for record in layers["layer1"]:
        assert list(record) == ["ingredients", "url", "partition", "title", "id", "instructions"]
        assert all(list(line) == ["text"] for line in record["ingredients"] + record["instructions"])
    for record in layers["det_ingrs"]:
        assert list(record) == ["valid", "id", "ingredients"]
        assert len(record["valid"]) == len(record["ingredients"])
    for record in layers["layer2"]:
        assert list(record) == ["id", "images"]
        assert all(image["id"].endswith(".jpg") for image in record["images"])


def test_the_three_files_contain_the_same_recipes_in_different_orders(layers):
    ids = {name: [record["id"] for record in records] for name, records in layers.items()}
    assert len(set(ids["layer1"])) == 200
    assert set(ids["det_ingrs"]) == set(ids["layer1"])
    assert len(set(ids["layer2"])) == len(ids["layer2"]) == 200 - PER_BLOCK["absent_from_layer2"]
    assert set(ids["layer2"]) < set(ids["layer1"])
    place = {key: k for k, key in enumerate(ids["layer1"])}
    for name in ("layer2", "det_ingrs"):
        order = np.array([place[key] for key in ids[name]])
        assert abs(np.corrcoef(order, np.arange(len(order)))[0, 1]) < 0.3
    assert ids["det_ingrs"] != ids["layer2"]


def test_lines_match_detected_names(layers):
    names = {record["id"]: record for record in layers["det_ingrs"]}
    for record in layers["layer1"]:
        assert len(record["ingredients"]) == len(names[record["id"]]["ingredients"])


def test_photos_of_layer2_exist_and_are_readable_except_for_planted_defects(download, layers):
    partition = {record["id"]: record["partition"] for record in layers["layer1"]}
    listed, missing, broken = set(), 0, 0
    for record in layers["layer2"]:
        for image in record["images"]:
            name = image["id"]
            path = download / "images" / partition[record["id"]] / name[0] / name[1] / name[2] / name[3] / name
            listed.add(path)
            try:
                with Image.open(path) as picture:
                    picture.load()
            except FileNotFoundError:
                missing += 1
            except OSError:
                broken += 1
    assert missing == PER_BLOCK["missing_photo"]
    assert broken == PER_BLOCK["truncated_photo"] + PER_BLOCK["text_photo"]
    on_disk = {path for path in (download / "images").rglob("*") if path.is_file()}
    assert on_disk <= listed
    assert len(listed) - len(on_disk) == missing


def test_removed_ids_are_recipes_of_the_download(download, layers):
    removed = (download / "remove1M.txt").read_text(encoding="ascii").split()
    assert len(removed) == PER_BLOCK["removed"] >= 3
    assert set(removed) < {record["id"] for record in layers["layer1"]}


def test_planted_lengths(layers):
    instructions = [len(record["instructions"]) for record in layers["layer1"]]
    assert min(instructions) == 0
    assert max(instructions) >= 20
    assert max(len({n["text"] for n in record["ingredients"]}) for record in layers["det_ingrs"]) >= 20
    assert any(not record["images"] for record in layers["layer2"])
    assert any(len(record["images"]) > 1 for record in layers["layer2"])


def test_two_workers_write_the_same_bytes(download, tmp_path):
    writer.write_download(KITCHEN, tmp_path / "again", workers=2)
    assert _contents(tmp_path / "again") == _contents(download)


def test_any_recipe_can_be_generated_separately(download, layers):
    r = recipe(KITCHEN.seed, 42, SPLITS)
    record = next(record for record in layers["layer1"] if record["id"] == r.id)
    assert record["title"] == r.title
    name = r.photo_ids[0]
    with Image.open(download / "images" / r.partition / Path(*name[:4]) / f"{name}.jpg") as picture:
        drawn = photo(r.scene, photo_rng(KITCHEN.seed, 42, 0), KITCHEN.photo_size)
        assert picture.size == drawn.size
        assert np.abs(np.asarray(picture, float) - np.asarray(drawn, float)).mean() < 12


def test_a_folder_that_is_not_empty_is_refused(tmp_path, capsys):
    (tmp_path / "mine").write_text("precious")
    assert main(["--out", str(tmp_path), "--recipes", "2"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_empty_folder_is_filled(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    assert main(["--out", str(tmp_path / "out"), "--recipes", "3", "--photo-size", "32", "--workers", "1"]) == 0
    assert "3 recipes" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def no_room(*_):
        raise OSError("no space left")

    monkeypatch.setattr(writer, "_write_photos", no_room)
    with pytest.raises(UserError, match="no space"):
        writer.write_download(KITCHEN, tmp_path / "out", workers=1)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_parent_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="name a writable folder"):
        writer.write_download(KITCHEN, tmp_path / "file" / "out", workers=1)


@pytest.mark.parametrize(
    "flags",
    [
        ["--recipes", "0"],
        ["--seed", "-1"],
        ["--workers", "0"],
        ["--photo-size", "8"],
        ["--splits", "0.5,0.5"],
        ["--splits", "a,b,c"],
        ["--splits=-1,1,1"],
        ["--splits", "nan,1,1"],
        ["--splits", "0,0,0"],
        ["--contact-sheet", "sheet.png"],
    ],
)
def test_wrong_flags_are_one_line(flags, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--out", str(tmp_path / "out"), *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@given(st.integers(1, 400), st.sampled_from([0.618, 0.414]))
def test_orders_are_permutations(count, share):
    assert sorted(writer._shuffled(place, count, share) for place in range(count)) == list(range(count))


def test_a_contact_sheet_shows_photos(download, tmp_path, capsys):
    sheet = tmp_path / "sheet.png"
    assert main(["--out", str(download), "--contact-sheet", str(sheet)]) == 0
    with Image.open(sheet) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.std() > 20
    assert main(["--out", str(download), "--contact-sheet", str(tmp_path / "sheet.gif")]) == 2
    assert "must end in .png, .svg or .jpg" in capsys.readouterr().err


def _contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
