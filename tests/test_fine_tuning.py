"""Initialisation from another run, with words and classes matched by name."""

import jax
import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.config.checks import check
from adamine_jax.input.dataset import open_dataset
from adamine_jax.losses import registry
from adamine_jax.models.adamine import build_model
from adamine_jax.runs import workdir
from adamine_jax.train import train
from adamine_jax.training import fine_tuning
from adamine_jax.training.state import initial_variables
from tests import tiny

WITH_CLASSIFIER = {"loss__classifier_weight": 0.01}


@pytest.fixture(scope="module")
def old(tiny_data, tmp_path_factory):
    """Workdir of an untrained model."""
    directory = tmp_path_factory.mktemp("old") / "run"
    train(tiny.small_config(tiny_data, epochs=0, **WITH_CLASSIFIER), directory)
    return directory


@pytest.fixture(scope="module")
def other_data(tmp_path_factory):
    """Data set with five words of the old one in another order, new words, and more classes."""
    words = ("new0", *tiny.WORDS[4::-1], "new1")
    return tiny.write_dataset(tmp_path_factory.mktemp("other") / "data", words=words, classes=6)


def variables_of(config, dataset, seed):
    model, loss = build_model(config.model, table_rows=dataset.table_rows), registry.build(config.loss)
    config.seed = seed
    return model, jax.device_get(initial_variables(config, model, loss, num_classes=len(dataset.class_names)))


def test_words_and_classes_are_matched_by_name_and_other_weights_are_copied(old, other_data, capsys):
    dataset = open_dataset(other_data)
    model, new = variables_of(tiny.small_config(other_data, **WITH_CLASSIFIER), dataset, seed=9)
    merged = jax.device_get(fine_tuning.init_from(old, model, new, dataset))
    before = jax.device_get(workdir.load(old).variables)
    assert "5 of 7 words matched, 5 of 7 classes matched" in capsys.readouterr().out

    tables = [tree["params"]["recipe_tower"]["table"] for tree in (merged, before, new)]
    table, old_table, new_table = tables
    for number, word in enumerate(dataset.words):
        expected = old_table[2 + tiny.WORDS.index(word)] if word in tiny.WORDS else new_table[2 + number]
        np.testing.assert_array_equal(table[2 + number], expected)
    np.testing.assert_array_equal(table[[0, 1, -1]], old_table[[0, 1, -1]])
    kernel, old_kernel, new_kernel = (tree["params"]["classifier"]["kernel"] for tree in (merged, before, new))
    np.testing.assert_array_equal(kernel[:, :5], old_kernel)
    np.testing.assert_array_equal(kernel[:, 5:], new_kernel[:, 5:])
    for part in ("image_tower", "batch_stats"):
        ours, theirs = (tree["params"][part] if part in tree["params"] else tree[part] for tree in (merged, before))
        assert all(jax.tree.leaves(jax.tree.map(np.array_equal, ours, theirs)))


def test_a_run_is_initialised_from_another_only_once(old, tiny_data, tmp_path, capsys):
    config = tiny.small_config(tiny_data, epochs=0, train__init_from=str(old))
    train(config, tmp_path / "run")
    assert "40 of 40 words matched, classifier not copied" in capsys.readouterr().out
    start, before = (jax.device_get(workdir.load(path).variables["params"]) for path in (tmp_path / "run", old))
    np.testing.assert_array_equal(start["recipe_tower"]["fc"]["kernel"], before["recipe_tower"]["fc"]["kernel"])
    train(config, tmp_path / "run")
    assert "initialised from" not in capsys.readouterr().out


def test_another_architecture_is_refused_by_name(old, tiny_data):
    dataset = open_dataset(tiny_data)
    wider = tiny.small_config(tiny_data, model__recipe__ingredient_hidden=16)
    with pytest.raises(UserError, match=r"recipe_tower/fc/kernel is 24 × 16 in that run and 40 × 16 in this one"):
        fine_tuning.init_from(old, *variables_of(wider, dataset, 0), dataset)
    longer = tiny.small_config(tiny_data, model__recipe__word_dim=12)
    with pytest.raises(UserError, match=r"input_kernel is 8 × 32 in that run and 12 × 32 in this one"):
        fine_tuning.init_from(old, *variables_of(longer, dataset, 0), dataset)


def test_an_unusable_source_is_refused_before_training(tiny_data, tmp_path):
    with pytest.raises(UserError, match=r"config.train.init_from = nowhere: no such folder"):
        check(tiny.small_config(tiny_data, train__init_from="nowhere"))
    (tmp_path / "w.safetensors").touch()
    both = {"train__init_from": str(tmp_path), "model__image__weights": str(tmp_path / "w.safetensors")}
    with pytest.raises(UserError, match="both set the weights"):
        check(tiny.small_config(tiny_data, **both))
