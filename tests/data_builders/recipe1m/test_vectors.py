"""The command `vectors` with the files of skip-instructions."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from adamine_jax.input.features import read_matrix
from data_builders.recipe1m import sentences
from tests.data_builders.recipe1m import t7
from tests.data_builders.recipe1m.download import recipe_id
from tests.data_builders.recipe1m.planted import run

LENGTH = 8


def characters(ids) -> t7.Tensor:
    """Returns ids in the published format, a tensor of characters."""
    return t7.tensor(np.array([list(identity.encode()) for identity in ids], "i1"))


def encodings(numbers, counts, seed=0, **fields) -> dict:
    """Returns the table of a partition and its vectors; `fields` replace fields of the table."""
    vectors = np.random.default_rng(seed).standard_normal((sum(counts), LENGTH)).astype("<f4")
    first = np.cumsum([0, *counts[:-1]]) + 1
    table = {
        "encs": t7.tensor(vectors),
        "opts": {b"model": b"encoder.t7", b"batchSize": 1024},
        "ids": characters([recipe_id(number) for number in numbers]),
        "rlens": t7.tensor(np.array(counts, "<i8")),
        "rbps": t7.tensor(first.astype("<i8")),
    } | fields
    return {name.encode(): value for name, value in table.items()}, vectors


def write_file(folder, partition, table):
    folder.mkdir(exist_ok=True)
    (folder / f"encs_{partition}_1024.t7").write_bytes(t7.dumps(table))


@pytest.fixture
def source(tmp_path):
    return tmp_path / "source"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "sentences.npy"


def ids_of(counts: dict[int, int]) -> list[str]:
    return [recipe_id(number) for number, count in counts.items() for _ in range(count)]


def test_all_partitions_become_one_matrix_that_training_reads(source, out, capsys):
    train, vectors = encodings([3, 1, 2], [2, 0, 4])
    test, of_test = encodings([9], [3], seed=1)
    write_file(source, "train", train)
    write_file(source, "test", test)
    assert run("vectors", "--source", source, "--out", out) == 0
    matrix = read_matrix("data.sentence_vectors", out)
    assert matrix.values.dtype == np.float32
    np.testing.assert_array_equal(matrix.values, np.concatenate([vectors, of_test]))
    assert [row.decode() for row in matrix.ids] == ids_of({3: 2, 2: 4, 9: 3})
    printed = capsys.readouterr().out.splitlines()
    assert printed == [
        f"{out}: 9 × 8 float32",
        "train: 2 recipes, 6 sentences",
        "test: 1 recipes, 3 sentences",
        f"left out: 1 recipes without a sentence (train {recipe_id(1)})",
        "note: the source has no vectors of val",
    ]
    assert sorted(path.name for path in out.parent.iterdir()) == ["sentences.npy", "sentences.txt", "source"]


def test_half_the_room_is_enough(source, out):
    table, vectors = encodings([1], [5])
    write_file(source, "val", table)
    assert run("vectors", "--source", source, "--out", out, "--dtype", "float16") == 0
    matrix = np.load(out)
    assert matrix.dtype == np.float16
    np.testing.assert_array_equal(matrix, vectors.astype(np.float16))


def test_other_forms_of_the_same_fields_are_read(source, out):
    table, vectors = encodings([1, 2], [2, 1])
    storage = t7.Storage(np.concatenate([np.zeros(5, "<f8"), vectors.T.reshape(-1).astype("<f8")]))
    table[b"encs"] = t7.Tensor(storage, [3, LENGTH], [1, 3], first=6)  # transposed, behind something else
    table[b"ids"] = [recipe_id(1).encode(), recipe_id(2).encode()]
    table[b"rlens"] = [2, 1]
    table[b"rbps"] = t7.tensor(np.array([1, 3], "<f8"))
    write_file(source, "train", table)
    assert run("vectors", "--source", source, "--out", out) == 0
    np.testing.assert_array_equal(np.load(out), vectors)
    assert out.with_suffix(".txt").read_text().split() == ids_of({1: 2, 2: 1})


def test_what_cannot_be_used_is_counted_and_named(source, out, capsys):
    numbers = [1, 2, 3, 4, 5, 6, 7, 1]
    counts = [2, 1, 1, 2, 1, 1, 1, 1]
    table, vectors = encodings(numbers, counts)
    vectors[4, 3], vectors[6, 0] = np.nan, -np.inf  # the first sentence of recipe 4, the only one of recipe 5
    first, rows = np.cumsum([0, *counts[:-1]]) + 1, np.array(counts)
    first[1], first[2], rows[5] = 0, 11, 6
    ids = [recipe_id(number) for number in numbers]
    ids[6] = "../../etc\x1b"
    table |= {b"encs": t7.tensor(vectors), b"ids": characters(ids)}
    table |= {b"rbps": t7.tensor(first.astype("<i4")), b"rlens": t7.tensor(rows.astype("<i8"))}
    write_file(source, "val", table)
    assert run("vectors", "--source", source, "--out", out) == 0
    np.testing.assert_array_equal(np.load(out), vectors[[0, 1, 5]])
    assert out.stat().st_size == 128 + 3 * LENGTH * 4  # no more than header and rows
    assert out.with_suffix(".txt").read_text().split() == ids_of({1: 2, 4: 1})
    printed = capsys.readouterr().out
    outside = ", ".join(f"val {recipe_id(number)}" for number in (2, 3, 6))
    assert f"left out: 3 recipes whose sentences are not all in the matrix ({outside})" in printed
    not_finite = f"val {recipe_id(4)}, sentence 1, val {recipe_id(5)}, sentence 1"
    assert f"left out: 2 sentences with a value that is not finite ({not_finite})" in printed
    assert f"left out: 1 recipes without a sentence (val {recipe_id(5)})" in printed
    assert "left out: 1 recipes whose id is not 10 hex digits (val '../../etc')" in printed
    assert f"left out: 1 recipes whose id appears a second time (val {recipe_id(1)})" in printed


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), -1, 2**62])
@pytest.mark.parametrize("field", ["rbps", "rlens"])
def test_numbers_at_the_end_of_the_range_are_outside(source, out, field, number):
    table, vectors = encodings([1, 2], [2, 1])
    values = {"rbps": [1, 3], "rlens": [2, 1]}[field]
    table[field.encode()] = t7.tensor(np.array([number, values[1]], "<i8"))
    write_file(source, "train", table)
    assert run("vectors", "--source", source, "--out", out) == 0
    np.testing.assert_array_equal(np.load(out), vectors[2:])


@pytest.mark.parametrize("values", [[1.5, 3], [None, 3], [b"1", 3], [float("nan"), 3], [float("inf"), 3], [1e300, 3]])
def test_what_is_no_whole_number_is_outside(source, out, values, capsys):
    table, vectors = encodings([1, 2], [2, 1], rbps=values)
    write_file(source, "train", table)
    assert run("vectors", "--source", source, "--out", out) == 0
    np.testing.assert_array_equal(np.load(out), vectors[2:])
    assert "1 recipes whose sentences are not all in the matrix" in capsys.readouterr().out


def test_a_number_too_large_for_float16_is_not_finite(source, out, capsys):
    table, vectors = encodings([1], [2])
    vectors[1, 2] = 1e6
    write_file(source, "train", table | {b"encs": t7.tensor(vectors)})
    assert run("vectors", "--source", source, "--out", out, "--dtype", "float16") == 0
    assert len(np.load(out)) == 1
    assert "1 sentences with a value that is not finite" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"encs": None}, "missing encs; expected a table of encs, ids, rlens, rbps"),
        ({"ids": None, "rbps": None}, "missing ids, rbps"),
        ({"encs": t7.tensor(np.zeros(6, "<f4"))}, "encs is float32 of shape (6,)"),
        ({"encs": t7.tensor(np.zeros((6, 0), "<f4"))}, "encs is float32 of shape (6, 0)"),
        ({"encs": t7.tensor(np.zeros((3, 8), "<i8"))}, "encs is int64 of shape (3, 8)"),
        ({"encs": [1.0]}, "encs is not a tensor"),
        ({"ids": 5}, "ids is neither"),
        ({"ids": t7.tensor(np.zeros((2, 10), "<f4"))}, "ids is neither"),
        ({"rlens": b"2"}, "rlens is neither"),
        ({"rbps": t7.tensor(np.zeros((2, 2), "<i8"))}, "rbps is neither"),
        ({"rlens": [2]}, "2 ids, 1 rlens and 2 rbps"),
        ({"ids": [b"0000000001"]}, "1 ids, 2 rlens and 2 rbps"),
    ],
)
def test_another_file_of_torch_is_refused(source, out, capsys, fields, message):
    table, _ = encodings([1, 2], [2, 1], **fields)
    write_file(source, "train", {name: value for name, value in table.items() if value is not None})
    assert run("vectors", "--source", source, "--out", out) == 2
    error = capsys.readouterr().err
    assert f"{source / 'encs_train_1024.t7'}: {message}" in error
    assert len(error.splitlines()) == 1
    assert not out.exists()


def test_what_is_no_table_is_refused(source, out, capsys):
    write_file(source, "train", [1, 2])
    assert run("vectors", "--source", source, "--out", out) == 2
    assert "missing encs, ids, rlens, rbps" in capsys.readouterr().err
    write_file(source, "train", b"text")
    assert run("vectors", "--source", source, "--out", out) == 2
    assert "missing encs, ids, rlens, rbps" in capsys.readouterr().err


def test_vectors_of_two_lengths_are_refused(source, out, capsys):
    write_file(source, "train", encodings([1], [2])[0])
    write_file(source, "val", encodings([2], [1], encs=t7.tensor(np.zeros((1, 9), "<f4")))[0])
    assert run("vectors", "--source", source, "--out", out) == 2
    assert "must have the same length in all files; it is 8 in" in capsys.readouterr().err


def test_nothing_to_be_written_is_an_error(source, out, capsys):
    write_file(source, "train", encodings([1], [2], rbps=[9])[0])
    assert run("vectors", "--source", source, "--out", out) == 2
    assert "no sentence can be used; train: 0 recipes" in (error := capsys.readouterr().err)
    assert "not all in the matrix" in error
    assert list(out.parent.iterdir()) == [source]


def test_a_folder_without_vectors_is_reported(source, out, capsys):
    assert run("vectors", "--source", source, "--out", out) == 2
    assert "no such folder" in capsys.readouterr().err
    source.mkdir()
    assert run("vectors", "--source", source, "--out", out) == 2
    assert "contains neither encs_train_1024.t7" in capsys.readouterr().err


def test_existing_files_are_replaced_only_on_request(source, out, capsys):
    write_file(source, "train", encodings([1], [2])[0])
    for there in (out, out.with_suffix(".txt")):
        there.write_text("mine")
        assert run("vectors", "--source", source, "--out", out) == 2
        assert f"{there} exists already; add --overwrite" in capsys.readouterr().err
        assert there.read_text() == "mine"
        if there == out:
            there.unlink()
    assert run("vectors", "--source", source, "--out", out, "--overwrite") == 0
    assert np.load(out).shape == (2, 8)
    assert run("vectors", "--source", source, "--out", out.with_suffix(".bin")) == 2
    assert "the name of the matrix must end in .npy" in capsys.readouterr().err


def test_a_run_that_fails_leaves_what_was_there(source, out, monkeypatch):
    write_file(source, "train", encodings([1, 2], [2, 1])[0])
    assert run("vectors", "--source", source, "--out", out) == 0
    before = out.read_bytes(), out.with_suffix(".txt").read_bytes()
    usable = sentences._usable

    def fails(recipe, *args):
        if recipe.id == recipe_id(2):
            raise RuntimeError("in the middle")
        return usable(recipe, *args)

    monkeypatch.setattr(sentences, "_usable", fails)
    with pytest.raises(RuntimeError, match="in the middle"):
        run("vectors", "--source", source, "--out", out, "--overwrite")
    assert (out.read_bytes(), out.with_suffix(".txt").read_bytes()) == before
    assert sorted(path.name for path in out.parent.iterdir()) == ["sentences.npy", "sentences.txt", "source"]


def test_what_a_killed_run_left_is_overwritten_and_two_runs_do_not_meet(source, out, capsys):
    write_file(source, "train", encodings([1], [2])[0])
    for name in (".sentences.incomplete.npy", ".sentences.incomplete.txt"):
        (out.parent / name).write_bytes(b"x" * 100_000)
    with sentences._pair(out):
        assert run("vectors", "--source", source, "--out", out, "--overwrite") == 2
        assert "another run is writing" in capsys.readouterr().err
    for name in (".sentences.incomplete.npy", ".sentences.incomplete.txt"):
        (out.parent / name).write_bytes(b"x" * 100_000)
    assert run("vectors", "--source", source, "--out", out, "--overwrite") == 0
    assert np.load(out).shape == (2, 8)
    assert out.with_suffix(".txt").read_text().split() == ids_of({1: 2})
    assert sorted(path.name for path in out.parent.iterdir()) == ["sentences.npy", "sentences.txt", "source"]


def test_a_full_disk_is_one_line(source, out):
    write_file(source, "train", encodings([1], [5000])[0])
    program = (
        "import resource, signal, sys\n"
        "from data_builders.recipe1m.__main__ import main\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", program, "vectors", "--source", source, "--out", out]
    done = subprocess.run(command, cwd=Path(__file__).parents[3], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"error: --out {out}: 0.0 GiB cannot be written (File too large); free some space, or give"
    )
    assert len(done.stderr.splitlines()) == 1
    assert list(out.parent.iterdir()) == [source]
