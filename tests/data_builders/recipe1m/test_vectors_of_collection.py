"""`vectors --data` writes only the vectors of the recipes in a collection."""

import numpy as np

from tests.data_builders.recipe1m.collection import read_records
from tests.data_builders.recipe1m.download import recipe_id
from tests.data_builders.recipe1m.planted import run
from tests.data_builders.recipe1m.test_vectors import LENGTH, characters, encodings, ids_of, write_file


def test_only_the_vectors_of_a_collection(built, tmp_path, capsys):
    """The collection has the recipes 1 to 6 and 12."""
    kept = {int(record["id"][0], 16) for name in ("train", "val", "test") for record in read_records(built, name)}
    assert kept == {1, 2, 3, 4, 5, 6, 12}
    source, out = tmp_path / "encodings", tmp_path / "sentences.npy"
    table, vectors = encodings([8, 3, 12, 100, 1], [1, 2, 3, 1, 2])
    write_file(source, "train", table)
    other, of_other = encodings([6, 7], [1, 1], seed=1, ids=characters([recipe_id(6), "x" * 10]))
    write_file(source, "test", other)
    assert run("vectors", "--source", source, "--out", out, "--data", built.parent.parent) == 0
    np.testing.assert_array_equal(np.load(out), np.concatenate([vectors[1:6], vectors[7:], of_other[:1]]))
    assert out.with_suffix(".txt").read_text().split() == ids_of({3: 2, 12: 3, 1: 2, 6: 1})
    printed = capsys.readouterr().out.splitlines()
    assert "skipped: 2 recipes that are not in the collection" in printed
    assert "left out: 1 recipes whose id is not 10 hex digits (test 'xxxxxxxxxx')" in printed
    assert f"note: 3 of the 7 recipes of {built.parent.parent} have no vectors" in printed
    assert out.stat().st_size == 128 + 8 * LENGTH * 4


def test_a_collection_that_is_none_is_one_line(tmp_path, capsys):
    source, out = tmp_path / "encodings", tmp_path / "sentences.npy"
    write_file(source, "val", encodings([1], [5])[0])
    assert run("vectors", "--source", source, "--out", out, "--data", tmp_path / "absent") == 2
    assert f"{tmp_path / 'absent'}: no such folder" in capsys.readouterr().err
    assert not out.exists()
