"""The preset for one's own recipes: a bag of words, given vectors, InfoNCE and AdamW."""

import functools
import io
import json
import shutil

import httpx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

import adamine_jax
from adamine_jax import evaluate, search, train
from adamine_jax.base.errors import UserError
from adamine_jax.config import preset, set_tower
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.features import read_matrix
from adamine_jax.input.record_index import RecordReader, load_index
from adamine_jax.input.tfrecords import parse_example
from adamine_jax.models import registry
from adamine_jax.models.adamine import build_model, init_variables
from adamine_jax.models.recipe.bag import BagOfWords
from adamine_jax.recipes.texts import EncodedRecipe, RecipeText
from adamine_jax.runs import workdir
from adamine_jax.training import optimizer
from adamine_jax.training.parameter_rates import rates
from tests import tiny
from tests.servers import serving


def own_config(data, folder, **fields):
    config = preset("own")
    config.data.dir = str(data)
    config.data.image_features = str(tiny.write_image_features(data, folder / "photos.npy"))
    changes = {"batch_size": 8, "epochs": 2, "optim.decay_epochs": 2, "model.embedding_dim": 16} | fields
    config.update_from_flattened_dict(changes)
    return config


def write_recipe_features(data, path, length, left_out=()):
    shards = [open_dataset(data).shards(split) for split in ("train", "val", "test")]
    ids = [name.decode() for split in shards for name in load_index(split).ids if name.decode() not in left_out]
    np.save(path, np.random.default_rng(length).standard_normal((len(ids), length)).astype(np.float32))
    path.with_suffix(".txt").write_text("\n".join(ids))
    return path


@pytest.fixture(scope="module")
def folder(tiny_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    train.train(own_config(tiny_data, folder), folder / "run", make_mesh(jax.devices()[:1]))
    return folder


def leaves(directory):
    return jax.device_get(workdir.load(directory, checkpoint="last").variables)


def assert_same(ours, expected, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), ours, expected)


@pytest.mark.slow
def test_eight_devices_train_what_one_does(tiny_data, folder, tmp_path):
    train.train(own_config(tiny_data, tmp_path), tmp_path / "run", make_mesh(jax.devices()[:8]))
    assert_same(leaves(tmp_path / "run"), leaves(folder / "run"), atol=2e-5)


def test_a_run_resumes_bit_for_bit(tiny_data, tmp_path):
    """With dropout, weight decay and a vocabulary that is made once."""
    for name, parts in (("whole", (2,)), ("parts", (1, 2))):
        for epochs in parts:
            config = own_config(tiny_data, tmp_path, **{"epochs": epochs, "optim.decay_epochs": 0})
            train.train(config, tmp_path / name, make_mesh(jax.devices()[:1]))
    assert_same(leaves(tmp_path / "parts"), leaves(tmp_path / "whole"), rtol=0)


def test_a_moved_workdir_evaluates_to_the_same_table(folder, tmp_path, capsys):
    shutil.copytree(folder / "run", tmp_path / "moved")
    (tmp_path / "moved" / "eval_test.json").unlink()
    assert evaluate.main(["--workdir", str(tmp_path / "moved")]) == 0
    capsys.readouterr()
    ours, expected = (
        json.loads((path / "eval_test.json").read_text()) for path in (tmp_path / "moved", folder / "run")
    )
    assert ours == expected


def test_features_are_standardised_over_the_photos_of_the_train_split(tiny_data, folder):
    matrix = read_matrix("data.image_features", folder / "photos.npy")
    index = load_index(open_dataset(tiny_data).shards("train"))
    is_train = np.isin(matrix.ids, [photo.removesuffix(b".jpg") for photo in index.photo_ids])
    features = matrix.values[is_train].astype(np.float64)
    assert len(features) == len(index.photo_ids)
    stored = leaves(folder / "run")["batch_stats"]["image_tower"]
    np.testing.assert_allclose(stored["mean"], features.mean(0), atol=1e-5)
    np.testing.assert_allclose(stored["std"], features.std(0), atol=1e-5)


