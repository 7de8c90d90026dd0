"""Every tower trains, resumes, is exported, embeds queries, searches and serves."""

import re

import httpx
import jax
import numpy as np
import pytest

import adamine_jax
from adamine_jax import embed, export_weights, search
from adamine_jax.config import preset, set_loss, set_tower
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.interop.state_dicts import leaves_with_names, read_safetensors
from adamine_jax.runs import workdir
from adamine_jax.train import train
from tests import tiny
from tests.pretrained import write_model
from tests.servers import serving

SMALL = {
    "resnet": {"depth": 10, "width": 4},
    "features": {},
    "vit": {},
    "lstm": {
        "word_dim": tiny.WORD_DIM,
        "max_words": 6,
        **dict.fromkeys(("ingredient_hidden", "sentence_hidden", "instruction_hidden"), 8),
    },
    "bag": {},
    "transformer": {"words": 100, "width": 16, "depth": 1, "heads": 2, "line_tokens": 8, "max_lines": 6},
    "pretrained": {"max_tokens": 48, "dropout": 0.1},
}
# (image tower, family), (recipe tower, family), head. The family is that of a pretrained model; "" = from scratch.
ALL = [
    (("resnet", ""), ("lstm", ""), "tanh"),
    (("features", ""), ("bag", ""), "linear"),
    (("features", ""), ("transformer", ""), "linear"),
    (("vit", "dinov2_with_registers"), ("pretrained", "bert"), "linear"),
    (("vit", "clip"), ("pretrained", "clip"), "none"),
    (("vit", "siglip"), ("pretrained", "siglip"), "none"),
    (("resnet", ""), ("transformer", ""), "tanh"),
    (("vit", "vit"), ("transformer", ""), "tanh"),
    (("vit", "siglip2"), ("lstm", ""), "linear"),
]
FAST = (4,)
BACKBONES = {"resnet": "resnet", "vit": "vit", "pretrained": "encoder"}


def name_of(case):
    return "-".join(filter(None, [*case[0], *case[1], case[2]]))


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(case, id=name_of(case), marks=() if number in FAST else pytest.mark.slow)
        for number, case in enumerate(ALL)
    ],
)
def config(request, tiny_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    (image, image_family), (recipe, recipe_family), head = request.param
    config = preset("adamine")
    set_loss(config, "infonce")
    fields = {"data.dir": str(tiny_data), "model.head": head, "epochs": 2, "eval.protocols": ("full",)}
    if image == "features":
        fields["data.image_features"] = str(tiny.write_image_features(tiny_data, folder / "photos.npy"))
    for modality, name, family in (("image", image, image_family), ("recipe", recipe, recipe_family)):
        set_tower(config, modality, name)
        fields |= {f"model.{modality}.{field}": value for field, value in SMALL[name].items()}
        if family:
            fields[f"model.{modality}.weights"] = str(write_model(folder / modality, family))
    config.update_from_flattened_dict(tiny.SMALL_RUN | fields)
    return config


def trained(config, directory, devices=1, **fields):
    config = config.copy_and_resolve_references()
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in fields.items()})
    train(config, directory, make_mesh(jax.devices()[:devices]))
    return jax.device_get(workdir.load(directory, "last").variables)


@pytest.fixture(scope="module")
def run(config, tmp_path_factory):
    directory = tmp_path_factory.mktemp("towers") / "run"
    trained(config, directory)
    return directory


def variables_of(directory):
    return jax.device_get(workdir.load(directory, "last").variables)


@pytest.mark.slow
def test_eight_devices_train_like_one(config, run, tmp_path):
    ours, expected = trained(config, tmp_path / "run", devices=8), variables_of(run)
    # Adam divides by the gradient's size, so that rounding moves a weight by up to one step: 12 steps of 1e-4.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-3, rtol=1e-2), ours, expected)


def test_a_run_resumes_bit_for_bit(config, run, tmp_path):
    trained(config, tmp_path / "run", epochs=1)
    ours = trained(config, tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, ours, variables_of(run))


def test_an_export_holds_both_towers_and_starts_another_run(config, run, tmp_path):
    """A tower with a backbone takes that from the export; its linear layer is new."""
    exported = tmp_path / "towers.safetensors"
    export_weights.main(["--workdir", str(run), "--out", str(exported), "--checkpoint", "last"])
    expected = variables_of(run)
    tensors, _ = read_safetensors(exported)
    assert len(tensors) == len(jax.tree.leaves(expected))
    for path, leaf in leaves_with_names(expected):
        np.testing.assert_array_equal(tensors["/".join(path)], leaf)
    places = {f"{modality}_tower": BACKBONES.get(config.model[modality].name) for modality in ("image", "recipe")}
    fields = {f"model__{tower.removesuffix('_tower')}__weights": str(exported) for tower in places if places[tower]}
    if config.model.recipe.name == "pretrained":
        fields["model__recipe__vocabulary"] = str(run / "vocabulary.json")
    ours = trained(config, tmp_path / "run", epochs=0, **fields)["params"]
    for tower, backbone in places.items():
        if backbone:
            jax.tree.map(np.testing.assert_array_equal, ours[tower][backbone], expected["params"][tower][backbone])


def test_a_query_gets_the_embedding_of_its_record_whatever_stands_beside_it(run):
    """Other queries of the batch, whole, partial or longer, change nothing."""
    model = adamine_jax.load(run, batch_sizes=(1, 8))
    gallery = adamine_jax.open_gallery(run / "gallery" / "test", model.digest)
    item = gallery.item(3)
    recipe = {"title": item.title, "ingredients": list(item.ingredients), "instructions": list(item.instructions)}
    queries = [
        recipe,
        {"title": item.title},
        {"ingredients": recipe["ingredients"]},
        {"instructions": recipe["instructions"]},
        {"title": item.title, "ingredients": recipe["ingredients"]},
        {"title": "word1 word2", "instructions": ["Do 3 things with word4."] * 30},
    ]
    together = model.embed_recipes(queries)
    if not model.trained.model.recipe_tower.reads_vocabulary:  # the word ids of the tiny data set are not its text
        np.testing.assert_allclose(together[0], gallery.embeddings("recipe")[3], atol=2e-5)
    for query, row in zip(queries, together, strict=True):
        np.testing.assert_allclose(model.embed_recipes([query])[0], row, atol=2e-5)
        assert np.isfinite(row).all()


def test_the_command_line_embeds_and_searches(run, tmp_path, capsys):
    assert embed.main(["--workdir", str(run), "--split", "val", "--out", str(tmp_path / "val")]) == 0
    assert search.main(["--workdir", str(run), "--ingredients", "word1, word2", "--top", "3"]) == 0
    assert len(re.findall(r"-?0\.\d\d", capsys.readouterr().out)) >= 3


def test_the_server_answers(run):
    model = adamine_jax.load(run)
    with serving(model, adamine_jax.open_gallery(run / "gallery" / "test", model.digest)) as (address, *_):
        answer = httpx.post(f"{address}/api/v1/search/recipe", json={"title": "a dish", "in": "photos", "top": 2})
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["photos"]) == 2
