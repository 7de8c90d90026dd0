"""What an import writes and says, from each format, with planted mess."""

import hashlib
import io
import json
import pickle
import random
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from data_builders.recipe1m.legacy.unpickling import load_classes
from tests.data_builders.recipe1m.collection import read_records
from tests.data_builders.recipe1m.download import jpeg
from tests.data_builders.recipe1m.own_recipes.own import (
    Imported,
    linked,
    page,
    recipe,
    run_import,
    texts,
    write_lines,
    write_list,
    write_pages,
    write_photos,
    write_sheet,
)
from tests.data_builders.recipe1m.planted import FEW_WORDS, run

NUMBERS = range(20)
FORMATS = {
    "lines": lambda folder, records: write_lines(folder / "own.jsonl", records),
    "ndjson": lambda folder, records: write_lines(folder / "own.NDJSON", records),
    "list": lambda folder, records: write_list(folder / "own.json", records),
    "csv": lambda folder, records: write_sheet(folder / "own.csv", records),
    "excel": lambda folder, records: write_sheet(folder / "own.csv", records, delimiter=";", encoding="utf-8-sig"),
    "tsv": lambda folder, records: write_sheet(folder / "own.tsv", records, delimiter="\t"),
    "pages": write_pages,
}


@pytest.fixture
def folder(tmp_path):
    """The folder of a person's recipes, with photos."""
    write_photos(tmp_path / "own", *NUMBERS)
    return tmp_path / "own"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "download"


@pytest.mark.parametrize("kind", FORMATS)
def test_each_format_gives_the_same_download(folder, out, capsys, kind):
    records = [recipe(number) for number in NUMBERS]
    assert run_import(FORMATS[kind](folder, records), out) == 0
    found = Imported(out)
    assert found.recipes.keys() == {record["title"] for record in records}
    for number, record in enumerate(records):
        written = found.recipes[record["title"]]
        assert texts(written["ingredients"]) == record["ingredients"]
        assert texts(written["instructions"]) == record["instructions"]
        canonical = [
            record["title"].lower(),
            *([line.lower() for line in record[f]] for f in ("ingredients", "instructions")),
        ]
        assert written["id"] == hashlib.sha256(json.dumps(canonical).encode()).hexdigest()[:10]
        assert found.names[written["id"]] == [("flour", True), ("salt", True)]
        assert found.photos[written["id"]] == [jpeg(number)]
    for record in found.layer("layer2"):
        for image in record["images"]:
            number = int(image["url"].removeprefix("photos/").removesuffix(".jpg"))
            assert image["id"] == f"{hashlib.sha256(jpeg(number)).hexdigest()[:10]}.jpg"
    assert {record["partition"] for record in found.layer("layer1")} == {"train", "val", "test"}
    printed = capsys.readouterr().out
    assert "read 20 records; wrote 20 recipes, 20 of them with a photo" in printed
    assert "ingredient lines: 40; 40 with a name" in printed
    assert "'10 cups flour, sifted' -> 'flour'" in printed
    assert printed.splitlines()[-1].endswith(
        "--word-min-count 1 --word-dim 100 --unknown-ingredients words --class-min-train 1"
    )
    assert not list(out.parent.glob(".*"))


def test_what_was_imported_can_be_converted(folder, out, tmp_path, capsys):
    source = write_sheet(folder / "own.csv", [recipe(number) | {"class": f"kind {number % 2}"} for number in NUMBERS])
    assert run_import(source, out) == 0
    command = capsys.readouterr().out.splitlines()[-1]
    assert "--class-min-train" not in command
    assert command.startswith("next: python -m data_builders.recipe1m --source ")
    arguments = command.split()[4:]
    arguments[arguments.index("data")] = str(tmp_path / "data")
    arguments[arguments.index("100")] = "8"
    assert run(*arguments, "--word-epochs", "1") == 0
    place = tmp_path / "data" / "recipe1m" / "1.0.0"
    assert json.loads((place / "classes.json").read_text()) == ["background", "kind 0", "kind 1"]
    records = [record for partition in ("train", "val", "test") for record in read_records(place, partition)]
    assert len(records) == 20
    for record in records:
        number = int(record["title"][0].split()[1])
        assert record["class_id"] == [number % 2 + 1]
        assert record["ingredient_names"] == [b"flour", b"salt"]
        sizes = {Image.open(io.BytesIO(data)).size for data in record["images"]}
        assert sizes == {(64, 48)}


