"""Recipes of schema.org in JSON-LD, the form that most recipe pages contain."""

import re
from typing import Any

from adamine_jax.recipes.fields import known_fields


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
    places: dict[str, int] = {}
    for recipe in recipes:
        keys = [f"{key} {value}" for key in ("@id", "name") if isinstance(value := recipe.get(key), str) and value]
        place = next((places[key] for key in keys if key in places), None)
        if place is None:
            place = len(merged)
            merged.append(recipe)
        elif _complement(merged[place], recipe):
            merged[place] = recipe | merged[place]
        else:
            place = len(merged)
            merged.append(recipe)
        places |= dict.fromkeys(keys, place)
    return merged


def _complement(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two nodes are parts or copies of one recipe: neither contradicts the ingredients of the other."""
    first, second = (known_fields(node).get("ingredients") for node in (one, other))
    return first is None or second is None or first == second


def _with_images(recipe: dict[str, Any], images: dict[str, dict]) -> dict[str, Any]:
    def resolved(value: Any) -> Any:
        identity = value.get("@id") if isinstance(value, dict) and len(value) == 1 else None
        return images.get(identity, value) if isinstance(identity, str) else value

    value = recipe.get("image")
    return recipe | {"image": [resolved(item) for item in value] if isinstance(value, list) else resolved(value)}
