"""Small files of recipes for the tests of readers."""

import base64
import gzip
import io
import json
import zipfile

from tests.data_builders.recipe1m.own_recipes.own import jpeg

PIE = ("Pie", ["200 g flour", "2 eggs, beaten"], ["Mix the flour.", "Bake it."])


LINKED = {"@type": "Recipe", "name": "Pie", "recipeIngredient": PIE[1], "recipeInstructions": PIE[2]}


def whole(recipe):
    return recipe.title, recipe.ingredients, recipe.instructions


def written(tmp_path, name, data):
    path = tmp_path / "files" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def zipped(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def page(image):
    return f'<html><script type="application/ld+json">{json.dumps(LINKED | {"image": image})}</script></html>'


def paprika(name="Pie"):
    recipe = {"name": name, "ingredients": "200 g flour\n2 eggs, beaten", "directions": "Mix the flour.\n\nBake it.",
              "categories": ["Cakes"], "uid": "AB-1", "photo_data": base64.b64encode(jpeg(1)).decode()}  # fmt: skip
    return gzip.compress(json.dumps(recipe).encode())
