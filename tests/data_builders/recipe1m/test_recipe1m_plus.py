"""Recipe1M+: another list of photos, whose paths do not contain the partition."""

import json
import shutil
from pathlib import Path

import pytest

from data_builders.recipe1m.layers.source_files import fingerprint
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.passes.photo_places import find_photo
from tests.data_builders.recipe1m.download import Download, jpeg
from tests.data_builders.recipe1m.planted import FEW_WORDS, planted, run


def as_plus(folder):
    """Changes a download's layout to that of Recipe1M+."""
    (folder / "layer2.json").rename(folder / "layer2+.json")
    images = folder / "images"
    for partition in list(images.iterdir()):
        shutil.copytree(partition, images, dirs_exist_ok=True)
        shutil.rmtree(partition)
    return folder


def test_the_same_recipes_in_both_layouts_give_the_same_records(built, tmp_path):
    source = as_plus(planted().write(tmp_path / "download"))
    assert not (source / "images" / "train").exists()
    assert run("--source", source, "--out", tmp_path / "out", "--class-min-train", "1", *FEW_WORDS) == 0
    place = tmp_path / "out" / "recipe1m" / "1.0.0"
    for path in built.iterdir():
        if path.name != "metadata.json":
            assert (place / path.name).read_bytes() == path.read_bytes(), path.name
    source_of = [json.loads((folder / "metadata.json").read_text())["source"] for folder in (built, place)]
    assert source_of[0].pop("layer2.json") == source_of[1].pop("layer2+.json")
    assert source_of[0] == source_of[1]


def test_the_official_list_is_read_where_both_are_there(tmp_path, capsys):
    download = Download()
    download.add(1)
    folder = download.write(tmp_path / "download")
    (folder / "layer2+.json").write_text("[broken")
    assert run("check", "--source", folder) == 0
    assert "note: layer2.json was read and layer2+.json was not" in capsys.readouterr().out
    assert "layer2+.json" not in fingerprint(folder, Options())


def test_a_changed_list_is_another_file(tmp_path, capsys):
    folder = as_plus(planted().write(tmp_path / "download"))
    build = ("--source", folder, "--out", tmp_path / "out", "--class-min-train", "1", *FEW_WORDS)
    assert run(*build) == 0
    assert run(*build) == 0
    assert "already built" in capsys.readouterr().out
    changed = json.loads((folder / "layer2+.json").read_text())[1:]
    (folder / "layer2+.json").write_text(json.dumps(changed))
    assert run(*build) == 2
    assert "layer2+.json is another file" in capsys.readouterr().err


def test_an_invalid_record_is_reported_with_its_file(tmp_path, capsys):
    download = Download()
    download.add(1)
    download.add(2)
    download.layer2[0]["images"] = None
    download.layer2.append({"id": 7})
    assert run("check", "--source", as_plus(download.write(tmp_path))) == 0
    printed = capsys.readouterr().out
    assert "layer2+.json: images are not a list" in printed
    assert "layer2+.json: 1 records without a valid id" in printed


@pytest.mark.parametrize("images", ["images", "."])
def test_a_photo_is_looked_for_with_its_partition_first(tmp_path, images):
    name, root = "6bdca6e490.jpg", tmp_path / images
    for number, place in enumerate((root, root / "val")):
        path = place / "6" / "b" / "d" / "c" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(jpeg(number))
    assert Path(find_photo(root, "val", name).path).read_bytes() == jpeg(1)
    assert Path(find_photo(root, "train", name).path).read_bytes() == jpeg(0)
    assert find_photo(root, "train", "6bdca6e491.jpg").problem == "missing"


def test_both_layouts_are_named_if_none_is_found(tmp_path, capsys):
    folder = planted().write(tmp_path / "download")
    shutil.rmtree(folder / "images")
    (folder / "images").mkdir()
    assert run("--source", folder, "--out", tmp_path / "out", *FEW_WORDS) == 2
    error = capsys.readouterr().err
    assert "images/<partition>/a/b/c/d/abcd….jpg, then without <partition>/" in error
    (folder / "layer2.json").unlink()
    assert run("check", "--source", folder) == 2
    assert "layer2.json is missing" in (error := capsys.readouterr().err)
    assert "layer2+.json" in error
