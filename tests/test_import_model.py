"""Import of published checkpoints as workdirs that the other commands read."""

import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from adamine_jax import evaluate
from adamine_jax.checkpoints import manager as checkpoints
from adamine_jax.import_weights import main
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.record_index import load_index
from adamine_jax.runs import workdir
from tests import tiny
from tests.interop import published_code
from tests.interop.published_code import SMALL, STATES

V = len(tiny.WORDS)


def import_state(folder, data, source, state, *more):
    """Imports a state dict into folder/run; returns the exit status."""
    path = folder / "model.safetensors"
    safetensors.numpy.save_file(state, path)
    arguments = ["--from", source, "--file", path, "--data", data, "--workdir", folder / "run", *more]
    return main([str(argument) for argument in arguments])


def write_sentence_vectors(path, data, length):
    """Writes vectors of one or two sentences for the recipes of all splits."""
    dataset = open_dataset(data)
    ids = np.concatenate([load_index(dataset.shards(split)).ids for split in ("train", "val", "test")])
    ids = np.repeat(ids, 1 + np.arange(len(ids)) % 2)
    np.save(path, np.random.default_rng(3).standard_normal((len(ids), length)).astype(np.float32))
    path.with_suffix(".txt").write_text("".join(f"{identifier.decode()}\n" for identifier in ids))
    return path


@pytest.mark.parametrize("source", STATES)
def test_the_workdir_contains_the_model(tmp_path, tiny_data, source, capsys):
    state = STATES[source]()
    assert import_state(tmp_path, tiny_data, source, state) == 0
    printed = capsys.readouterr().out
    title = {"adamine": "AdaMine", "im2recipe": "im2recipe"}[source]
    assert f"a model of {title}, " in printed
    assert "ResNet-18 of width 2" in printed
    assert "words: 40 vectors of 5 (rows 40 to 42 are zero)" in printed
    assert "classifier: 5 classes" in printed
    assert ("convnet.resnet.fc.bias (the ImageNet classifier)" in printed) == (source == "adamine")
    assert "pass their file to evaluate and embed as --sentence-vectors FILE" in printed
    assert f"python -m adamine_jax.evaluate --workdir {tmp_path / 'run'} --split test" in printed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.safetensors", "run"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoints", "config.json", "dataset.json"]

    trained = workdir.load(tmp_path / "run")
    assert trained.step == 0
    assert trained.words == tiny.WORDS
    assert trained.open_dataset().vocabulary_digest == trained.vocabulary_digest
    model = trained.config.model
    assert (model.recipe.instructions, model.recipe.sentence_dim, model.recipe.word_dim) == ("vectors", 6, 5)
    assert (model.recipe.ingredient_hidden, model.recipe.instruction_hidden, model.embedding_dim) == (4, 3, 7)
    assert (model.image.depth, model.image.width) == (18, 2)
    assert model.recipe.instruction_lstm_over_padding == (source == "adamine")
    assert trained.config.loss.classifier_weight == 0.01

    variables = jax.device_get(trained.variables)
    batch = published_code.recipes(SMALL["rows"], SMALL["sentence_dim"])
    embedded = jax.jit(lambda variables, batch: trained.model.apply(variables, batch, method="embed_recipes"))(
        variables, batch
    )
    np.testing.assert_allclose(embedded, published_code.recipe_embeddings(source, state, batch), atol=2e-6)


@pytest.mark.parametrize("rows", [V, V + 1, V + 2, V + 3])
def test_rows_of_the_word_table_keep_their_positions(tmp_path, tiny_data, rows, capsys):
    state = STATES["adamine"](rows=rows)
    assert import_state(tmp_path, tiny_data, "adamine", state) == 0
    table = np.asarray(workdir.load(tmp_path / "run").variables["params"]["recipe_tower"]["table"])
    assert table.shape == (V + 3, SMALL["word_dim"])
    np.testing.assert_array_equal(table[:rows], state["recipe_embedding.emb_ingrs.weight"])
    assert not table[rows:].any()
    assert ("are zero" in capsys.readouterr().out) == (rows < V + 3)


@pytest.mark.parametrize("rows", [V - 1, V + 4])
def test_another_number_of_words_is_refused(tmp_path, tiny_data, rows, capsys):
    assert import_state(tmp_path, tiny_data, "adamine", STATES["adamine"](rows=rows)) == 2
    message = capsys.readouterr().err
    assert f"its word table has {rows} rows" in message
    assert "has 40 words, which needs 40 to 43 rows; convert the data set with the model's vocabulary" in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("classes", [0, 9])
def test_a_classifier_of_other_classes_is_left_out(tmp_path, tiny_data, classes, capsys):
    assert import_state(tmp_path, tiny_data, "im2recipe", STATES["im2recipe"](classes=classes)) == 0
    line = f"left out: semantic_branch (a classifier of 9 classes, {tiny_data} has 5)"
    assert (line in capsys.readouterr().out) == bool(classes)
    trained = workdir.load(tmp_path / "run")
    assert trained.config.loss.classifier_weight == 0
    assert "classifier" not in trained.variables["params"]


def test_the_workdir_can_be_evaluated(tmp_path, tiny_data, capsys):
    vectors = write_sentence_vectors(tmp_path / "vectors.npy", tiny_data, SMALL["sentence_dim"])
    status = import_state(tmp_path, tiny_data, "adamine", STATES["adamine"](), "--sentence-vectors", vectors)
    assert status == 0
    assert "sentence-vectors FILE" not in capsys.readouterr().out
    assert evaluate.main(["--workdir", str(tmp_path / "run"), "--protocols", "full"]) == 0
    assert "test split, checkpoint of step 0" in capsys.readouterr().out
    results = json.loads((tmp_path / "run" / "eval_test.json").read_text())
    assert results["full"]["pairs"] == 12


def test_sentence_vectors_of_another_length_are_refused(tmp_path, tiny_data, capsys):
    vectors = write_sentence_vectors(tmp_path / "vectors.npy", tiny_data, 9)
    assert import_state(tmp_path, tiny_data, "adamine", STATES["adamine"](), "--sentence-vectors", vectors) == 2
    assert f"--sentence-vectors {vectors}: vectors of length 9, but the model of" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_an_interrupted_import_leaves_nothing_behind(tmp_path, tiny_data, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.Checkpoints, "save", fail)
    monkeypatch.setattr("os.kill", lambda *_: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert import_state(tmp_path, tiny_data, "adamine", STATES["adamine"]()) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_the_folder_must_be_new_or_empty(tmp_path, tiny_data, capsys):
    run = tmp_path / "run"
    run.mkdir()
    assert import_state(tmp_path, tiny_data, "adamine", STATES["adamine"]()) == 0
    assert import_state(tmp_path, tiny_data, "adamine", STATES["adamine"]()) == 2
    assert f"--workdir {run}: exists and is not an empty folder; give a new one" in capsys.readouterr().err


def test_errors_for_a_missing_data_set_and_a_damaged_file_are_one_line(tmp_path, tiny_data, capsys):
    assert import_state(tmp_path, tmp_path / "no", "adamine", STATES["adamine"]()) == 2
    assert f"data.dir = {tmp_path / 'no'}: no such folder" in capsys.readouterr().err
    (tmp_path / "cut.safetensors").write_bytes(b"cut")
    arguments = ["--from", "adamine", "--file", tmp_path / "cut.safetensors", "--data", tiny_data]
    assert main([str(argument) for argument in [*arguments, "--workdir", tmp_path / "run"]]) == 2
    assert "cut.safetensors: not a readable .safetensors file" in capsys.readouterr().err
