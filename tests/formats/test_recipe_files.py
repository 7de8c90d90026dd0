"""Recipes as queries and for galleries, and the values that records contain."""

import contextlib
import json

import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.formats.recipe_files import parsed, read_recipe, read_recipes
from adamine_jax.formats.registry import read_source
from adamine_jax.recipes.photos import photo_files
from data_builders.recipe1m.own_recipes.import_report import Report
from tests.data_builders.recipe1m.own_recipes.own import jpeg
from tests.formats.files import LINKED, whole, written


def test_queries_are_read_like_imports(tmp_path, read):
    linked = {"@type": "Recipe", "name": "Rice &amp; eggs", "recipeIngredient": ["<b>1 cup</b> rice"],
              "recipeInstructions": "<ol><li>Boil the rice.</li><li>Add &amp; stir.</li></ol>"}  # fmt: skip
    html = f'<script type="application/ld+json">{json.dumps(linked)}</script>'
    paths = [
        written(tmp_path, "a.json", json.dumps(linked)),
        written(tmp_path, "b.json", json.dumps([{"@graph": [{"@type": "WebSite"}, linked]}])),
        written(tmp_path, "c.jsonl", json.dumps(linked)),
        written(tmp_path, "d.html", f"<html>{html}</html>"),
        written(
            tmp_path, "e.md", "# Rice & eggs\n## Ingredients\n- 1 cup rice\n## Steps\n- Boil the rice.\n- Add & stir.\n"
        ),
    ]
    for path in paths:
        imported, query, (listed,) = read(path)[0], read_recipe(path), read_recipes(path)
        assert whole(imported) == ("Rice & eggs", ["1 cup rice"], ["Boil the rice.", "Add & stir."])
        for recipe in (query, listed):
            assert (recipe.title, list(recipe.ingredients), list(recipe.instructions)) == whole(imported)
    with pytest.raises(UserError, match=r"two\.json: contains 2 recipes; expected exactly one"):
        read_recipe(written(tmp_path, "two.json", json.dumps([linked, linked | {"name": "Other"}])))


INGREDIENTS = [
    ({"quantity": 0.5, "measure": "cup", "ingredient": "rice"}, "1/2 cup rice"),
    ({"amount": "2", "unit": "cups", "name": "rice", "notes": "washed"}, "2 cups rice, washed"),
    ({"qty": 1.3333333, "unit": {"name": "cup"}, "food": {"name": "rice"}}, "1 1/3 cup rice"),
    ({"display": "2 beets", "quantity": 2}, "2 beets"),
    ({"original_text": "1 tbsp oil", "display": "1 tablespoon oil"}, "1 tbsp oil"),
    ({"@type": "PropertyValue", "value": 3, "unitText": "dl", "name": "milk"}, "3 dl milk"),
    ({"amount": {"min": 1, "max": 2}, "unit": "kg", "name": "rice"}, "1-2 kg rice"),
    ({"name": "Dough", "ingredients": ["1 egg"]}, "1 egg"),
    ({"rice": "1 cup"}, "1 cup rice"),
    ({"Dough": ["1 egg"]}, "1 egg"),
    ({"name": "salt", "amount": None}, "salt"),
]


@pytest.mark.parametrize(("value", "line"), INGREDIENTS)
def test_ingredients_may_be_objects(value, line):
    assert list(parsed(json.dumps({"title": "Pie", "ingredients": [value, "x"]}), "r").ingredients) == [line, "x"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("3 red peppers, 2 small onions, salt", ["3 red peppers", "2 small onions", "salt"]),
        ("1 onion, finely chopped", ["1 onion, finely chopped"]),
        ("3 red peppers2 onions, chopped1 can tomatoes", ["3 red peppers", "2 onions, chopped", "1 can tomatoes"]),
        ("flour; sugar; 7up", ["flour", "sugar", "7up"]),
        ("- 1 egg\n▢ salt\n• oil", ["1 egg", "salt", "oil"]),
    ],
)
def test_ingredients_may_be_one_text(text, lines):
    assert list(parsed(json.dumps({"title": "Pie", "ingredients": text}), "r").ingredients) == lines


def test_texts_of_steps_that_list_their_ingredients():
    steps = [
        {"number": 1, "step": "Boil the beets.", "ingredients": [{"name": "beets"}]},
        {"text": "Eat.", "ingredients": ["5f"]},
    ]
    recipe = parsed(json.dumps({"title": "x", "ingredients": ["2 beets"], "instructions": steps}), "r")
    assert recipe.instructions == ("Boil the beets.", "Eat.")


def test_records_of_a_list_are_read_like_documents_and_none_is_lost(read, tmp_path):
    tandoor = {"name": "Soup", "steps": [{"instruction": "Boil.", "ingredients": [{"food": {"name": "beets"}}]}]}
    (soup,) = read(written(tmp_path, "a.json", json.dumps([tandoor])))
    assert whole(soup) == ("Soup", ["beets"], ["Boil."])
    latin = json.dumps([{"title": "Crème", "ingredients": ["œuf"]}], ensure_ascii=False).encode("cp1252")
    assert read(written(tmp_path, "b.json", latin))[0].title == "Crème"
    same = [LINKED, LINKED | {"recipeInstructions": ["Fry."]}, LINKED]
    assert len(read(written(tmp_path, "c.json", json.dumps({"@graph": same})))) == 2
    mixed = {"recipes": [LINKED, {"title": "Tart", "ingredients": ["egg"]}, {"title": "only"}]}
    report = Report(tmp_path / "report", skip_broken=False)
    with contextlib.closing(report):
        found = [entry.values for entry in read_source(written(tmp_path, "d.json", json.dumps(mixed)), report)]
    assert [values.get("title", values.get("name")) for values in found] == ["Pie", "Tart", "only"]


def test_galleries_of_a_folder_skip_what_is_broken(tmp_path):
    written(tmp_path, "a.json", "{")
    written(tmp_path, "b.json", json.dumps(LINKED))
    written(tmp_path, "c.jsonl", '{"url": "x"}\n{"title": "Tart"}\n')
    written(tmp_path, "d.md", "# About\n")
    said: list[str] = []
    assert [recipe.title for recipe in read_recipes(tmp_path / "files", said.append)] == ["Pie", "Tart"]
    assert [line.split(":")[0] for line in said] == ["a.json", "c.jsonl", "d.md"]
    assert all(line.endswith("; skipped") for line in said)
    with pytest.raises(UserError, match=r"a\.json: not JSON"):
        list(read_recipes(tmp_path / "files/a.json"))


def test_photos_are_recognised_by_their_content_or_suffix(tmp_path):
    for name in ("a.jfif", "b.jpe", "c.JPG", "d.pjpeg", "e", "f.avif", ".hidden"):
        written(tmp_path, name, jpeg(1))
    written(tmp_path, "notes", "no photo")
    written(tmp_path, "g.txt", jpeg(1))
    assert [path.name for path in photo_files(tmp_path / "files")] == [
        "a.jfif",
        "b.jpe",
        "c.JPG",
        "d.pjpeg",
        "e",
        "f.avif",
    ]
