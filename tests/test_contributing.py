"""The example package of CONTRIBUTING.md can be trained, resumed, evaluated, exported, searched and served."""

import json
import re
import sys
from pathlib import Path

import httpx
import jax
import numpy as np
import pytest

import adamine_jax
from adamine_jax import compare, embed, evaluate, export_weights, search
from adamine_jax.base.errors import UserError
from adamine_jax.config import preset, set_loss, set_tower
from adamine_jax.config.checks import check
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.runs import workdir
from adamine_jax.runs.metrics_log import read_metrics
from adamine_jax.train import train
from tests import servers, tiny

PAGE = Path(__file__).parents[1] / "CONTRIBUTING.md"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A folder with the package of the page, on `sys.path`."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "kitchen_lab").mkdir()
    for name, code in re.findall(r"^`(kitchen_lab/\w+\.py)`:\n\n```python\n(.*?)^```", PAGE.read_text(), re.M | re.S):
        (folder / name).write_text(code)
    sys.path.insert(0, str(folder))
    yield folder
    sys.path.remove(str(folder))


def lab_config(data, **fields):
    from kitchen_lab.preset import get_config

    config = get_config()
    small = tiny.SMALL_RUN | {"data.dir": str(data), "optim.decay_epochs": 0}
    config.update_from_flattened_dict(small | {name.replace("__", "."): value for name, value in fields.items()})
    return config


def train_lab(data, directory, devices=1, **fields):
    return train(lab_config(data, **fields), directory, make_mesh(jax.devices()[:devices]))


@pytest.fixture(scope="module")
def run(lab, tiny_data, tmp_path_factory):
    directory = tmp_path_factory.mktemp("lab_run") / "run"
    assert train_lab(tiny_data, directory)["full"]["pairs"] == 12
    return directory


def params_of(directory):
    return jax.device_get(workdir.load(directory, "last").variables["params"])


def test_towers_loss_and_evaluator_are_used_in_training(run):
    train_line, *_ = (line for line in read_metrics(run / "metrics.jsonl") if line["split"] == "train")
    assert train_line["temperature"] > 0
    validations = [line for line in read_metrics(run / "metrics.jsonl") if line["split"] == "val"]
    assert all(0 < line["modality_gap"] < 2 and "r1" in line for line in validations)
    params = params_of(run)
    assert set(params) == {"image_tower", "recipe_tower", "log_scale"}
    assert params["log_scale"] != pytest.approx(-np.log(0.07), abs=1e-6)


def test_the_backbone_is_frozen_until_unfreeze_epoch(lab, run, tiny_data, tmp_path):
    for epochs in (0, 1):
        train_lab(tiny_data, tmp_path / str(epochs), epochs=epochs)
    start, frozen, end = (params_of(path)["image_tower"] for path in (tmp_path / "0", tmp_path / "1", run))
    np.testing.assert_array_equal(frozen["patches"]["kernel"], start["patches"]["kernel"])
    assert np.any(frozen["fc"]["kernel"] != start["fc"]["kernel"])
    assert np.any(end["patches"]["kernel"] != start["patches"]["kernel"])


def test_a_resumed_run_is_bit_identical(lab, run, tiny_data, tmp_path):
    train_lab(tiny_data, tmp_path / "run", epochs=1)
    train_lab(tiny_data, tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, params_of(tmp_path / "run"), params_of(run))


