"""`adamine gallery`: recipes come and go by the documented commands."""

import json
import shutil

import pyarrow.parquet
import pytest

from adamine_jax import embed, search
from adamine_jax.gallery import duplicates, opening
from adamine_jax.gallery.__main__ import main
from adamine_jax.gallery.folder.store import Gallery
from tests.databases import at
from tests.small_collection import photo_file

RECIPE = {
    "title": "Lemon tart",
    "ingredients": ["2 lemons", "200 g flour"],
    "instructions": ["Mix the flour with the juice of the lemons and bake it in the oven."],
    "images": ["lemon tart.png"],
    "cuisine": "French",
    "keywords": "sweet, easy",
}


@pytest.fixture(scope="module")
def pairs(kitchen, tmp_path_factory):
    folder = tmp_path_factory.mktemp("command") / "g"
    assert embed.main(["--workdir", str(kitchen / "run"), "--split", "all", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def schema(kitchen, database):
    """The same gallery in PostgreSQL."""
    place = at(database, "command")
    assert embed.main(["--workdir", str(kitchen / "run"), "--split", "all", "--store", place]) == 0
    return place


@pytest.fixture
def folder(pairs, tmp_path):
    return shutil.copytree(pairs, tmp_path / "g")


@pytest.fixture
def run(kitchen, folder, capsys):
    """Runs a command and returns its exit status, output and errors."""

    def run(command, *flags):
        of_model = ["--workdir", str(kitchen / "run")] if command in ("add", "update") else []
        status = main([command, "--gallery", str(folder), *of_model, *map(str, flags)])
        return status, *capsys.readouterr()

    return run


def write(folder, *recipes):
    folder.mkdir(exist_ok=True)
    (folder / "lemon tart.png").write_bytes(photo_file(3))
    (folder / "new.jsonl").write_text("\n".join(map(json.dumps, recipes)))
    return folder / "new.jsonl"


def test_all_splits_are_in_one_gallery(pairs):
    gallery = Gallery(pairs)
    assert len(gallery) == 24 + 12 + 12
    assert len(set(gallery.ids.tolist())) == len(gallery)


def test_recipes_are_added_searched_updated_and_removed(run, kitchen, folder, tmp_path, capsys):
    source = write(tmp_path / "new", RECIPE, RECIPE | {"title": "No photo", "images": ["missing.png"]})
    status, out, err = run("add", "--recipes", source)
    assert (status, out) == (0, f"{folder}: 1 added; 49 items\n")
    assert "No photo: missing: missing.png" in err
    assert "No photo: no photo; a gallery of pairs needs one for each item; skipped" in err
    (row,) = [hit.row for hit in Gallery(folder).search_words("lemon tart", top=1)]
    item = Gallery(folder).item(row)
    assert (item.title, item.language) == ("Lemon tart", "en")
    assert item.tags == (("cuisine", "French"), ("keywords", "easy"), ("keywords", "sweet"))

    def found(*flags):
        command = ["--workdir", str(kitchen / "run"), "--gallery", str(folder), "--json", "--top", "100", *flags]
        assert search.main(command) == 0
        return [hit["title"] for hit in json.loads(capsys.readouterr().out)]

    assert found("--text", "lemon tart")[0] == "Lemon tart"
    assert found("--title", "Soup", "--in", "recipes", "--tag", "Cuisine=french") == ["Lemon tart"]
    assert "Lemon tart" not in found("--title", "Soup", "--in", "recipes", "--exclude", "lemon, wombat")
    assert found("--image", str(tmp_path / "new" / "lemon tart.png"), "--include", "lemon") == ["Lemon tart"]

    assert run("add", "--recipes", write(tmp_path / "new", RECIPE))[1] == f"{folder}: 0 added; 49 items\n"
    changed = write(tmp_path / "new", RECIPE | {"id": item.id, "title": "Lime tart"})
    assert run("update", "--recipes", changed)[1] == f"{folder}: 1 added or replaced; 49 items\n"
    status, out, err = run("remove", "--ids", f"{item.id},unknown")
    assert (status, out, err) == (0, f"{folder}: 1 removed; 48 items\n", "not in the gallery: unknown\n")
    assert found("--text", "tart") == []
    assert "the embeddings of 2 removed items are deleted" in run("compact")[1]
    assert run("verify")[1] == f"{folder}: 48 items, no damage found\n"


def test_stats_export_and_duplicates(run, folder, tmp_path):
    write(tmp_path / "new", RECIPE, RECIPE | {"id": "copy"})
    assert run("add", "--recipes", tmp_path / "new" / "new.jsonl")[0] == 0
    found = json.loads(run("stats", "--json", "--duplicates")[1])
    assert found["items"] == 50
    assert found["tags"] == {"cuisine": 1, "keywords": 2}
    gallery = Gallery(folder)
    assert ["copy" in group for group in found["duplicates"]].count(True) == 1
    assert found["duplicates"] == duplicates.groups(gallery)
    assert "items: 50\n" in run("stats")[1]
    assert run("export", "--out", tmp_path / "items.parquet")[0] == 0
    table = pyarrow.parquet.read_table(tmp_path / "items.parquet")
    assert table["id"].to_pylist() == gallery.ids.tolist()
    assert table["tags"].to_pylist()[-1] == [("cuisine", "French"), ("keywords", "easy"), ("keywords", "sweet")]
    assert table["recipe"].to_pylist()[3] == pytest.approx(gallery.embeddings("recipe")[3].tolist())


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["add", "--photos", "."], "a gallery of pairs; add to it with --recipes"),
        (["remove", "--ids-from", "missing.txt"], "--ids-from missing.txt: cannot be read"),
        (["add", "--recipes", "missing.jsonl"], "missing.jsonl: no such file or folder"),
    ],
)
def test_mistakes_are_one_line(run, folder, tmp_path, monkeypatch, command, message):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*command)
    assert (status, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert len(Gallery(folder)) == 48


def test_damage_is_found(run, folder):
    (folder / "photos" / "00000003.jpg").unlink()
    status, _, err = run("verify")
    assert status == 2
    assert "photos/00000003.jpg: cannot be read" in err


def test_the_commands_do_the_same_in_postgresql(kitchen, pairs, schema, tmp_path, capsys):
    workdir, name = ["--workdir", str(kitchen / "run")], opening.name_of(schema)

    def run(command, *flags):
        given = workdir if command in ("add", "update") else []
        assert main([command, "--store", schema, *given, *map(str, flags)]) == 0
        return capsys.readouterr().out

    def found(*flags):
        outputs = []
        for place in (("--store", schema), ("--gallery", str(pairs))):
            assert search.main([*workdir, *place, "--json", "--top", "9", *flags]) == 0
            outputs.append([(hit["id"], hit["title"], hit["tags"]) for hit in json.loads(capsys.readouterr().out)])
        return outputs

    for flags in (["--title", "Soup"], ["--title", "Soup", "--in", "recipes", "--exclude", "salt"]):
        one, two = found(*flags)
        assert one == two != []
    assert found("--text", Gallery(pairs).item(3).title)[0][0][0] == Gallery(pairs).item(3).id
    assert run("verify") == f"{name}: 48 items, no damage found\n"
    assert run("add", "--recipes", write(tmp_path / "new", RECIPE)) == f"{name}: 1 added; 49 items\n"
    assert found("--text", "lemon tart")[0][0][1] == "Lemon tart"
    stats = json.loads(run("stats", "--json"))
    assert (stats["items"], stats["tags"]) == (49, {"cuisine": 1, "keywords": 2})
    assert run("export", "--out", tmp_path / "items.parquet").endswith("49 items\n")
    assert set(pyarrow.parquet.read_table(tmp_path / "items.parquet")["id"].to_pylist()) > set(Gallery(pairs).ids)
    (identity,) = [hit[0] for hit in found("--text", "lemon tart")[0] if hit[1] == "Lemon tart"]
    assert run("remove", "--ids", identity) == f"{name}: 1 removed; 48 items\n"
    assert run("compact").startswith(f"{name}: the embeddings of ")
    assert search.main([*workdir, "--store", schema, "--title", "Soup", "--index"]) == 0
    assert "--index: not needed" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        search.main([*workdir, "--store", "mysql://x", "--title", "Soup"])
    assert "expected postgresql://USER@HOST/DATABASE?schema=NAME" in capsys.readouterr().err