def test_a_query_is_embedded_like_its_record_and_by_any_of_its_parts(tiny_data, folder, tmp_path):
    encoder = adamine_jax.load(folder / "run")
    recipe = RecipeText("Dish 3 of train3", ("2 cups of word1",), ("Do 3 things.",))
    whole, title, names = encoder.embed_recipes([recipe, {"title": recipe.title}, {"ingredients": ["word1"]}])
    assert len({tuple(row) for row in (whole, title, names)}) == 3
    params = encoder.trained.variables["params"]["recipe_tower"]
    words = json.loads((folder / "run" / "vocabulary.json").read_text())["columns"]
    columns = [(part, word) for part, found in words.items() for word in found]
    place = columns.index(("ingredients", "word1"))
    expected = np.asarray(params["table"][place] + params["bias"])  # a single word has the weight 1
    np.testing.assert_allclose(names, expected / np.linalg.norm(expected), atol=1e-5)


def test_parts_that_the_tower_does_not_read_are_refused_alone(tiny_data, folder, tmp_path):
    config = own_config(tiny_data, tmp_path, **{"model.recipe.parts": ("ingredients", "instructions"), "epochs": 0})
    train.train(config, tmp_path / "run", make_mesh(jax.devices()[:1]))
    assert set(json.loads((tmp_path / "run" / "vocabulary.json").read_text())["columns"]) == {
        "ingredients",
        "instructions",
    }
    with pytest.raises(
        UserError, match="recipe 1: the model reads only ingredients and instructions; give any of them"
    ):
        adamine_jax.load(tmp_path / "run").embed_recipes([{"title": "Soup"}])


def test_dropout_is_random_by_row_and_keeps_the_mean(folder):
    trained = workdir.load(folder / "run")
    tower, variables = trained.model.recipe_tower, {"params": trained.variables["params"]["recipe_tower"]}
    batch = {"words": np.zeros((512, 1), np.int32), "word_weights": np.ones((512, 1), np.float32)}
    keys = jax.random.split(jax.random.key(0), 512)
    rows = np.asarray(tower.apply(variables, batch, train=True, keys=keys)) - np.asarray(variables["params"]["bias"])
    table = np.asarray(variables["params"]["table"][0])
    is_kept = np.abs(rows).sum(1) > 0
    assert 0.6 < is_kept.mean() < 0.8
    np.testing.assert_allclose(rows[is_kept], np.tile(table / 0.7, (is_kept.sum(), 1)), rtol=1e-4, atol=1e-7)


def test_batches_have_one_width_and_long_recipes_keep_their_largest_weights(tmp_path):
    path = tmp_path / "words.json"
    words = {f"word{number}": 1.0 + number for number in range(1500)}
    path.write_text(json.dumps({"pairs": False, "columns": {"instructions": words}}))
    section = registry.section("recipe", "bag")
    section.vocabulary = str(path)

    def batch(*lines):
        return BagOfWords.make_batch(section, [EncodedRecipe(text=lambda: RecipeText(instructions=lines))])

    short, long = batch("word7 word9"), batch(*words)
    assert short["words"].shape == long["words"].shape == long["word_weights"].shape == (1, 1024)
    assert set(long["words"][0]) == set(range(1500 - 1024, 1500))
    norm = np.linalg.norm(list(words.values()))
    np.testing.assert_allclose(long["word_weights"][0], (1 + long["words"][0]) / norm, rtol=1e-5)
    assert np.count_nonzero(short["word_weights"]) == 2


def test_the_words_that_are_not_read_are_counted(tmp_path):
    path = tmp_path / "words.json"
    columns = {"title": {"soup": 1.0}, "instructions": {"boil": 1.0, "boil soup": 1.0}}
    path.write_text(json.dumps({"pairs": True, "columns": columns}))
    section = registry.section("recipe", "bag")
    section.vocabulary = str(path)

    def unread(*recipes):
        return BagOfWords.unread(section, [EncodedRecipe(text=lambda recipe=recipe: recipe) for recipe in recipes])

    known = RecipeText("The soup", ("3 beets",), ("Boil, boil.",))
    assert unread(known) == ""
    assert unread(known, RecipeText("Boil", (), ("Boil the soup.",))) == (
        "the bag tower does not read 33.3 % of the words of 2 train recipes, which are not in its vocabulary"
    )


