"""A finished run describes itself, and an exported folder is read like its workdir."""

import json
import re
import shutil

import numpy as np
import pytest
import safetensors.numpy

import adamine_jax
from adamine_jax import evaluate, export_weights, search
from adamine_jax.base.errors import UserError
from tests.small_collection import photo_file, recipes


@pytest.fixture(scope="module")
def exported(kitchen, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub") / "model"
    command = ["--workdir", str(kitchen / "run"), "--out", str(folder), "--format", "folder"]
    assert export_weights.main(command) == 0
    return folder


def test_the_card_of_a_run_has_its_scores_and_configuration(kitchen):
    card = (kitchen / "run" / "MODEL_CARD.md").read_text()
    assert card.startswith("---\nlibrary_name: adamine-jax\n")
    scores = json.loads((kitchen / "run" / "eval_test.json").read_text())["full"]
    for way, name in (("image_to_recipe", "image → recipe"), ("recipe_to_image", "recipe → image")):
        row = next(line for line in card.splitlines() if name in line)
        cells = re.findall(r"([\d.]+) \(([\d.]+) to ([\d.]+)\)", row)
        assert [float(value) for value, _, _ in cells] == pytest.approx(
            [scores[way][metric]["mean"] for metric in ("r1", "r5", "r10", "medr")], abs=0.06
        )
        assert all(float(low) <= float(value) <= float(high) for value, low, high in cells)
    config = json.loads((kitchen / "run" / "config.json").read_text())
    assert f"| `model.embedding_dim` | `{config['model']['embedding_dim']}` |" in card
    assert "Licences" in card
    assert str(kitchen) not in card  # no folders of the machine


def test_classes_are_listed_from_the_worst(kitchen, model):
    from adamine_jax.retrieval.rank_files import ranks_path, read_ranks
    from adamine_jax.runs import model_card

    found = read_ranks(ranks_path(kitchen / "run", "test")).protocols["full"]
    ids = [identity.decode() for identity in found.ids[0]]
    classes = {identity: f"class {number % 2}" for number, identity in enumerate(ids)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_card, "_FEWEST", 2)
        card = model_card.card(model.trained, kitchen / "run", classes)
    measured = {}
    for number in range(2):
        own = [place for place, name in enumerate(ids) if classes[name] == f"class {number}"]
        r10 = [np.mean(found.ranks[way][0][own] <= 10) for way in ("image_to_recipe", "recipe_to_image")]
        measured[f"class {number}"] = 100 * np.mean(r10)
    rows = re.findall(r"^\| (class \d) \| (\d+) \| ([\d.]+) \|$", card, re.MULTILINE)
    assert [name for name, _, _ in rows] == sorted(measured, key=measured.get)
    for name, _, value in rows:
        assert float(value) == pytest.approx(measured[name], abs=0.06)


def test_an_exported_folder_embeds_searches_and_evaluates_like_the_run(kitchen, model, exported, capsys):
    assert sorted(path.name for path in exported.iterdir()) == [
        "README.md",
        "config.json",
        "dataset.json",
        "model.safetensors",
    ]
    assert (exported / "README.md").read_text() == (kitchen / "run" / "MODEL_CARD.md").read_text()
    loaded = adamine_jax.load(exported, batch_sizes=(8,))
    assert loaded.digest == model.digest
    texts = list(recipes(8))
    np.testing.assert_array_equal(loaded.embed_recipes(texts), model.embed_recipes(texts))
    photos = [photo_file(number) for number in range(3)]
    np.testing.assert_array_equal(loaded.embed_photos(photos), model.embed_photos(photos))
    capsys.readouterr()
    found = []
    for workdir in (exported, kitchen / "run"):
        gallery = str(kitchen / "run" / "gallery" / "test")
        command = ["--workdir", str(workdir), "--gallery", gallery, "--title", "Soup", "--json"]
        assert search.main(command) == 0
        found.append(capsys.readouterr().out)
    assert found[0] == found[1]
    assert evaluate.main(["--workdir", str(exported), "--split", "val", "--data-dir", str(kitchen / "data")]) == 0
    for path in exported.iterdir():
        assert str(kitchen).encode() not in path.read_bytes()  # no folders of the machine
    assert evaluate.main(["--workdir", str(exported), "--checkpoint", "last"]) == 2
    assert "an exported model, which has one checkpoint" in capsys.readouterr().err


def test_an_exported_file_does_not_take_the_place_of_a_run(kitchen, model, tmp_path):
    run = shutil.copytree(kitchen / "run", tmp_path / "run")
    assert export_weights.main(["--workdir", str(run), "--out", str(run / "model.safetensors")]) == 0
    (run / "model.safetensors").write_bytes(b"not read")
    assert adamine_jax.load(run).digest == model.digest


def test_the_card_of_another_checkpoint_is_not_exported(kitchen, tmp_path):
    run = shutil.copytree(kitchen / "run", tmp_path / "run")
    (run / "MODEL_CARD.md").write_text("the card of another checkpoint")
    command = ["--workdir", str(run), "--out", str(tmp_path / "m"), "--format", "folder"]
    assert export_weights.main(command) == 0
    assert "another checkpoint" not in (tmp_path / "m" / "README.md").read_text()


@pytest.mark.parametrize("damage", ["truncated", "missing", "shape", "foreign", "step", "digest"])
def test_damaged_folders_are_one_line(exported, tmp_path, damage):
    folder = tmp_path / "m"
    shutil.copytree(exported, folder)
    path = folder / "model.safetensors"
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        tensors, first = safetensors.numpy.load_file(path), "params/recipe_tower/fc/kernel"
        if damage == "missing":
            del tensors[first]
        elif damage == "shape":
            tensors[first] = tensors[first][:1]
        metadata = {"format": "adamine_jax", "step": "0", "digest": "x"}
        metadata = {"foreign": {}, "step": metadata | {"step": "x"}, "digest": {"format": "adamine_jax"}}.get(
            damage, metadata
        )
        safetensors.numpy.save_file(tensors, path, metadata)
    with pytest.raises(UserError) as error:
        adamine_jax.load(folder)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_an_existing_folder_is_kept(kitchen, exported, capsys):
    command = ["--workdir", str(kitchen / "run"), "--out", str(exported), "--format", "folder"]
    assert export_weights.main(command) == 2
    assert "exists; choose another folder" in capsys.readouterr().err
