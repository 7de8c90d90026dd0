"""Breakdowns of a tiny test split, against its records as read by TensorFlow."""

import json
import statistics

import numpy as np
import pytest
import tensorflow as tf

from adamine_jax import evaluate
from adamine_jax.runs import groupings
from adamine_jax.train import train
from tests import tiny


@pytest.fixture(scope="module")
def workdir(tiny_data, tmp_path_factory):
    """Workdir of an untrained model."""
    directory = tmp_path_factory.mktemp("groupings") / "run"
    train(tiny.small_config(tiny_data, epochs=0), directory)
    return directory


def records(tiny_data, split):
    """Returns {id: (class id, number of ingredients, number of instructions)}."""
    found = {}
    for shard in tiny_data.glob(f"recipe1m/1.0.0/recipe1m-{split}.tfrecord-*"):
        for payload in tf.data.TFRecordDataset(str(shard)).as_numpy_iterator():
            fields = tf.train.Example.FromString(payload).features.feature
            lengths = (len(fields[name].bytes_list.value) for name in ("ingredients", "instructions"))
            found[fields["id"].bytes_list.value[0]] = (fields["class_id"].int64_list.value[0], *lengths)
    return found


def test_groups_contain_the_ranks_of_their_recipes(workdir, tiny_data, capsys, monkeypatch):
    # The tiny recipes are short, so every number of lines is a group here.
    monkeypatch.setattr(groupings, "bin_of", str)
    monkeypatch.setattr(groupings, "by_bins", list)
    flags = ["--workdir", str(workdir), "--split", "train", "--protocols", "20x3,10x5"]
    assert evaluate.main([*flags, "--by", "class,ingredients,sentences"]) == 0
    content = json.loads((workdir / "breakdown_train.json").read_text())
    assert (content["protocol"], content["draws"], content["pairs"], content["step"]) == ("20x3", 3, 20, 0)
    known, ranks = records(tiny_data, "train"), np.load(workdir / "ranks_train.npz")

    group_of = {
        "class": lambda record: f"class {record[0]}" if record[0] else "background",
        "ingredients": lambda record: str(record[1]),
        "sentences": lambda record: str(record[2]),
    }
    assert set(content["by"]) == set(group_of)
    printed = capsys.readouterr().out
    for by, rows in content["by"].items():
        assert sum(row["queries"] for row in rows) == 60
        for row in rows:
            mine = [name for name, record in known.items() if group_of[by](record) == row["group"]]
            among = np.isin(ranks["20x3/ids"], mine)
            assert row["queries"] == among.sum()
            assert row["recipes"] == len(set(ranks["20x3/ids"][among].tolist()))
            for direction in ("image_to_recipe", "recipe_to_image"):
                found = ranks[f"20x3/{direction}"][among].tolist()
                assert row[direction]["medr"] == statistics.median(found)
                assert row[direction]["r5"] == pytest.approx(100 * sum(rank <= 5 for rank in found) / len(found))
            assert f"  {row['group']} " in printed
    assert {row["group"] for row in content["by"]["class"]} >= {"background", "class 1"}
    assert "ranks are among all 20 candidates of the draw, not only those of the group" in printed
    assert "n: number of queries of the group in each direction, pooled over 3 draws" in printed


def test_only_the_requested_groups_are_written(workdir, capsys):
    flags = ["--workdir", str(workdir), "--protocols", "full"]
    assert evaluate.main([*flags, "--by", "sentences"]) == 0
    assert list(json.loads((workdir / "breakdown_test.json").read_text())["by"]) == ["sentences"]
    printed = capsys.readouterr().out
    assert "\n  1–5 " in printed
    assert (
        "test split by sentences: ranks under full; recall in %, MedR counted from 1\nranks are among all 12" in printed
    )
    (workdir / "breakdown_test.json").unlink()
    assert evaluate.main(flags) == 0
    assert evaluate.main(["--workdir", str(workdir), "--protocols", "1k", "--by", "class"]) == 2
    assert "error: the test split is too small for 1k; give full or" in capsys.readouterr().err
    assert not (workdir / "breakdown_test.json").exists()


def test_an_error_is_reported_before_loading(capsys):
    assert evaluate.main(["--workdir", "nowhere", "--by", "class,colour"]) == 2
    assert capsys.readouterr().err == (
        "error: --by 'colour': must be class, ingredients or sentences, or a comma-separated list of them\n"
    )
