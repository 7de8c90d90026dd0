"""`import --check` shows what an import would read, and the import lists what has no photo."""

import json

from data_builders.recipe1m.own_recipes.command import main
from tests.data_builders.recipe1m.own_recipes.own import jpeg

NOTE = "# {}\n\n{}## Ingredients\n\n- 2 eggs, beaten\n\n## Steps\n\n1. Mix.\n"


def collection(folder):
    """Writes three notes, of which two have a photo, and a file with two recipes, of which one has."""
    folder.mkdir()
    for name, link in (("a", ""), ("b", "![](my pie.jpg)\n\n"), ("c", "")):
        (folder / f"{name}.md").write_text(NOTE.format(name, link))
    for seed, name in enumerate(("a.jpg", "my pie.jpg", "d.jpg")):
        (folder / name).write_bytes(jpeg(seed))
    recipes = [{"title": "d", "ingredients": ["salt"], "images": ["d.jpg"]}, {"title": "e", "ingredients": ["1 leek"]}]
    (folder / "z.jsonl").write_text("".join(json.dumps(recipe) + "\n" for recipe in recipes))
    return folder


def test_a_check_shows_each_kind_of_file_with_the_names_of_ingredients(tmp_path, capsys):
    assert main(["--check", "--from", str(collection(tmp_path / "mine"))]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if line[:1].isalnum() and line.endswith((" a", " b", " d"))] == [
        "a.md: a",
        "z.jsonl:1: d",
        "b.md: b",
    ]
    assert "    2 eggs, beaten → eggs" in printed
    assert "    a.jpg" in printed
    assert printed[-1].startswith("5 recipes could be imported (3 from .md, 2 from .jsonl), 3 with a photo.")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_import_lists_recipes_without_a_photo(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["--from", str(collection(tmp_path / "mine")), "--out", str(out)]) == 0
    assert "recipes without a photo: 2: c.md; z.jsonl:2" in capsys.readouterr().out
    rows = [line.split("\t") for line in (out / "dropped.tsv").read_text().splitlines()]
    assert rows == [
        ["no photo", where, "the recipe is kept", title] for where, title in (("c.md", "c"), ("z.jsonl:2", "e"))
    ]
