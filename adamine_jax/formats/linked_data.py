"""Recipes of schema.org in JSON-LD, the form that most recipe pages contain."""

import re
from typing import Any

from adamine_jax.recipes.fields import known_fields
from adamine_jax.recipes.texts import PARTS

_COMPARED = 20
"""Maximum number of recipes with the same name or `@id` that a recipe is compared with."""


def linked_recipes(document: Any) -> list[dict[str, Any]]:
    """Returns the recipes at any depth of a JSON value, with their references to images resolved.

    Nodes with the same `@id` or name describe one recipe; fields that the first one lacks come from the others.
    """
    recipes: list[dict[str, Any]] = []
    images: dict[str, dict] = {}
    stack = [document]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack += reversed(node)
        elif isinstance(node, dict):
            is_recipe = is_a(node, "Recipe")
            if is_recipe:
                recipes.append(node)
            elif is_a(node, "ImageObject") and isinstance(node.get("@id"), str):
                images.setdefault(node["@id"], node)
            stack += [] if is_recipe else reversed(node.values())
    return [_with_images(recipe, images) for recipe in _merged(recipes)]


def is_a(node: dict[str, Any], kind: str) -> bool:
    """Whether a node has a type, such as "Recipe", with or without the address of the vocabulary."""
    types = node.get("@type")
    types = types if isinstance(types, list) else [types]
    return any(isinstance(name, str) and re.split(r"[/:#]", name)[-1] == kind for name in types)


def _merged(recipes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    merged: list[dict[str, Any]] = []
    places: dict[str, list[int]] = {}
    for recipe in recipes:
        keys = [f"{key} {value}" for key in ("@id", "name") if isinstance(value := recipe.get(key), str) and value]
        known = (place for key in keys for place in places.get(key, ())[-_COMPARED:])
        place = next((place for place in known if _complement(merged[place], recipe)), None)
        if place is None:
            place = len(merged)
            merged.append(recipe)
        merged[place] = recipe | merged[place]
        for key in keys:
            places.setdefault(key, []).append(place)
    return merged


def _complement(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two nodes are parts or copies of one recipe: what both have is the same."""
    first, second = (known_fields(node) for node in (one, other))
    return all(first.get(part, second.get(part)) == second.get(part, first.get(part)) for part in PARTS[1:])


def _with_images(recipe: dict[str, Any], images: dict[str, dict]) -> dict[str, Any]:
    def resolved(value: Any) -> Any:
        identity = value.get("@id") if isinstance(value, dict) and len(value) == 1 else None
        return images.get(identity, value) if isinstance(identity, str) else value

    value = recipe.get("image")
    return recipe | {"image": [resolved(item) for item in value] if isinstance(value, list) else resolved(value)}