def test_training_says_once_what_the_tower_does_not_read(tiny_data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("adamine_jax.training.preflight.SAMPLE", 10)
    train.train(own_config(tiny_data, tmp_path), tmp_path / "run", make_mesh(jax.devices()[:1]))
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "does not read" in line]
    assert line.endswith("of 10 train recipes, which are not in its vocabulary (a sample of 48)")


def test_words_that_the_bag_does_not_know_are_reported(folder, capsys):
    command = ["--workdir", str(folder / "run"), "--ingredients", "2 cups of word1, wombat"]
    assert search.main([*command, "--title", "Wombat dish"]) == 0
    assert capsys.readouterr().err == (
        "unknown ingredient 'wombat', ignored by the model\nunknown words of the title, ignored by the model: wombat\n"
    )
    assert search.main(["--workdir", str(folder / "run"), "--title", "Wombat"]) == 0
    assert "the model knows no word of the query" in capsys.readouterr().err


def test_the_server_marks_ingredients_that_the_bag_does_not_know(folder):
    encoder = adamine_jax.load(folder / "run")
    gallery = adamine_jax.open_gallery(folder / "run" / "gallery" / "test", encoder.digest)
    with serving(encoder, gallery) as (address, _, _):
        query = {"ingredients": ["2 cups of word1", "1 wombat"]}
        answer = httpx.post(f"{address}/api/v1/search/recipe", json=query, timeout=60).json()
    assert answer["names"] == [{"name": "word1", "known": True}, {"name": "wombat", "known": False}]


def test_given_vectors_stand_beside_the_words_or_alone(tiny_data, tmp_path):
    left_out = load_index(open_dataset(tiny_data).shards("train")).ids[0].decode()
    first = write_recipe_features(tiny_data, tmp_path / "a.npy", 5)
    second = write_recipe_features(tiny_data, tmp_path / "b.npy", 3, left_out=[left_out])
    for name in ("bag", "features"):
        config = own_config(tiny_data, tmp_path)
        set_tower(config, "recipe", name)
        config.data.recipe_features = f"{first},{second}"
        results = train.train(config, tmp_path / name, make_mesh(jax.devices()[:1]))
        assert np.isfinite(results["full"]["image_to_recipe"]["medr"]["mean"])
        assert leaves(tmp_path / name)["params"]["recipe_tower"]["fc"]["kernel"].shape == (8, 16)
    with pytest.raises(UserError, match=r"the model reads given vectors of recipes .* and cannot embed text"):
        adamine_jax.load(tmp_path / "features").embed_recipes([{"title": "Soup"}])
    assert adamine_jax.load(tmp_path / "bag").embed_recipes([{"title": "Dish"}]).shape == (1, 16)


def test_missing_vectors_are_zeros_and_do_not_change_the_others(tiny_data, tmp_path):
    config = own_config(tiny_data, tmp_path, **{"model.recipe.recipe_dim": 4})
    path = tmp_path / "words.json"
    path.write_text('{"pairs": false, "columns": {"title": {"soup": 1.0}}}')
    config.model.recipe.vocabulary, config.model.image.feature_dim = str(path), 20
    model = build_model(config.model, table_rows=9)
    variables = init_variables(model, jax.random.key(0), config.model, image_size=32)
    fields = type(model.recipe_tower).make_batch(
        config.model.recipe,
        [
            EncodedRecipe(text=lambda: RecipeText("Soup")),
            EncodedRecipe(vectors=np.eye(4)[0], text=lambda: RecipeText("Soup")),
        ],
    )
    assert np.array_equal(fields["recipe_vectors"], [[0, 0, 0, 0], [1, 0, 0, 0]])
    rows = jax.jit(functools.partial(model.apply, method="embed_recipes"))(variables, fields)
    params = variables["params"]["recipe_tower"]
    for row, more in zip(rows, (0, params["fc"]["kernel"][0]), strict=True):
        expected = params["table"][0] + params["bias"] + params["fc"]["bias"] + more
        np.testing.assert_allclose(row, expected / jnp.linalg.norm(expected), atol=1e-6)


