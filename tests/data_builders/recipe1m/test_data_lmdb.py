"""The databases of `data_lmdb`, and the command `vectors` with them."""

import pickle
import shutil
import sys

import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from data_builders.recipe1m import sentences
from data_builders.recipe1m.lmdb.environment import BadValueError, Environment
from tests.data_builders.recipe1m import t7
from tests.data_builders.recipe1m.download import recipe_id
from tests.data_builders.recipe1m.lmdb_layout import LENGTH, Database, Pickled, vector, write_environment
from tests.data_builders.recipe1m.planted import run
from tests.data_builders.recipe1m.torch_pickles import FORMS, Call, dumps


@pytest.fixture
def out(tmp_path):
    return tmp_path / "sentences.npy"


@pytest.mark.parametrize("as_folder", [True, False])
@pytest.mark.parametrize("keys", range(pickle.HIGHEST_PROTOCOL + 1))
def test_records_are_found_whatever_the_protocol_of_their_keys(tmp_path, keys, as_folder):
    values = {number: f"value {number}" for number in range(300)}  # of one and of two bytes
    write_environment(tmp_path / "ids.lmdb", values, keys=keys, as_folder=as_folder)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    environment = Environment(tmp_path, "ids")
    assert len(environment) == 300
    assert [environment.text(number) for number in range(300)] == list(values.values())
    for number in (300, -1, 2**70, 10**300):
        with pytest.raises(BadValueError, match="ids: a record is missing"):
            environment.text(number)
    environment.close()
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_an_empty_database_has_no_record(tmp_path):
    write_environment(tmp_path / "ids.lmdb", {})
    environment = Environment(tmp_path, "ids")
    assert len(environment) == 0
    with pytest.raises(BadValueError, match="missing"):
        environment.value(0)
    environment.close()


def test_text_can_be_stored(tmp_path):
    write_environment(tmp_path / "ids.lmdb", {0: "a\ud83cb", 1: b"\xff", 2: 5})
    environment = Environment(tmp_path, "ids")
    assert environment.text(0) == "a\ufffdb"
    assert environment.text(1) == "\ufffd"
    with pytest.raises(BadValueError, match="ids: int instead of a string"):
        environment.text(2)
    environment.close()


@pytest.mark.parametrize("as_folder", [True, False])
def test_a_database_that_is_cut_off_is_refused(tmp_path, as_folder):
    values = dict.fromkeys(range(100), "x" * 500)
    write_environment(tmp_path / "ids.lmdb", values, as_folder=as_folder)
    file = tmp_path / "ids.lmdb" / "data.mdb" if as_folder else tmp_path / "ids.lmdb"
    data = file.read_bytes()
    for end in [0, 1, 100, *range(4096, len(data), 4096), len(data) - 1]:
        file.write_bytes(data[:end])
        with pytest.raises(UserError, match=r"ids\.lmdb.*(is truncated: expected [\d,]+ bytes|cannot be opened)"):
            Environment(tmp_path, "ids")


def test_what_is_no_database_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"ids\.lmdb is missing"):
        Environment(tmp_path, "ids")
    (tmp_path / "ids.lmdb").mkdir()
    with pytest.raises(UserError, match=r"data\.mdb is missing"):
        Environment(tmp_path, "ids")
    (tmp_path / "ids.lmdb" / "data.mdb").write_bytes(b"text" * 5000)
    with pytest.raises(UserError, match=r"data\.mdb: cannot be opened \(.*not an LMDB file"):
        Environment(tmp_path, "ids")
    write_environment(tmp_path / "other.lmdb", {"name": 1})
    with pytest.raises(UserError, match=r"data\.mdb: no record has the pickled number 0"):
        Environment(tmp_path, "other")


def test_a_damaged_page_is_reported(tmp_path):
    write_environment(tmp_path / "ids.lmdb", dict.fromkeys(range(100), "x" * 500), as_folder=False)
    file = tmp_path / "ids.lmdb"
    data = file.read_bytes()
    file.write_bytes(data[:8192] + b"\xa5" * (len(data) - 8192))
    with pytest.raises(UserError, match=r"ids\.lmdb is damaged"):
        Environment(tmp_path, "ids")


