"""The published recipe tower reads titles, if it is told to."""

import json

import jax
import numpy as np
import pytest

import adamine_jax
from adamine_jax import search, train
from adamine_jax.base.errors import UserError
from adamine_jax.config import checks
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.models.recipe.hierarchical_lstm import HierarchicalLSTM
from adamine_jax.recipes import tfidf
from adamine_jax.recipes.texts import EncodedRecipe, RecipeText
from adamine_jax.runs import workdir
from tests import tiny
from tests.models.test_recipe import apply, init, small_batch, small_tower
from tests.small_collection import recipes


@pytest.fixture(scope="module")
def run(kitchen, tmp_path_factory):
    """A run on features of photos, with titles of the words "soup" and "cake" and of numbers."""
    folder = tmp_path_factory.mktemp("titles")
    features = tiny.write_image_features(kitchen / "data", folder / "photos.npy")
    config = tiny.small_config(
        kitchen / "data", data__image_features=str(features), model__recipe__title=True, model__recipe__max_words=12
    )
    train.train(config, folder / "run", make_mesh(jax.devices()[:1]))
    return folder / "run"


@pytest.fixture(scope="module")
def encoder(run):
    return adamine_jax.load(run, batch_sizes=(8,))


def test_the_words_of_two_titles_are_learned(run):
    assert set(json.loads((run / "vocabulary.json").read_text())["columns"]["title"]) == {"soup", "cake"}
    params = jax.device_get(workdir.load(run, checkpoint="last").variables["params"]["recipe_tower"])
    assert params["title_table"].shape == (3, tiny.WORD_DIM)
    assert params["fc"]["kernel"].shape == (8 + 2 * 8 + 2 * 8, 16)
    assert not params["title_table"][0].any()


def test_a_recipe_gets_the_embedding_of_its_record(run, encoder):
    gallery = adamine_jax.open_gallery(run / "gallery" / "test", encoder.digest)
    written = {recipe["id"]: recipe for recipe in recipes(48)}
    chosen = [written[identifier] for identifier in gallery.ids]
    np.testing.assert_allclose(encoder.embed_recipes(chosen), gallery.embeddings("recipe"), atol=1e-6)
    untitled = [recipe | {"title": "Nameless"} for recipe in chosen]
    assert np.abs(encoder.embed_recipes(untitled) - gallery.embeddings("recipe")).max() > 1e-4


def test_a_title_alone_is_read_as_a_title_only(encoder):
    """It contains the ingredient "beets", which a tower without titles would read as an ingredient."""
    query = RecipeText(title="Soup of beets")
    encoded = encoder.texts.encode(query)
    assert not len(encoded.ingredient_ids)
    assert not len(encoded.sentence_lengths)
    np.testing.assert_array_equal(*encoder.embed_recipes([query, RecipeText(title="soup")]))
    assert encoder.texts.names(query) == ["beets"]
    assert encoder.texts.unknown_names(query) == []


def test_unknown_words_of_titles_are_reported(run, capsys):
    command = ["--workdir", str(run), "--ingredients", "beets", "--title"]
    assert search.main([*command, "Soup à la mode"]) == 0
    assert capsys.readouterr().err == "unknown words of the title, ignored by the model: la, mode\n"
    assert search.main(["--workdir", str(run), "--title", "Wombat"]) == 0
    assert "the model knows no word of the query" in capsys.readouterr().err


def test_a_missing_title_is_a_zero_vector():
    titled, plain, batch = small_tower(title_words=4), small_tower(), small_batch()
    params = init(titled, batch | {"title": np.ones((4, 20), int)})
    rest = {name: values for name, values in params.items() if name not in ("title_table", "title_lstm")}
    rest["fc"] = {"kernel": params["fc"]["kernel"][: 8 + 3], "bias": params["fc"]["bias"]}
    assert jax.tree.map(np.shape, rest) == jax.tree.map(np.shape, init(plain, batch))
    missing = apply(titled, params, batch | {"title": np.zeros((4, 20), int)})
    np.testing.assert_allclose(missing, apply(plain, rest, batch), atol=1e-6)
    title = np.zeros((4, 20), int)
    title[0, :2] = 3, 4
    present = apply(titled, params, batch | {"title": title})
    assert np.abs(present[0] - missing[0]).max() > 1e-3
    np.testing.assert_array_equal(present[1:], missing[1:])


def test_known_words_keep_their_order_and_others_are_skipped(tmp_path):
    section = HierarchicalLSTM.defaults()
    section.title, section.vocabulary = True, str(tmp_path / "words.json")
    (tmp_path / "words.json").write_text(tfidf.TfIdf({"title": {"lime": 1.0, "pie": 1.0}}).to_json())
    titles = ("Key lime pie", "Pie, with PIE and lime", "", "Tart")
    made = HierarchicalLSTM.make_batch(
        section, [EncodedRecipe(text=lambda title=title: RecipeText(title)) for title in titles]
    )
    assert made["title"].shape == (4, 20)
    assert made["title"][:, :4].tolist() == [[1, 2, 0, 0], [2, 2, 1, 0], [0] * 4, [0] * 4]
    assert not made["title"][:, 4:].any()
    line = HierarchicalLSTM.unread(section, [EncodedRecipe(text=lambda: RecipeText("Key lime pie"))])
    assert line == (
        "the lstm tower reads at most 20 sentences of 48 words, 20 ingredients and the title words in its vocabulary "
        "of a recipe: it does not read 33.3 % of the title words of 1 train recipes, which affects 1 of them"
    )


def test_without_titles_nothing_is_fitted(tiny_data, tmp_path):
    features = tiny.write_image_features(tiny_data, tmp_path / "photos.npy")
    config = tiny.small_config(tiny_data, data__image_features=str(features), epochs=0)
    train.train(config, tmp_path / "run", make_mesh(jax.devices()[:1]))
    assert not (tmp_path / "run" / "vocabulary.json").exists()
    assert not any("title" in name for name in workdir.load(tmp_path / "run").variables["params"]["recipe_tower"])


def test_titles_alone_can_be_read(tiny_data, tmp_path):
    features = tiny.write_image_features(tiny_data, tmp_path / "photos.npy")
    config = tiny.small_config(
        tiny_data,
        data__image_features=str(features),
        model__recipe__ingredients=False,
        model__recipe__instructions="none",
    )
    with pytest.raises(UserError, match="set ingredients or title to True"):
        checks.check(config)
    config.model.recipe.title, config.epochs = True, 1
    train.train(config, tmp_path / "run", make_mesh(jax.devices()[:1]))
    encoder = adamine_jax.load(tmp_path / "run")
    assert encoder.embed_recipes([{"title": "Dish"}]).shape == (1, 16)
    with pytest.raises(UserError, match="the model reads only titles; give a title"):
        encoder.embed_recipes([{"ingredients": ["salt"]}])
