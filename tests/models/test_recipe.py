"""The recipe tower matches stored results of the published encoder and a composition of its layers."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adamine_jax.models.adamine import AdaMine
from adamine_jax.models.image.resnet_tower import ResNetTower
from adamine_jax.models.recipe.hierarchical_lstm import HierarchicalLSTM
from adamine_jax.models.recipe.published import recipe_tower_from_state_dict
from adamine_jax.models.recipe.recurrence import lstm_final_state
from adamine_jax.recipes.texts import EncodedRecipe

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "recipe_encoder.npz")


def small_tower(**fields):
    sizes = {"embedding_dim": 7, "table_rows": 12, "word_dim": 5, "ingredient_hidden": 4, "sentence_hidden": 6}
    return HierarchicalLSTM(**sizes | {"instruction_hidden": 3} | fields)


def init(tower, batch):
    return jax.jit(tower.init)(jax.random.key(0), batch)["params"]


def apply(tower, params, batch, method=None):
    return jax.jit(lambda params, batch: tower.apply({"params": params}, batch, method=method))(params, batch)


def small_batch(seed=0, batch=4):
    """Returns recipes of 0 to 20 ingredients and sentences; the first has an empty sentence in the middle."""
    rng = np.random.default_rng(seed)
    num_sentences = rng.integers(0, 21, batch)
    num_sentences[0] = 3
    num_words = rng.integers(1, 6, (batch, 20)) * (np.arange(20) < num_sentences[:, None])
    num_words[0, 1] = 0
    num_ingredients = rng.integers(0, 21, batch)
    ids = rng.integers(1, 12, (batch, 20, 5))
    return {
        "ingredients": ids[:, :, 0] * (np.arange(20) < num_ingredients[:, None]),
        "words": ids * (np.arange(5) < num_words[:, :, None]),
        "num_sentences": num_sentences,
        "sentence_vectors": rng.standard_normal((batch, 20, 8)).astype(np.float32),
    }


@pytest.mark.parametrize(("over_padding", "name"), [(False, "masked"), (True, "unmasked")])
def test_published_weights_reproduce_the_published_embeddings(over_padding, name):
    weights = {key.removeprefix("weights/"): GOLDEN[key] for key in GOLDEN.files if key.startswith("weights/")}
    rows, word_dim = weights["recipe_embedding.emb_ingrs.weight"].shape
    tower = HierarchicalLSTM(
        embedding_dim=20,
        table_rows=rows,
        instructions="vectors",
        word_dim=word_dim,
        ingredient_hidden=10,
        instruction_hidden=14,
        instruction_lstm_over_padding=over_padding,
    )
    batch = {
        "ingredients": GOLDEN["ingredient_ids"],
        "sentence_vectors": GOLDEN["instruction_vectors"],
        "num_sentences": GOLDEN["instruction_lengths"],
    }
    np.testing.assert_array_equal(np.sum(batch["ingredients"] != 0, axis=1), GOLDEN["ingredient_lengths"])

    def parts(tower, batch):
        instructions = tower.embed_sentences(batch["sentence_vectors"], batch["num_sentences"])
        return tower.embed_ingredients(batch["ingredients"]), instructions

    params = recipe_tower_from_state_dict(weights)
    ingredients, instructions = apply(tower, params, batch, method=parts)
    np.testing.assert_allclose(ingredients, GOLDEN["ingredients_feature"], atol=1e-5)
    np.testing.assert_allclose(instructions, GOLDEN[f"instructions_feature_{name}"], atol=1e-5)

    model = AdaMine(ResNetTower(20, depth=18), tower)
    embedding = apply(model, {"recipe_tower": params}, batch, method="embed_recipes")
    np.testing.assert_allclose(embedding, GOLDEN[f"embedding_{name}"], atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "features"),
    [
        ({}, 8 + 3),
        ({"shared_table": False}, 8 + 3),
        ({"ingredients": False}, 3),
        ({"instructions": "none"}, 8),
        ({"instructions": "vectors"}, 8 + 3),
        ({"instructions": "vectors", "ingredients": False}, 3),
    ],
)
def test_inputs_can_be_disabled(fields, features):
    tower, batch = small_tower(**fields), small_batch()
    params = init(tower, batch)
    assert params["fc"]["kernel"].shape == (features, 7)
    assert ("instruction_table" in params) == (fields == {"shared_table": False})
    assert ("table" in params) == (fields != {"instructions": "vectors", "ingredients": False})
    assert ("ingredient_lstm" in params) == fields.get("ingredients", True)
    assert ("sentence_lstm" in params) == (fields.get("instructions", "words") == "words")
    assert ("instruction_lstm" in params) == (fields.get("instructions") != "none")
    assert apply(tower, params, batch).shape == (4, 7)


def test_what_exceeds_the_limits_is_counted():
    section = HierarchicalLSTM.defaults()
    section.max_sentences, section.max_words = 2, 3

    def recipe(ingredients, *lengths):
        return EncodedRecipe(np.ones(ingredients + 1, int), np.ones(sum(lengths), int), np.array(lengths, int))

    short, long = recipe(20, 3, 0), recipe(30, 5, 1, 2)
    assert HierarchicalLSTM.unread(section, [short, EncodedRecipe()]) == ""
    assert HierarchicalLSTM.unread(section, iter([short, long])) == (
        "the lstm tower reads at most 2 sentences of 3 words and 20 ingredients of a recipe: it does not read 20.0 % "
        "of the sentences, 36.4 % of the words and 20.0 % of the ingredients of 2 train recipes, which affects 1 of "
        "them"
    )
    section.instructions = "none"
    assert "reads at most 20 ingredients of a recipe: it does not read 20.0 %" in HierarchicalLSTM.unread(
        section, [short, long]
    )
    section.ingredients = False
    assert HierarchicalLSTM.unread(section, [short, long]) == ""


def test_instructions_are_embedded_by_an_lstm_over_words_and_one_over_sentences():
    tower, batch = small_tower(shared_table=False), small_batch()
    params = init(tower, batch)

    def final_state(name, steps):
        steps = np.asarray(steps, np.float32).reshape(1, len(steps), -1)
        return np.asarray(lstm_final_state(steps, np.array([steps.shape[1]]), **params[name]))[0]

    def parts(tower, batch):
        sentences = tower.embed_words(batch["words"])
        return sentences, tower.embed_sentences(sentences, batch["num_sentences"])

    features, vectors = apply(tower, params, batch, method=parts)
    table = np.asarray(params["instruction_table"])
    sentences = []
    for i in range(3):
        words = [word for word in batch["words"][0, i] if word]
        assert bool(words) == (i != 1)
        sentences.append(final_state("sentence_lstm", table[words]) if words else np.zeros(6))
    np.testing.assert_allclose(features[0, :3], sentences, atol=1e-6)
    # The empty sentence in the middle is a step, not skipped.
    np.testing.assert_allclose(vectors[0], final_state("instruction_lstm", sentences), atol=1e-6)
    assert not np.allclose(vectors[0], final_state("instruction_lstm", [sentences[0], sentences[2]]), atol=1e-4)


@pytest.mark.parametrize("instructions", ["words", "vectors"])
def test_other_recipes_and_padding_do_not_affect_an_embedding(instructions):
    tower, batch = small_tower(instructions=instructions), small_batch()
    params = init(tower, batch)
    vectors = apply(tower, params, batch)
    others = {name: np.concatenate([array[:1], small_batch(1)[name][1:]]) for name, array in batch.items()}
    others["words"][0, 3:] = 5
    others["sentence_vectors"][0, 3:] = 1e3
    np.testing.assert_array_equal(vectors[0], apply(tower, params, others)[0])


@pytest.mark.parametrize("instructions", ["words", "vectors"])
def test_an_empty_recipe_is_embedded_as_the_bias_with_finite_gradients(instructions):
    tower, batch = small_tower(instructions=instructions), small_batch()
    params = init(tower, batch)
    empty = jax.tree.map(jnp.zeros_like, batch)

    def loss(params):
        return jnp.sum(jnp.sin(apply(tower, params, empty)))

    np.testing.assert_allclose(apply(tower, params, empty), np.tile(params["fc"]["bias"], (4, 1)), rtol=1e-6)
    gradients = jax.jit(jax.grad(loss))(params)
    assert np.all(gradients["fc"]["bias"] != 0)
    others = {name: tree for name, tree in gradients.items() if name != "fc"}
    jax.tree.map(lambda g: np.testing.assert_array_equal(g, 0), others)


@pytest.mark.parametrize("over_padding", [False, True])
def test_the_padding_row_has_no_gradient(over_padding):
    tower, batch = small_tower(instruction_lstm_over_padding=over_padding), small_batch()
    params = init(tower, batch)
    np.testing.assert_array_equal(params["table"][0], 0)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(apply(tower, p, batch))))(params)["table"]
    np.testing.assert_array_equal(gradient[0], 0)
    assert np.all(np.any(gradient[1:] != 0, axis=1))


def test_an_id_outside_the_table_gives_nan():
    tower, batch = small_tower(), small_batch()
    params = init(tower, batch)
    batch["words"][0, 0, 0] = 12
    vectors = apply(tower, params, batch)
    np.testing.assert_array_equal(np.isnan(vectors).all(axis=1), [True, False, False, False])


def test_dropout_is_off_in_evaluation_and_drops_whole_words_and_values_in_training():
    tower = HierarchicalLSTM(8, 9, word_dim=4, ingredient_hidden=3, instructions="none", word_dropout=0.5, dropout=0.25)
    batch = {"ingredients": np.tile([[2, 3, 4, 0]], (400, 1))}
    params = jax.jit(tower.init)(jax.random.key(0), batch)
    apply = jax.jit(tower.apply, static_argnames="train")
    assert tower.needs_keys
    assert not HierarchicalLSTM(8, 9).needs_keys
    rows = np.asarray(apply(params, batch))
    assert np.array_equal(rows, np.asarray(apply(params, batch, train=False, keys=None)))
    keys = jax.random.split(jax.random.key(1), 400)
    dropped = np.asarray(apply(params, batch, train=True, keys=keys))
    assert len(np.unique(dropped, axis=0)) > 100
    np.testing.assert_array_equal(apply(params, batch, train=True, keys=keys), dropped)
    # Each row depends on its own key alone.
    alone = apply(params, {"ingredients": batch["ingredients"][7:8]}, train=True, keys=keys[7:8])
    np.testing.assert_allclose(alone[0], dropped[7], atol=1e-6)

    looked_up = tower.bind(params)._look_up(params["params"]["table"], batch["ingredients"], keys)
    table = np.asarray(params["params"]["table"])[[2, 3, 4, 0]]
    is_kept = np.abs(looked_up).sum(-1) > 0
    assert 0.4 < is_kept[:, :3].mean() < 0.6
    np.testing.assert_allclose(looked_up, np.where(is_kept[..., None], 2 * table, 0), rtol=1e-6)