def test_the_order_of_the_records_makes_no_difference(folder, tmp_path):
    records = [recipe(number) for number in NUMBERS]
    records += [recipe(3, images=["photos/4.jpg"]), recipe(5, id="00000000AA"), recipe(6, id="00000000aa", title="x")]
    shuffled = random.Random(1).sample(records, len(records))
    found = []
    for name, order in (("a", records), ("b", shuffled)):
        assert run_import(write_lines(folder / f"{name}.jsonl", order), tmp_path / name) == 0
        layers = [Imported(tmp_path / name).layer(layer) for layer in ("layer1", "layer2", "det_ingrs")]
        files = {path.relative_to(tmp_path / name) for path in (tmp_path / name / "images").rglob("*.jpg")}
        found.append(([sorted(layer, key=lambda record: record["id"]) for layer in layers], files))
    assert found[0] == found[1]


def test_two_imports_give_the_same_bytes(folder, out, tmp_path):
    source = write_lines(folder / "own.jsonl", [recipe(number, **{"class": str(number % 3)}) for number in NUMBERS])
    assert run_import(source, out) == 0
    # In another process, where hashes and addresses differ.
    command = [sys.executable, "-m", "data_builders.recipe1m", "import", "--from", source, "--out", tmp_path / "again"]
    subprocess.run([*command, "--workers", "1"], check=True, cwd=Path(__file__).parents[4], capture_output=True)
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) == 20 + 6
    for path in files:
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(out)).read_bytes(), path


def test_planted_mess_is_left_out_and_named(folder, out, capsys):
    (folder / "photos" / "torn.jpg").write_bytes(jpeg(50, (300, 300))[:-500])
    records = [
        recipe(0),
        recipe(1, title=None, name=None),
        recipe(2, title=" "),
        recipe(3, ingredients=[], instructions=None),
        recipe(4, ingredients=["salt", {"amount": 5}]),
        recipe(5, partition="everything"),
        recipe(0),
        recipe(
            7, images=["photos/none.jpg", "photos/7.jpg", "photos/torn.jpg", "https://example.org/a.jpg", "../../a.jpg"]
        ),
        recipe(8, images=None, rating=5, Notes="x"),
        recipe(9, ingredients=["For the dough:", "2 cups", "1.", "1 pinch salt"]),
        recipe(10, instructions=["Stir."] * 20, ingredients=[f"{chr(97 + n)}{chr(98 + n)}x" for n in range(19)]),
        [],
    ]
    assert run_import(write_lines(folder / "own.jsonl", records), out) == 0
    found = Imported(out)
    assert found.recipes.keys() == {"Dish 0", "Dish 4", "Dish 7", "Dish 8", "Dish 9", "Dish 10"}
    reasons = {row[1]: row[2] for row in found.dropped() if row[0] == "recipe"}
    assert reasons == {
        "own.jsonl:2": "no title",
        "own.jsonl:3": "no title",
        "own.jsonl:4": "neither ingredients nor instructions",
        "own.jsonl:6": "partition is not train, val or test",
        "own.jsonl:7": "the same text and photos as another record",
        "own.jsonl:12": "the line is not an object",
    }
    assert [row[1:] for row in found.dropped() if row[0] == "part"] == [
        ["own.jsonl:5", "no text in ingredients", "{'amount': 5}"]]  # fmt: skip
    assert [row[3] for row in found.dropped() if row[0] == "photo"] == [
        "photos/none.jpg", "photos/torn.jpg", "https://example.org/a.jpg", "../../a.jpg"]  # fmt: skip
    assert found.photos[found.recipes["Dish 7"]["id"]] == [jpeg(7)]
    assert found.recipes["Dish 8"]["id"] not in found.photos
    assert found.names[found.recipes["Dish 9"]["id"]] == [("2 cups", False), ("salt", True)]
    printed = capsys.readouterr().out
    for line in (
        "read 12 records; wrote 6 recipes, 5 of them with a photo",
        "records left out: 6",
        "  2 no title: own.jsonl:2; own.jsonl:3",
        "photos: 5",
        "photos left out: 4",
        "  1 missing: photos/none.jpg of own.jsonl:8",
        "  1 links, which are not downloaded: https://example.org/a.jpg of own.jsonl:8",
        "unused columns: rating, Notes",
        "ingredient lines: 30; 27 with a name, 2 without (such as headings), 1 uncertain: 2 cups",
    ):
        assert line in printed.splitlines(), line
    assert "--max-instructions 0 --max-ingredients 0" in printed.splitlines()[-1]