def test_without_the_package_it_is_named(tmp_path, monkeypatch, capsys):
    database = Database()
    database.add(1)
    source = database.write(tmp_path / "source")
    (source / "vocab.txt").write_text("2 1\nsalt 1\noil 2\n")
    monkeypatch.setitem(sys.modules, "lmdb", None)
    assert run("check", "--source", source) == 2
    assert "needs lmdb, which is not installed: pip install 'adamine-jax[lmdb]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: shutil.rmtree(folder / "data_lmdb" / "train" / "ims.lmdb"), "ims.lmdb is missing"),
        (lambda folder: shutil.rmtree(folder / "data_lmdb" / "train"), "contains none of the folders train, val, test"),
        (lambda folder: (folder / "vocab.txt").unlink(), "give the vocabulary it was built with as --vocab FILE"),
        (lambda folder: (folder / "vocab.txt").write_text("salt\noil\n"), "a word2vec file"),
        (lambda folder: (folder / "vocab.txt").write_text("1 1\nsalt 1\n"), "1: ingredient id outside the vocabulary"),
        (
            lambda folder: write_environment(folder / "data_lmdb" / "train" / "ims.lmdb", {0: "no image"}),
            "1: none of its photos can be read; unreadable photos such as",
        ),
    ],
)
def test_what_cannot_be_used_is_one_line(tmp_path, capsys, change, message):
    database = Database()
    database.add(1, ingredients=(2, 5))
    source = database.write(tmp_path / "source")
    (source / "vocab.txt").write_text("3 1\nsalt 1\noil 2\nthe 3\n")
    assert run("check", "--source", source) == 0
    change(source)
    capsys.readouterr()
    assert run("--source", source, "--out", tmp_path / "out") == 2
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_vectors_are_those_of_the_sentences(tmp_path, out, form, protocol):
    database = Database()
    counts = {"train": {1: 2, 2: 0, 3: 3}, "test": {4: 1}}
    for partition, recipes in counts.items():
        for number, rows in recipes.items():
            database.add(number, partition, sentences=rows)
    source = database.write(tmp_path / "source", keys=protocol, protocol=protocol, form=form)
    assert run("vectors", "--source", source, "--out", out) == 0
    rows = [(number, row) for recipes in counts.values() for number, n in recipes.items() for row in range(n)]
    np.testing.assert_array_equal(np.load(out), [vector(*row) for row in rows])
    assert out.with_suffix(".txt").read_text().split() == [recipe_id(number) for number, _ in rows]


def test_vectors_that_cannot_be_used_are_counted_and_named(tmp_path, out, capsys, monkeypatch):
    monkeypatch.setattr(sentences, "MAX_SENTENCES", 100)
    trace = tmp_path / "trace"
    attack = Pickled(dumps(Call("os", "system", f"touch {trace}")))
    database = Database()
    for number in range(1, 11):
        database.add(number, sentences=2)
    of = database.of["train"]
    rows = of["stvecs"]
    rows[0] = attack  # of recipe 1, and so on
    rows[2] = np.zeros(LENGTH + 1, np.float32)
    rows[5] = np.full(LENGTH, np.nan, np.float32)
    rows[7] = [1.0] * LENGTH
    of["rlens"][4], of["rlens"][5], of["rbps"][6] = 100, 101, 0
    of["ids"][7] = "no id"
    of["ids"][8] = attack
    source = database.write(tmp_path / "source")
    assert run("vectors", "--source", source, "--out", out) == 0
    assert not trace.exists()
    np.testing.assert_array_equal(np.load(out), [vector(3, 0), vector(10, 0), vector(10, 1)])
    assert out.with_suffix(".txt").read_text().split() == [recipe_id(number) for number in (3, 10, 10)]
    printed = capsys.readouterr().out
    cannot = "left out: 1 recipes that cannot be read: "
    for number, reason in {
        1: f"{cannot}stvecs: the pickle calls os.system, which is refused; none of its code was run",
        2: f"{cannot}stvecs: a vector's length is not {LENGTH}",
        4: f"{cannot}stvecs: not a vector of floating-point numbers",
        5: f"{cannot}stvecs: a record is missing",
        6: f"left out: 1 {sentences.TOO_MANY}",
        7: f"{cannot}rbps: a number below 1",
    }.items():
        assert f"{reason} (train {recipe_id(number)})" in printed
    assert f"not finite (train {recipe_id(3)}, sentence 2)" in printed
    assert "left out: 2 recipes whose id is not 10 hex digits (train 'no id', train '')" in printed


def test_a_folder_without_any_vector_is_reported(tmp_path, out, capsys):
    database = Database()
    database.add(1, sentences=0)
    assert run("vectors", "--source", database.write(tmp_path / "source"), "--out", out) == 2
    assert "no stvecs.lmdb contains a readable vector" in capsys.readouterr().err


def test_the_files_of_skip_instructions_come_before_data_lmdb(tmp_path, out):
    database = Database()
    database.add(1)
    source = database.write(tmp_path / "source")
    vectors = np.ones((1, 3), "<f4")
    table = {"encs": t7.tensor(vectors), "ids": [recipe_id(9).encode()], "rlens": [1], "rbps": [1]}
    table = {name.encode(): value for name, value in table.items()}
    (source / "encs_val_1024.t7").write_bytes(t7.dumps(table))
    assert run("vectors", "--source", source, "--out", out) == 0
    np.testing.assert_array_equal(np.load(out), vectors)


def test_one_recipe_at_a_time_is_read(tmp_path, out, monkeypatch):
    database = Database()
    for number in range(1, 40):
        database.add(number, sentences=3)
    source = database.write(tmp_path / "source")
    read, written = [], []
    value, usable = Environment.value, sentences._usable
    monkeypatch.setattr(Environment, "value", lambda *args: read.append(args) or value(*args))
    monkeypatch.setattr(sentences, "_usable", lambda *args: written.append(len(read)) or usable(*args))
    assert run("vectors", "--source", source, "--out", out) == 0
    steps = np.diff(written)
    assert len(steps) == 38
    assert set(steps) == {6}  # its id, rlens and rbps, and three vectors
