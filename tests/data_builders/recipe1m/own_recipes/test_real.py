"""Real recipes, written out as JSON Lines and imported again, are the same in the converted collection."""

import json
import os
from pathlib import Path

import pytest

from tests.data_builders.recipe1m.collection import read_records
from tests.data_builders.recipe1m.own_recipes.own import run_import, texts, write_lines
from tests.data_builders.recipe1m.planted import run

REAL = Path(os.environ.get("ADAMINE_REAL_DATA") or Path(__file__).resolve().parents[4] / ".." / "shared")
VECTORS = ("--word-epochs", "1", "--word-dim", "8", "--unknown-ingredients", "words")


def exported(source: Path, folder: Path) -> Path:
    """A download as JSON Lines, its photos linked beside it."""
    images = {record["id"]: record["images"] for record in json.loads((source / "layer2.json").read_text())}
    detected = {record["id"]: record["ingredients"] for record in json.loads((source / "det_ingrs.json").read_text())}
    records = []
    for record in json.loads((source / "layer1.json").read_text(encoding="utf-8")):
        places = [
            "/".join((record["partition"], *image["id"][:4], image["id"])) for image in images.get(record["id"], [])
        ]
        lists = {"ingredients": texts(record["ingredients"]), "instructions": texts(record["instructions"])}
        names = {"ingredient_names": texts(detected[record["id"]])}
        records.append(record | lists | names | {"images": [f"images/{place}" for place in places]})
    folder.mkdir()
    (folder / "images").symlink_to(source / "images")
    return write_lines(folder / "recipes.jsonl", records)


NAMES = 7  # where the ingredients' names stand in what `collection` gives


def collection(place: Path) -> dict[str, list]:
    """What training reads of each recipe but the names of its photos."""
    place = place / "recipe1m" / "1.0.0"
    words = ["", "</i>", *(place / "words.txt").read_text(encoding="utf-8").split("\n")]
    classes = json.loads((place / "classes.json").read_text())
    found = {}
    for partition in ("train", "val", "test"):
        for record in read_records(place, partition):
            found[record["id"][0].decode()] = [
                partition,
                record["title"][0].strip(),  # blanks at its ends are taken away
                record["url"],
                *([b" ".join(line.split()) for line in record[field]] for field in ("ingredients", "instructions")),
                *(record[field] for field in ("images", "sentence_lengths")),
                [words[word] for word in record["ingredient_ids"]],
                classes[record["class_id"][0]],
            ]
    return found


@pytest.mark.parametrize("name", ["real_recipes", "real_drinks"])
def test_real_recipes_come_through_unchanged(name, tmp_path, capsys):
    source = REAL / name
    if not source.is_dir():
        pytest.skip("the real collections are not here")
    path = exported(source, tmp_path / "own")
    assert run_import(path, tmp_path / "download", "--allow-outside") == 0
    printed = capsys.readouterr().out
    number = len(path.read_text(encoding="utf-8").splitlines())
    assert f"read {number} records; wrote {number} recipes" in printed
    assert "records left out" not in printed
    assert "photos left out" not in printed
    for download, data in ((source, "there"), (tmp_path / "download", "back")):
        assert run("--source", download, "--out", tmp_path / data, *VECTORS) == 0
    there, back = collection(tmp_path / "there"), collection(tmp_path / "back")
    assert len(there) > 100
    # Where no name at all was detected, none was given, and the rule found some.
    for record in json.loads((source / "det_ingrs.json").read_text(encoding="utf-8")):
        if record["id"] in there and not any(texts(record["ingredients"])):
            there[record["id"]][NAMES] = back[record["id"]][NAMES] = []
    for changed in ("b25fce69a4", "5a1326b825"):  # a tag in a step, and steps with numbers
        there.pop(changed, None)
        back.pop(changed, None)
    assert back == there