def test_recipes_that_share_a_text_or_a_photo_share_a_partition(folder, out, capsys):
    records = [recipe(number) for number in NUMBERS[:12]]
    records += [recipe(number, title=f"Other {number}", images=[f"photos/{number}.jpg"]) for number in range(6)]
    records += [recipe(number, images=[f"photos/{number + 6}.jpg"]) for number in range(6, 12)]
    assert run_import(write_lines(folder / "own.jsonl", records), out) == 0
    found = Imported(out)
    layer1 = found.layer("layer1")
    assert len(layer1) == 24
    partitions = [record["partition"] for record in layer1]
    assert partitions[:6] == partitions[12:18]
    assert partitions[6:12] == partitions[18:24]
    assert len({record["id"] for record in layer1}) == 24
    printed = capsys.readouterr().out
    assert "groups of recipes with a common text or photo, each kept in one partition: 12; the largest has 2" in printed
    assert "replaced ids that another recipe has: 6 (" in printed


def test_a_photo_that_many_recipes_share_is_pointed_out(folder, out, capsys):
    source = write_lines(folder / "own.jsonl", [recipe(number, images=["photos/0.jpg"]) for number in NUMBERS])
    assert run_import(source, out) == 0
    assert len({record["partition"] for record in Imported(out).layer("layer1")}) == 1
    printed = capsys.readouterr().out
    assert "the largest has 20 recipes, including own.jsonl:1; is one of its photos a placeholder?" in printed
    assert "val has no recipe with a photo" in printed or "train has no recipe with a photo" in printed


def test_partitions_and_ids_that_are_given_are_kept(folder, out, capsys):
    records = [recipe(n, partition=("Train", "validation", "TEST")[n % 3], id=f"{n:010x}", url="u") for n in range(9)]
    records += [recipe(9, images=["photos/0.jpg"], partition="test", id="pie-9"), recipe(10, images=["photos/1.jpg"])]
    assert run_import(write_lines(folder / "own.jsonl", records), out) == 0
    layer1 = Imported(out).layer("layer1")
    assert [record["id"] for record in layer1[:9]] == [f"{n:010x}" for n in range(9)]
    assert [record["partition"] for record in layer1] == ["train", "val", "test"] * 3 + ["test", "val"]
    assert [record["url"] for record in layer1] == ["u"] * 9 + [""] * 2
    rows = [line.split("\t") for line in (out / "imported.tsv").read_text(encoding="utf-8").splitlines()]
    assert rows[9][:4] == [layer1[9]["id"], "test", "own.jsonl:10", "pie-9"]
    printed = capsys.readouterr().out
    assert "1 of these groups are split by their given partitions: a leak (own.jsonl:1)" in printed
    assert "replaced ids that are not 10 hexadecimal digits: 1; imported.tsv lists the new ones" in printed


def test_a_record_with_an_id_is_kept_and_its_repeat_without_one_is_not(folder, out):
    records = [recipe(1), recipe(1, id="00000000aa"), recipe(1, id="00000000ab"), recipe(1, id="00000000AA")]
    assert run_import(write_lines(folder / "own.jsonl", records), out) == 0
    assert [record["id"] for record in Imported(out).layer("layer1")] == ["00000000aa", "00000000ab"]


def test_shares_of_the_partitions(folder, out):
    source = write_lines(folder / "own.jsonl", [recipe(number) for number in NUMBERS])
    assert run_import(source, out, "--splits", "0,0,5") == 0
    assert {record["partition"] for record in Imported(out).layer("layer1")} == {"test"}


def test_classes_become_two_plain_pickles(folder, out, tmp_path):
    kinds = ["Soup", " soup ", "apple  Pie", None, "background"]
    records = [recipe(number, **{"class": kind}) for number, kind in enumerate(kinds)]
    source = write_lines(folder / "own.jsonl", records)
    assert run_import(source, out) == 0
    ids = {title: record["id"] for title, record in Imported(out).recipes.items()}
    names, classes = load_classes(out / "classes1M.pkl")
    assert names == ["background", "apple pie", "soup"]
    assert classes == {ids["Dish 0"]: 2, ids["Dish 1"]: 2, ids["Dish 2"]: 1, ids["Dish 4"]: 0}
    with (out / "classes1M.pkl").open("rb") as file:
        assert file.read(2) == b"\x80\x02"
        file.seek(0)
        assert (pickle.load(file), pickle.load(file)) == (classes, dict(enumerate(names)))
    assert run_import(source, tmp_path / "none", "--class-from", "none") == 0
    assert not (tmp_path / "none" / "classes1M.pkl").exists()
    assert run_import(write_lines(folder / "b.jsonl", [recipe(1)]), tmp_path / "b") == 0
    assert not (tmp_path / "b" / "classes1M.pkl").exists()