@pytest.mark.slow
def test_eight_devices_train_like_one(lab, run, tiny_data, tmp_path):
    """Dropout depends only on seed, step and row; results differ only by rounding."""
    train_lab(tiny_data, tmp_path / "run", devices=8)
    for ours, theirs in zip(jax.tree.leaves(params_of(tmp_path / "run")), jax.tree.leaves(params_of(run)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-3)


@pytest.mark.slow
def test_features_of_the_frozen_backbone_are_cached(lab, tiny_data, tmp_path):
    train_lab(tiny_data, tmp_path / "run", cache_frozen_features=2)
    (stored,) = (tmp_path / "run" / "frozen_features").glob("*/train.npy")
    assert np.load(stored).shape[1] == 16


def test_evaluate_prints_the_metrics_of_the_evaluator(run, capsys):
    assert evaluate.main(["--workdir", str(run), "--split", "val"]) == 0
    assert re.search(r"^modality_gap: [01]\.\d+", capsys.readouterr().out, re.M)
    written = json.loads((run / "eval_val.json").read_text())
    assert set(written) == {"full", "evals"}
    assert set(written["evals"]) == {"modality_gap"}


def test_runs_with_added_evaluators_are_compared(run, capsys):
    assert compare.main([str(run), str(run)]) == 0
    assert "R@1 (full)" in capsys.readouterr().out


def test_an_export_initialises_another_tower(run, lab, tiny_data, tmp_path, capsys):
    exported = tmp_path / "lab.safetensors"
    assert export_weights.main(["--workdir", str(run), "--out", str(exported)]) == 0
    assert f"--config.model.image.width=16 --config.model.image.weights={exported}" in capsys.readouterr().out
    train_lab(tiny_data, tmp_path / "run", epochs=0, model__image__weights=str(exported))
    best = jax.device_get(workdir.load(run).variables["params"]["image_tower"]["patches"])
    loaded = params_of(tmp_path / "run")["image_tower"]["patches"]
    jax.tree.map(np.testing.assert_array_equal, loaded, best)
    with pytest.raises(UserError, match=r"params/image_tower/patches/bias has shape \(16,\), the model needs \(8,\)"):
        train_lab(tiny_data, tmp_path / "x", epochs=0, model__image__width=8, model__image__weights=str(exported))


def test_another_run_starts_from_the_weights(run, lab, tiny_data, tmp_path):
    train_lab(tiny_data, tmp_path / "run", epochs=0, train__init_from=str(run))
    best = jax.device_get(workdir.load(run).variables["params"]["recipe_tower"])
    jax.tree.map(np.testing.assert_array_equal, params_of(tmp_path / "run")["recipe_tower"], best)


def test_a_query_with_the_texts_of_a_record_has_its_embedding(run, tmp_path):
    model = adamine_jax.load(run, batch_sizes=(8,))
    gallery = adamine_jax.open_gallery(run / "gallery" / "test", model.digest)
    item = gallery.item(3)
    recipe = {"title": item.title, "ingredients": list(item.ingredients), "instructions": list(item.instructions)}
    (row,) = model.embed_recipes([recipe])
    np.testing.assert_allclose(row, gallery.embeddings("recipe")[3], atol=1e-5)


def test_a_tower_that_reads_text_has_no_unknown_words(run, tmp_path, capsys):
    (tmp_path / "r.jsonl").write_text('{"title": "Zzz", "ingredients": ["zzz"]}\n')
    recipes = ["--recipes", str(tmp_path / "r.jsonl"), "--out", str(tmp_path / "g")]
    assert embed.main(["--workdir", str(run), *recipes]) == 0
    assert search.main(["--workdir", str(run), "--ingredients", "zzz"]) == 0
    printed = capsys.readouterr()
    assert "the model" not in printed.err


def test_the_model_searches_and_embeds(run, tmp_path, capsys):
    assert search.main(["--workdir", str(run), "--ingredients", "word1, word2", "--top", "3"]) == 0
    assert len(re.findall(r"0\.\d\d", capsys.readouterr().out)) >= 3
    assert embed.main(["--workdir", str(run), "--split", "val", "--out", str(tmp_path / "val")]) == 0


def test_the_model_serves(run):
    model = adamine_jax.load(run)
    with servers.serving(model, adamine_jax.open_gallery(run / "gallery" / "test", model.digest)) as (address, *_):
        answer = httpx.post(f"{address}/api/v1/search/recipe", json={"title": "a soup", "in": "photos", "top": 2})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["photos"]) == 2


def test_losses_combine_as_a_weighted_sum(lab, tiny_data, tmp_path):
    config = tiny.small_config(tiny_data, bag=True, epochs=1, unfreeze_epoch=0)
    set_loss(config, [("triplet", 1.0), ("kitchen_lab.contrastive:ContrastiveLoss", 0.5)])
    train(config, tmp_path / "run", make_mesh(jax.devices()[:1]))
    line = read_metrics(tmp_path / "run" / "metrics.jsonl")[0]
    both = line["triplet/loss"] + 0.5 * line["ContrastiveLoss/loss"]
    np.testing.assert_allclose(line["loss"], both, rtol=1e-5)
    assert set(params_of(tmp_path / "run")["ContrastiveLoss"]) == {"log_scale"}
    stored = json.loads((tmp_path / "run" / "config.json").read_text())
    assert stored["loss"]["weights"] == {"ContrastiveLoss": 0.5, "triplet": 1.0}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("swin", "image tower 'swin': unknown; choose resnet, vit, features, or package.module:Name"),
        ("no_such_package.a:B", "image tower no_such_package.a:B: No module named 'no_such_package'"),
        ("kitchen_lab.patches:Patch", "the module kitchen_lab.patches has no attribute Patch"),
    ],
)
def test_an_unknown_name_is_an_error(lab, name, message):
    with pytest.raises(UserError, match=re.escape(message)):
        set_tower(preset("adamine"), "image", name)


def test_fields_of_an_external_tower_are_checked(lab, tiny_data):
    with pytest.raises(UserError, match=r"config.model.image.width = 0: must be an integer ≥ 1"):
        check(lab_config(tiny_data, model__image__width=0))


def test_a_reader_of_recipe_files(lab, tmp_path, capsys):
    from data_builders.recipe1m.own_recipes.command import main

    (tmp_path / "cards.txt").write_text("Pie\n+flour\n>Mix.\n>Bake.\n\nNothing\n")
    assert main(["--check", "--from", str(tmp_path / "cards.txt"), "--format", "kitchen_lab.cards:read_cards"]) == 0
    printed = capsys.readouterr().out
    pie = "cards.txt card 1: Pie\n  ingredients: 1\n    flour → flour\n  instructions: 2\n    Mix.\n    Bake.\n"
    assert pie in printed
    assert "1 the card has no lines: cards.txt card 2 (Nothing)" in printed
