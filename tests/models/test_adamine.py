"""The whole model: outputs, initial values, dtypes and invalid configurations."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.config.checks import check
from adamine_jax.models.adamine import build_model, init_variables
from tests import tiny

WORDS = 9
VECTORS = np.random.default_rng(0).standard_normal((WORDS, tiny.WORD_DIM)).astype(np.float32)


def small_config(**changes):
    """Returns the configuration of a tiny model; `changes` are field names with `__` instead of dots."""
    config = tiny.small_config("unused")
    with config.ignore_type():
        config.model.update_from_flattened_dict({name.replace("__", "."): value for name, value in changes.items()})
    return config


def small_model(**changes):
    return build_model(small_config(**changes).model, table_rows=WORDS + 3)


def init(model, seed=0, word_vectors=VECTORS):
    config = small_config().model
    return init_variables(model, jax.random.key(seed), config, image_size=32, word_vectors=word_vectors)


def small_batch(batch=4):
    rng = np.random.default_rng(1)
    return {
        "image": rng.integers(0, 256, (batch, 32, 32, 3), dtype=np.uint8),
        "ingredients": np.where(np.arange(20) < rng.integers(0, 20, (batch, 1)), 3, 0),
        "words": rng.integers(1, WORDS + 3, (batch, 20, 3)),
        "num_sentences": rng.integers(0, 21, batch),
    }


def embed(model, variables, batch, **kwargs):
    return jax.jit(lambda v, b: model.apply(v, b, **kwargs))(variables, batch)


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def variables(model):
    return init(model)


def test_embeddings_are_float32_unit_rows(model, variables):
    batch = small_batch()
    image, recipe = embed(model, variables, batch, train=False)
    for rows in (image, recipe):
        assert rows.shape == (4, 16)
        assert rows.dtype == jnp.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    alone = embed(model, variables, batch["image"], train=False, method="embed_images")
    np.testing.assert_allclose(alone, image, atol=1e-6)
    np.testing.assert_allclose(embed(model, variables, batch, method="embed_recipes"), recipe, atol=1e-6)


def test_uint8_and_float_images_are_normalised_alike(model, variables):
    photos = small_batch()["image"]
    as_float = embed(model, variables, photos.astype(np.float32), train=False, method="embed_images")
    as_uint8 = embed(model, variables, photos, train=False, method="embed_images")
    np.testing.assert_array_equal(as_uint8, as_float)

    normalised = (photos / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]

    def resnet_and_head(model, photos):
        tower = model.image_tower
        return tower.fc(tower.resnet(photos, use_running_average=True))

    vectors = np.tanh(embed(model, variables, normalised.astype(np.float32), method=resnet_and_head))
    expected = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(as_uint8, expected, atol=1e-5)


def test_batch_statistics_change_only_in_training(model, variables):
    batch = small_batch()
    for kwargs, changes in [
        ({"train": True}, True),
        ({"train": False}, False),
        ({"train": True, "use_running_average": True}, False),
        ({"train": True, "use_running_average": False}, True),
        ({"train": False, "use_running_average": False}, True),
    ]:
        _, updated = embed(model, variables, batch, mutable=["batch_stats"], **kwargs)
        pairs = zip(jax.tree.leaves(updated["batch_stats"]), jax.tree.leaves(variables["batch_stats"]), strict=True)
        assert all(np.any(new != old) == changes for new, old in pairs), kwargs


def test_variables_are_named_after_towers_and_layers(variables):
    params = variables["params"]
    assert set(variables) == {"params", "batch_stats"}
    assert set(params) == {"image_tower", "recipe_tower"}
    assert set(params["image_tower"]) == {"resnet", "fc"}
    assert set(variables["batch_stats"]) == {"image_tower"}
    assert small_model().backbone == (("image_tower", "resnet"),)


@pytest.mark.parametrize("word_vectors", ["shared", "separate"])
def test_word_vectors_initialise_the_tables(word_vectors):
    params = init(small_model(recipe__word_vectors=word_vectors))["params"]["recipe_tower"]
    tables = [np.asarray(params[name]) for name in ("table", "instruction_table") if name in params]
    assert len(tables) == (2 if word_vectors == "separate" else 1)
    for table in tables:
        assert table.shape == (WORDS + 3, tiny.WORD_DIM)
        np.testing.assert_array_equal(table[0], 0)
        np.testing.assert_array_equal(table[2:-1], VECTORS)
        assert np.all(table[[1, -1]] != 0)


def test_initial_values_depend_on_the_key(model, variables):
    again, other = init(model), init(model, seed=1)
    jax.tree.map(np.testing.assert_array_equal, variables, again)
    assert np.any(other["params"]["image_tower"]["fc"]["kernel"] != again["params"]["image_tower"]["fc"]["kernel"])
    table = np.asarray(init(model, word_vectors=None)["params"]["recipe_tower"]["table"])
    np.testing.assert_array_equal(table[0], 0)
    assert np.all(table[1:] != 0)
    fc = variables["params"]["recipe_tower"]["fc"]
    assert np.abs(fc["kernel"]).max() <= 1 / np.sqrt(24)
    assert 0 < np.abs(fc["bias"]).max() <= 1 / np.sqrt(24)


def test_word_vectors_of_the_wrong_length_are_rejected(model):
    with pytest.raises(UserError, match=r"the word vectors have shape \(9, 7\), the word table needs \(9, 8\)"):
        init(model, word_vectors=VECTORS[:, :7])


def test_zero_vectors_have_a_finite_gradient(model, variables):
    params = jax.tree.map(jnp.zeros_like, variables["params"])

    def loss(params):
        _, recipe = model.apply({**variables, "params": params}, small_batch(), train=False)
        return jnp.sum(recipe)

    value, gradient = jax.jit(jax.value_and_grad(loss))(params)
    assert value == 0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_bfloat16_is_accurate_and_returns_float32(model, variables):
    rounded = small_model(dtype="bfloat16")
    exact, close = (embed(m, variables, small_batch(), train=False) for m in (model, rounded))
    for a, b in zip(exact, close, strict=True):
        assert b.dtype == jnp.float32
        assert np.any(a != b)
        assert np.sum(a * b, axis=1).min() > 0.99
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(init(rounded)))


def test_a_float64_model_computes_in_float64(model, variables):
    with jax.enable_x64(True):
        exact = small_model(dtype="float64")
        # Flax keeps running statistics in float32; training does not read them.
        assert all(leaf.dtype == jnp.float64 for leaf in jax.tree.leaves(init(exact)["params"]))
        doubled = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), variables)
        outputs, _ = embed(exact, doubled, small_batch(), train=True, mutable=["batch_stats"])
        assert all(output.dtype == jnp.float64 for output in outputs)
        outputs = embed(exact, doubled, small_batch(), train=False)
    for a, b in zip(outputs, embed(model, variables, small_batch(), train=False), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("instructions", [None, False, "none"])
def test_none_and_false_disable_the_instructions(instructions):
    assert small_model(recipe__instructions=instructions).recipe_tower.instructions == "none"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image__depth": 77}, "config.model.image.depth = 77: must be one of 10, 18, 34, 50, 101, 152"),
        ({"image__width": 0}, "config.model.image.width = 0: must be an integer ≥ 1"),
        ({"embedding_dim": 2.5}, "config.model.embedding_dim = 2.5: must be an integer ≥ 1"),
        (
            {"recipe__instructions": "lines"},
            "config.model.recipe.instructions = 'lines': must be one of words, vectors",
        ),
        ({"recipe__word_vectors": "own"}, "config.model.recipe.word_vectors = 'own': must be one of shared, separate"),
        ({"dtype": "float16"}, "config.model.dtype = 'float16': must be one of float32, bfloat16, float64"),
        ({"dtype": "float64"}, "config.model.dtype = 'float64': set JAX_ENABLE_X64=1"),
        ({"remat": "yes"}, "config.model.remat = 'yes': must be one of True, False"),
        ({"recipe__ingredients": False, "recipe__instructions": "none"}, "nothing is left to read"),
    ],
)
def test_invalid_values_are_one_line_errors(changes, message):
    def build():
        check(small_config(**changes))
        small_model(**changes)

    with pytest.raises(UserError) as error:
        build()
    assert message in str(error.value)
    assert "\n" not in str(error.value)
