"""`embed` writes galleries of splits, photos and recipes, and resumes after an interruption."""

import json

import numpy as np
import pytest

from adamine_jax import embed, search
from adamine_jax.gallery.folder.store import Gallery
from tests.small_collection import photo, recipes


def test_a_folder_of_photos_becomes_a_gallery(kitchen, model, tmp_path, capsys):
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    (folder / ".hidden").mkdir()
    for number, name in enumerate(("b.png", "a.jpg", "sub/c.PNG", ".hidden/d.png")):
        photo(number).save(folder / name)
    (folder / "notes.txt").write_text("x")
    (folder / "broken.jpg").write_bytes(b"x")
    (folder / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    command = ["--workdir", str(kitchen / "run"), "--photos", str(folder), "--out", str(tmp_path / "g")]
    assert embed.main(command) == 0
    printed = capsys.readouterr()
    assert f"{folder}/broken.jpg: not an image; left out" in printed.err
    assert "g: 3 photos; 2 unusable photos left out" in printed.out
    assert f"{folder}/phone.HEIC: not an image; left out" in printed.err
    gallery = Gallery(tmp_path / "g")
    assert gallery.ids.tolist() == ["a.jpg", "b.png", "sub/c.PNG"]
    expected = model.embed_photos([folder / name for name in gallery.ids])
    np.testing.assert_allclose(gallery.embeddings("image"), expected, atol=1e-6)

    query = ["--workdir", str(kitchen / "run"), "--gallery", str(tmp_path / "g"), "--json"]
    assert search.main([*query, "--image", str(folder / "b.png"), "--in", "photos", "--top", "2"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found) == 2
    assert found[0]["id"] == "b.png"
    assert found[0]["similarity"] == pytest.approx(1, abs=1e-5)
    assert search.main([*query, "--image", str(folder / "b.png")]) == 2
    assert "contains only photos, no recipes; search it with --in photos" in capsys.readouterr().err


def test_a_file_command_becomes_a_gallery(kitchen, model, tmp_path, capsys):
    written = [dict(recipe) for recipe in recipes(5)]
    for recipe in written[3:]:
        del recipe["id"]
    path = tmp_path / "r.jsonl"
    path.write_text("\n".join(map(json.dumps, written)))
    command = ["--workdir", str(kitchen / "run"), "--recipes", str(path), "--out", str(tmp_path / "g")]
    assert embed.main(command) == 0
    gallery = Gallery(tmp_path / "g")
    assert gallery.ids.tolist() == [*(recipe["id"] for recipe in written[:3]), "recipe 4", "recipe 5"]
    np.testing.assert_allclose(gallery.embeddings("recipe"), model.embed_recipes(written), atol=1e-6)
    np.testing.assert_array_equal(gallery.rows_of_class("cake"), [1, 3])

    for line, message in (
        ("{}", "r.jsonl:6: an empty recipe"),
        ('{"title": "soup"\n', "r.jsonl:6: not JSON (Expecting ',' delimiter, column 17)"),
        (json.dumps(written[1]), "r.jsonl, recipe 6: duplicate id '0000000001'"),
    ):
        path.write_text("\n".join([*map(json.dumps, written), line]))
        assert embed.main(command) == 2
        assert message in capsys.readouterr().err
    assert len(Gallery(tmp_path / "g")) == 5  # the older gallery remains


def test_a_gallery_of_another_kind_is_not_replaced(kitchen, tmp_path, capsys):
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps({"title": "tomato soup"}))
    command = ["--workdir", str(kitchen / "run"), "--recipes", str(path), "--out", str(tmp_path / "g")]
    assert embed.main(command) == 0
    assert embed.main(["--workdir", str(kitchen / "run"), "--split", "test", "--out", str(tmp_path / "g")]) == 2
    assert "g: contains a gallery of recipes, not of pairs; remove it or choose another" in capsys.readouterr().err
    assert Gallery(tmp_path / "g").modalities == ("recipe",)
    assert embed.main(command) == 0


def test_recipes_without_known_words_are_reported(kitchen, tmp_path, capsys):
    path = tmp_path / "r.jsonl"
    path.write_text('{"ingredients": ["2 tsp salt"]}\n{"ingredients": ["1 wombat"]}\n')
    assert embed.main(["--workdir", str(kitchen / "run"), "--recipes", str(path), "--out", str(tmp_path / "g")]) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "knows none" in line]
    assert line == f"{path}, recipe 2: the model knows none of its words, so its embedding is meaningless"


def test_ctrl_c_tells_how_to_resume(kitchen, tmp_path, capsys, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("adamine_jax.gallery.folder.writer.GalleryWriter.finish", interrupt)
    with pytest.raises(KeyboardInterrupt):
        embed.main.__wrapped__(["--workdir", str(kitchen / "run"), "--split", "test", "--out", str(tmp_path / "g")])
    assert "g: incomplete; rerun the same command to resume" in capsys.readouterr().err


def test_an_interrupted_embedding_of_a_split_is_resumed(kitchen, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("adamine_jax.gallery.split_building.BLOCK", 8)
    command = ["--workdir", str(kitchen / "run"), "--split", "train", "--out"]
    assert embed.main([*command, str(tmp_path / "whole")]) == 0

    class Killed(BaseException):
        pass

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("adamine_jax.gallery.folder.writer.GalleryWriter.finish", kill)
        with pytest.raises(Killed):
            embed.main([*command, str(tmp_path / "g")])
    assert embed.main([*command, str(tmp_path / "g")]) == 0
    assert "resuming after 24 items" in capsys.readouterr().out
    whole, resumed = Gallery(tmp_path / "whole"), Gallery(tmp_path / "g")
    assert resumed.about == whole.about
    assert resumed.ids.tolist() == whole.ids.tolist()
    for modality in whole.modalities:
        np.testing.assert_array_equal(resumed.embeddings(modality), whole.embeddings(modality))
