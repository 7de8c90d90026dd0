"""The embedding of a part is that of a recipe that has nothing else."""

import numpy as np
import pytest

from adamine_jax.models.recipe.bag import BagOfWords
from adamine_jax.recipes.words import END_ID
from tests.models.test_recipe import apply, init, small_batch, small_tower


def lstm():
    batch = small_batch(seed=1, batch=6)
    batch["title"] = np.random.default_rng(0).integers(1, 5, (6, 20)) * (
        np.arange(20) < [[3], [0], [1], [20], [0], [2]]
    )
    batch["ingredients"][1] = 0
    batch["ingredients"][2] = np.eye(20, dtype=int)[0] * END_ID  # what records contain for an empty list
    fields = (("ingredients",), ("words", "num_sentences"), ("title",))
    return small_tower(title_words=3, part_embeddings=True), batch, fields


def bag():
    sizes, rng = (5, 9, 4), np.random.default_rng(0)
    tower = BagOfWords(embedding_dim=7, columns=18, part_sizes=sizes, recipe_dim=3)
    present = rng.random((6, 18)) < 0.3
    words = np.where(present, np.arange(18), 0)
    weights = np.where(present, rng.random((6, 18)), 0).astype(np.float32)
    vectors = rng.normal(size=(6, 3)).astype(np.float32)
    return tower, {"words": words, "word_weights": weights, "recipe_vectors": vectors}, sizes


def alone(batch, fields, place):
    """The batch without what is not the part at this place."""
    if "word_weights" in batch:
        ends = np.cumsum(fields)
        inside = (batch["words"] >= ends[place] - fields[place]) & (batch["words"] < ends[place])
        without = {"word_weights": np.where(inside, batch["word_weights"], 0), "recipe_vectors": np.zeros((6, 3))}
        return batch | without
    emptied = {name: np.zeros_like(array) for name, array in batch.items()}
    return emptied | {name: batch[name] for name in fields[place]}


@pytest.mark.parametrize("make", [lstm, bag])
def test_a_part_is_embedded_like_a_recipe_without_the_others(make):
    tower, batch, fields = make()
    params = init(tower, batch)
    found = apply(tower, params, batch)
    assert found.parts.shape == (6, tower.parts, 7) == (6, 3, 7)
    for place in range(3):
        only = alone(batch, fields, place)
        whole = apply(tower, params, only).whole
        np.testing.assert_allclose(found.parts[:, place], whole, rtol=1e-5, atol=1e-6)
        if make is bag:
            expected = (only["word_weights"] > 0).any(axis=1)
        else:
            expected = (np.asarray(only[fields[place][-1]]) > (END_ID if place == 0 else 0)).reshape(6, -1).any(axis=1)
        np.testing.assert_array_equal(found.mask[:, place], expected)


@pytest.mark.parametrize("make", [lstm, bag])
def test_parts_do_not_change_the_embedding_of_the_whole(make):
    tower, batch, _ = make()
    params = init(tower, batch)
    plain = tower.clone(**({"part_sizes": ()} if make is bag else {"part_embeddings": False}))
    np.testing.assert_allclose(apply(tower, params, batch).whole, apply(plain, params, batch), rtol=1e-5, atol=1e-6)