def test_given_names_are_kept(folder, out, capsys):
    records = [recipe(1, ingredient_names=["Plain Flour", "salt", None]), recipe(2, ingredient_names=[])]
    assert run_import(write_lines(folder / "own.jsonl", records), out) == 0
    found = Imported(out)
    assert found.names[found.recipes["Dish 1"]["id"]] == [("Plain Flour", True), ("salt", True)]
    assert found.names[found.recipes["Dish 2"]["id"]] == [("flour", True), ("salt", True)]
    assert "ingredient lines: 2;" in capsys.readouterr().out


def test_pages_of_a_site_with_their_photos(folder, out, capsys):
    cake = linked(recipe(1, images=["../photos/1.jpg"])) | {"recipeCategory": ["Dessert", "Cake"], "author": "x"}
    pie = linked(recipe(2, images=["https://example.org/2.jpg", "../photos/2.jpg"])) | {"recipeCategory": "Main, Pie"}
    (folder / "site").mkdir()
    (folder / "site" / "cake.html").write_text(page(cake, cake))
    (folder / "site" / "pie.html").write_text(page({"@graph": [pie]}))
    (folder / "index.html").write_text("<html></html>")
    assert run_import(folder, out) == 0
    assert load_classes(out / "classes1M.pkl")[0] == ["background", "dessert", "main"]
    found = Imported(out)
    assert found.photos[found.recipes["Dish 1"]["id"]] == [jpeg(1)]
    assert found.photos[found.recipes["Dish 2"]["id"]] == [jpeg(2)]
    printed = capsys.readouterr().out
    assert "read 2 records; wrote 2 recipes" in printed
    assert "files without a recipe: 1: index.html" in printed
    assert "columns" not in printed


def test_photos_of_other_formats_and_outside(folder, out, tmp_path):
    Image.new("RGB", (40, 30), "red").save(folder / "a.png")
    Image.new("L", (40, 30)).save(tmp_path / "b.webp")
    records = [recipe(0, images=["a.png", "../b.webp"]), *(recipe(n, partition="test") for n in range(1, 3))]
    source = write_lines(folder / "own.jsonl", [records[0] | {"partition": "train"}, *records[1:]])
    assert run_import(source, out, "--allow-outside", "--splits", "1,1,1") == 0
    found = Imported(out)
    identity = found.recipes["Dish 0"]["id"]
    assert found.photos[identity] == [(folder / "a.png").read_bytes(), (tmp_path / "b.webp").read_bytes()]
    assert run("--source", out, "--out", tmp_path / "data", *FEW_WORDS) == 0
    (record,) = read_records(tmp_path / "data" / "recipe1m" / "1.0.0", "train")
    assert len(record["images"]) == 2


def test_a_photo_that_a_recipe_lists_under_two_names_is_one(folder, out):
    (folder / "photos" / "copy.jpg").write_bytes(jpeg(1))
    source = write_lines(folder / "own.jsonl", [recipe(1, images=["photos/2.jpg", "photos/1.jpg", "photos/copy.jpg"])])
    assert run_import(source, out) == 0
    assert list(Imported(out).photos.values()) == [[jpeg(2), jpeg(1)]]


def test_odd_characters_arrive_in_the_collection(folder, out, tmp_path):
    title = 'Crème "brûlée" \u2028☕ 🍰\ud800 \\ \t\x01</script>'
    source = write_lines(folder / "own.jsonl", [recipe(n, title=f"{title}{n}", id=f"{n:010x}") for n in range(3)])
    assert run_import(source, out, "--splits", "1,0,0") == 0
    assert run("--source", out, "--out", tmp_path / "data", *FEW_WORDS) == 0
    records = read_records(tmp_path / "data" / "recipe1m" / "1.0.0", "train")
    assert {record["title"][0].decode() for record in records} == {
        f"{' '.join(title.replace(chr(0xD800), chr(0xFFFD)).split())}{n}" for n in range(3)
    }
