"""Exports of recipe managers, and other archives."""

import gzip
import json
from pathlib import Path

import pytest

from adamine_jax.base.errors import UserError
from data_builders.recipe1m.own_recipes.command import main
from tests.data_builders.recipe1m.own_recipes.own import jpeg
from tests.formats.files import PIE, paprika, whole, written, zipped


def test_paprika(read, tmp_path):
    (recipe,) = read(written(tmp_path, "all.paprikarecipes", zipped({"Pie.paprikarecipe": paprika()})))
    assert whole(recipe) == PIE
    assert Path(recipe.photos[0]).read_bytes() == jpeg(1)
    (alone,) = read(written(tmp_path, "Pie.paprikarecipe", paprika()))
    assert whole(alone) == PIE


def test_tandoor(read, tmp_path):
    steps = [
        {"instruction": "Mix the flour.", "ingredients": [
            {"food": {"name": "Dough"}, "unit": None, "amount": 0, "note": "", "is_header": True, "no_amount": False},
            {"food": {"name": "flour"}, "unit": {"name": "g"}, "amount": 200.0, "note": "", "is_header": False}]},
        {"instruction": "Bake it.", "ingredients": [
            {"food": {"name": "eggs"}, "unit": None, "amount": 2.0, "note": "beaten", "no_amount": False}]},
    ]  # fmt: skip
    recipe = zipped({"recipe.json": json.dumps({"name": "Pie", "steps": steps, "keywords": []}), "image.jpg": jpeg(2)})
    (found,) = read(written(tmp_path, "export.zip", zipped({"1.zip": recipe})))
    assert whole(found) == PIE
    assert (found.folder / found.photos_beside[0]).read_bytes() == jpeg(2)


def test_a_backup_of_mealie(read, tmp_path):
    key = "0123456789abcdef0123456789abcdef"
    tables = {
        "recipes": [{"id": key, "name": "Pie", "image": "x", "org_url": None}],
        "recipes_ingredients": [
            {"recipe_id": key, "position": 1, "quantity": 2, "food_id": "e", "unit_id": None, "note": "beaten"},
            {"recipe_id": key, "position": 0, "quantity": 200, "food_id": "f", "unit_id": "g", "note": ""},
        ],
        "recipe_instructions": [
            {"recipe_id": key, "position": 0, "title": "Dough", "text": "Mix the flour."},
            {"recipe_id": key, "position": 1, "text": "Bake it."},
        ],
        "ingredient_foods": [{"id": "f", "name": "flour"}, {"id": "e", "name": "eggs"}],
        "ingredient_units": [{"id": "g", "name": "g"}],
    }
    photo = "data/recipes/01234567-89ab-cdef-0123-456789abcdef/images/original.webp"
    (recipe,) = read(written(tmp_path, "backup.zip", zipped({"database.json": json.dumps(tables), photo: jpeg(3)})))
    assert whole(recipe) == PIE
    assert photo in recipe.photos
    assert (recipe.folder / photo).is_file()


def test_nextcloud(read, tmp_path):
    values = {"@type": "Recipe", "name": "Pie", "image": "/apps/cookbook/1", "recipeIngredient": PIE[1],
              "recipeInstructions": PIE[2]}  # fmt: skip
    written(tmp_path, "Pie/recipe.json", json.dumps(values))
    written(tmp_path, "Pie/full.jpg", jpeg(4))
    (recipe,) = read(tmp_path / "files")
    assert (whole(recipe), recipe.photos_beside) == (PIE, ("full.jpg",))


def test_photos_of_an_archive_are_named_without_the_temporary_folder(tmp_path):
    path = written(tmp_path, "all.paprikarecipes", zipped({"Pie.paprikarecipe": paprika()}))
    assert main(["--from", str(path), "--out", str(tmp_path / "out"), "--splits", "1,0,0"]) == 0
    assert json.loads((tmp_path / "out/layer2.json").read_text())[0]["images"][0]["url"] == "AB-1_0"


def test_photos_of_an_archive_are_found_in_it_alone(tmp_path):
    table = "Title,Ingredients,Instructions,Image_Name\nPie,\"['flour', 'egg']\",Mix. Bake.,pie-abc\n"
    archive = zipped({"recipes.csv": table, "Food Images/Food Images/pie-abc.jpg": jpeg(1)})
    path = written(tmp_path, "kaggle.zip", archive)
    written(tmp_path, "other/pie-abc.jpg", jpeg(2))
    assert main(["--from", str(path), "--out", str(tmp_path / "out"), "--splits", "1,0,0"]) == 0
    (photo,) = (tmp_path / "out" / "images").rglob("*.jpg")
    assert photo.read_bytes() == jpeg(1)


def test_names_with_colons_and_double_dashes(read, tmp_path):
    (recipe,) = read(written(tmp_path, "a.paprikarecipes", zipped({"Soup: the best.paprikarecipe": paprika("Soup")})))
    assert recipe.title == "Soup"
    (recipe,) = read(written(tmp_path, "a.cook", "Serve at 10--15 degrees with @milk{}."))
    assert (recipe.ingredients, recipe.instructions) == (["milk"], ["Serve at 10--15 degrees with milk."])


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"../a.json": "{}"}, "outside of the archive"),
        ({"/etc/a.json": "{}"}, "outside of the archive"),
        ({"a/..\\..\\b.json": "{}"}, "outside of the archive"),
        ({"a.json": b" " * 50_000_000}, "more than 100 times as large"),
        ({"a.zip": zipped({"../b.json": "{}"})}, "outside of the archive"),
        ({"a.zip": zipped({f"{n}.json": bytes(10_000_000) for n in range(20)})}, "more than 100 times as large"),
    ],
)
def test_dangerous_archives_are_refused(read, tmp_path, members, message):
    with pytest.raises(UserError, match=rf"a\.zip: .*{message}"):
        read(written(tmp_path, "a.zip", zipped(members)))
    assert not (tmp_path / "b.json").exists()


def test_a_bomb_in_paprika_is_refused(read, tmp_path, monkeypatch):
    monkeypatch.setattr("adamine_jax.formats.archives.MAX_RECIPE", 1000)
    data = gzip.compress(b" " * 5000)
    with pytest.raises(UserError, match="more than"):
        read(written(tmp_path, "a.paprikarecipe", data))
