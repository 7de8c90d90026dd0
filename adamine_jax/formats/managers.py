"""Recipes as recipe managers export them in JSON, converted to the usual fields."""

import base64
import binascii
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from adamine_jax.formats.markdown import without_emphasis

_PAPRIKA_LINK = re.compile(r"\[(?:photo:[^\[\]]{0,200}|recipe:([^\[\]]{0,200}))\]")


def exported(document: Any) -> list[dict[str, Any]] | None:
    """Returns the recipes of a document of Tandoor or of a backup of Mealie; None for other documents."""
    if not isinstance(document, dict):
        return None
    if document.keys() >= {"recipes", "recipes_ingredients", "recipe_instructions"}:
        return list(_mealie_tables(document))
    steps = document.get("steps")
    steps = [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    if "name" in document and any("instruction" in step for step in steps):
        return [_tandoor(document, steps)]
    return None


def paprika(recipe: dict[str, Any], folder: Path | None) -> dict[str, Any]:
    """Returns a recipe of Paprika, with its photos written to `folder` unless that is None."""
    categories = recipe.get("categories")
    photos = [recipe.get("photo_data")]
    photos += [photo.get("data") for photo in _objects(recipe.get("photos"))]
    images = []
    for number, data in enumerate(photos):
        if isinstance(data, str) and data and folder is None:
            images.append("(in the file)")
        elif isinstance(data, str) and data and folder is not None:
            try:
                content = base64.b64decode(data, validate=False)
            except binascii.Error:
                continue
            path = folder / f"{re.sub(r'[^0-9A-Za-z-]', '', str(recipe.get('uid')))[:64]}_{number}"
            path.write_bytes(content)
            images.append(str(path))
    return {
        "title": recipe.get("name"),
        "ingredients": _unmarked(recipe.get("ingredients")),
        "instructions": _unmarked(recipe.get("directions")),
        "category": categories[0] if isinstance(categories, list) and categories else None,
        "url": recipe.get("source_url"),
        "images": images,
    }


def _unmarked(text: Any) -> Any:
    """Returns a text of Paprika without emphasis and photos; links to other recipes become their names."""
    return without_emphasis(_PAPRIKA_LINK.sub(r"\1", text)) if isinstance(text, str) else text


def _tandoor(recipe: dict[str, Any], steps: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns a recipe whose ingredients are in its steps."""
    found = [item for step in steps for item in _objects(step.get("ingredients"))]
    found = [item | ({"amount": None} if item.get("no_amount") else {}) for item in found if not item.get("is_header")]
    keywords = recipe.get("keywords")
    return {
        "title": recipe["name"],
        "ingredients": found,
        "instructions": "\n".join(str(step.get("instruction") or "") for step in steps),
        "category": keywords[0] if isinstance(keywords, list) and keywords else None,
        "url": recipe.get("source_url"),
        "image": recipe.get("image"),
    }


def _mealie_tables(tables: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yields the recipes of a database, whose tables refer to each other by id."""
    foods = {str(row.get("id")): row for row in _objects(tables.get("ingredient_foods"))}
    units = {str(row.get("id")): row for row in _objects(tables.get("ingredient_units"))}
    ingredients, steps = defaultdict(list), defaultdict(list)
    for row in sorted(_objects(tables.get("recipes_ingredients")), key=_position):
        joined = row | {"food": foods.get(str(row.get("food_id"))), "unit": units.get(str(row.get("unit_id")))}
        ingredients[str(row.get("recipe_id"))].append(joined | {"title": None})
    for row in sorted(_objects(tables.get("recipe_instructions")), key=_position):
        steps[str(row.get("recipe_id"))].append({"text": row.get("text")})
    for row in _objects(tables.get("recipes")):
        key = str(row.get("id"))
        dashed = key if "-" in key else f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}"
        yield {
            "title": row.get("name"),
            "ingredients": ingredients[key],
            "instructions": steps[key],
            "url": row.get("org_url"),
            "images": [f"data/recipes/{dashed}/images/original.webp"] if row.get("image") else [],
        }


def _objects(value: Any) -> list[dict[str, Any]]:
    """Returns the objects of a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _position(row: dict[str, Any]) -> float:
    position = row.get("position")
    return position if isinstance(position, int | float) else 0
