"""Unusable content of a `data_lmdb` is left out and reported, and none of its code runs."""

import json
import pickle

from tests.data_builders.recipe1m.download import photo_id, recipe_id
from tests.data_builders.recipe1m.lmdb_building import NAMES, build, records_of, write_vocabulary
from tests.data_builders.recipe1m.lmdb_layout import Database, Pickled, picture
from tests.data_builders.recipe1m.planted import run
from tests.data_builders.recipe1m.torch_pickles import Call, dumps


def hostile(trace):
    return Pickled(dumps(Call("os", "system", f"touch {trace}"), 3))


def messy(trace):
    """A partition with recipes on the right and on the wrong side of each rule, and what becomes of them."""
    database = Database()
    add, of = database.add, database.of
    expected = {1: None, 2: None}
    add(1)
    add(2, photos=3)

    def wrong(number, reason, **fields):
        expected[number] = reason
        add(number, **fields)

    wrong(3, "ids: the pickle calls", ids=hostile(trace))
    wrong(4, "id is not 10 hex digits", ids="../../etc/x")
    wrong(5, "classes: a number below 1", classes=0)
    wrong(6, "ingrs: not ingredient ids terminated", ingrs=[2, 3])
    wrong(7, "ingrs: not ingredient ids terminated", ingrs=[2, 0, 1, 0])
    wrong(8, "ingrs: a value is not an integer", ingrs=[2.5, 1])
    wrong(9, "ingredient id outside the vocabulary", ingrs=[7, 1])
    wrong(10, "20 ingredient ids or more", ingrs=[*[2] * 19, 1])
    wrong(11, "20 instructions or more", sentences=20)
    wrong(12, "numims: str instead of numbers", numims="one")
    wrong(13, "impos: fewer positions", numims=6)
    wrong(14, "no photo listed in numims", photos=0)
    wrong(15, "none of its photos", impos=[999])
    wrong(16, "none of its photos", impos=[0])
    wrong(17, "classes: the pickle cannot be read", classes=Pickled(b"\x80\x03"))
    wrong(18, "class without a name", class_id=3)
    wrong(19, "listed in remove1M.txt")
    wrong(20, "id appears a second time", ids=recipe_id(1))
    wrong(21, "impos: the pickle calls", impos=hostile(trace))
    wrong(22, "rlens: a number below 0", rlens=-1)
    wrong(23, "none of its photos")
    wrong(24, "classes: a record is missing")
    wrong(26, "none of its photos")
    train = of["train"]
    numbers = {recipe: at for at, recipe in enumerate(expected)}
    del train["classes"][numbers[24]]
    train["ims"][train["impos"][numbers[23]][0] - 1] = hostile(trace)
    second, third = train["impos"][numbers[2]][1:3]
    train["ims"][second - 1] = Pickled(pickle.dumps(picture())[:-500])
    train["imnames"][third - 1] = None
    wrong_name = "x/cfd8\0000000.jpg"
    train["imnames"][train["impos"][numbers[26]][0] - 1] = wrong_name
    return database, expected


def number_of(row):
    """The recipe that a line of `dropped.tsv` tells of: an unusable record is called by its number."""
    if row[2] == "-":
        return int(row[4].split()[1]) + 1
    return 20 if row[3] == "id appears a second time" else int(row[2], 16)


def test_what_cannot_be_used_is_left_out_and_named_and_nothing_runs(tmp_path, capsys):
    trace = tmp_path / "trace"
    database, expected = messy(trace)
    source = database.write(write_vocabulary(tmp_path / "source"))
    (source / "classes1M.pkl").write_bytes(pickle.dumps({recipe_id(1): 1}, 2) + pickle.dumps(NAMES, 2))
    (source / "remove1M.txt").write_text(f"{recipe_id(2)}\n{recipe_id(19)}\n")
    place = build(source, tmp_path / "out")
    assert not trace.exists()
    assert set(records_of(place)) == {recipe_id(1), recipe_id(2)}
    assert records_of(place)[recipe_id(2)]["image_ids"] == [photo_id(200).encode()]
    rows = [line.split("\t") for line in (place / "dropped.tsv").read_text().splitlines()]
    left_out = [row for row in rows if row[0] == "recipe"]
    wanted = {number: reason for number, reason in expected.items() if reason}
    assert len(left_out) == len(wanted)
    for row in left_out:
        assert row[3].startswith(wanted[number_of(row)]), row
    photo_rows = {row[2]: row[3] for row in rows if row[0] == "photo"}
    assert photo_rows[photo_id(201)].startswith("the pickle cannot be read")
    assert photo_rows[photo_id(2300)].startswith("the pickle calls os.system, which is refused")
    assert any(problem.startswith("imnames: ") for problem in photo_rows.values())
    assert {"place 999", "place 0"} < set(photo_rows)
    report = json.loads((place / "report.json").read_text())
    assert report["records"]["all"] == len(expected)
    assert "1 recipes have another class in the file of classes; it is ignored" in report["notes"]
    capsys.readouterr()
    assert run("check", "--source", source) == 0
    printed = capsys.readouterr().out
    assert "records in data_lmdb" in printed
    for reason, group in report["dropped"].items():
        assert f"{reason}: {group['first'][0]}" in printed