def test_the_optimiser_is_optax_adamw_on_matrices(folder):
    trained = workdir.load(folder / "run")
    params = jax.device_get(trained.variables["params"])
    gradients = jax.tree.map(lambda leaf: np.full_like(leaf, 0.01) * np.sign(leaf + 0.1), params)
    groups = optimizer.split_groups(params, trained.model)
    states = {name: optimizer.adam().init(group) for name, group in groups.items()}
    ours, model = params, trained.model
    reference = optax.adamw(3e-3, weight_decay=0.5, mask=lambda tree: jax.tree.map(lambda leaf: leaf.ndim > 1, tree))
    expected, state = params, reference.init(params)
    optim = tiny.small_config("unused", optim__weight_decay=0.5, optim__clip_norm=1e9).optim
    found = rates(model, params, optim, 1)

    @jax.jit
    def update(ours, states, expected, state):
        ours, states, _ = optimizer.update(model, ours, {"new": gradients}, states, optim, 3e-3, found, 0)
        updates, state = reference.update(gradients, state, expected)
        return ours, states, optax.apply_updates(expected, updates), state

    for _ in range(3):
        ours, states, expected, state = update(ours, states, expected, state)
    assert_same(ours, expected, rtol=1e-5, atol=1e-7)


def encode(photos):
    """An image encoder: the mean colour, and numbers that do not depend on the photo."""
    colours = np.array([np.asarray(photo).mean((0, 1)) for photo in photos]) / 255
    return np.concatenate([colours, np.ones((len(photos), 17))], axis=1)


@pytest.fixture(scope="module")
def encoded(tiny_data, tmp_path_factory):
    """A run on the features that `encode` computes of the data set's photos."""
    folder = tmp_path_factory.mktemp("encoded")
    config, dataset = own_config(tiny_data, folder), open_dataset(tiny_data)
    indices = [load_index(dataset.shards(split)) for split in ("train", "val", "test")]
    photos = [Image.open(io.BytesIO(photo)) for index in indices for photo in read_photos(index)]
    np.save(folder / "photos.npy", encode(photos).astype(np.float32))
    (folder / "photos.txt").write_text("\n".join(name.decode() for index in indices for name in index.photo_ids))
    train.train(config, folder / "run", make_mesh(jax.devices()[:1]))
    return folder / "run"


def test_a_photo_gets_the_embedding_of_its_features(encoded):
    encoder = adamine_jax.load(encoded, image_encoder=encode)
    gallery = adamine_jax.open_gallery(encoded / "gallery" / "test", encoder.digest)
    photo = gallery.item(0).photo
    np.testing.assert_allclose(encoder.embed_photos([photo])[0], gallery.embeddings("image")[0], atol=0.02)
    wrong = adamine_jax.load(encoded, image_encoder=lambda photos: np.zeros((len(photos), 3)))
    with pytest.raises(UserError, match=r"shape \(1, 3\) for 1 photos; must be finite numbers of shape \(1, 20\)"):
        wrong.embed_photos([photo])
    with serving(encoder, gallery) as (address, _, _):
        url = f"{address}/api/v1/search/photo"
        answer = httpx.post(url, files={"photo": photo.read_bytes()}, timeout=60).json()
    (hits,) = gallery.search(encoder.embed_photos([photo]), "recipes", top=5)
    assert [hit["id"] for hit in answer["recipes"][:5]] == [hit.item.id for hit in hits]


def test_the_search_takes_the_encoder_as_a_flag(encoded, capsys):
    photo = next((encoded / "gallery" / "test" / "photos").iterdir())
    flags = ["--workdir", str(encoded), "--image", str(photo), "--json"]
    capsys.readouterr()
    assert search.main([*flags, "--image-encoder", "tests.test_own:encode"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 5
    assert search.main(flags) == 2
    assert "give this encoder as --image-encoder PACKAGE.MODULE:FUNCTION" in capsys.readouterr().err
    assert search.main([*flags, "--image-encoder", "nowhere"]) == 2
    assert "--image-encoder 'nowhere': unknown; give package.module:Name" in capsys.readouterr().err


def read_photos(index):
    """Returns the photos of a split as the data set stores them, in the order of their ids."""
    reader, photos = RecordReader(index), []
    for number in range(len(index)):
        photos += parse_example(reader.read(number))["images"].bytes_list.value
    reader.close()
    return photos
