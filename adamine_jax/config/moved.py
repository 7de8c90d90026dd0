"""Renamed fields of earlier configurations."""

from typing import Any

MOVED = {
    f"model.{name}": f"model.recipe.{name}"
    for name in (
        "ingredients",
        "instructions",
        "sentence_dim",
        "max_sentences",
        "max_words",
        "word_dim",
        "word_norm",
        "word_vectors",
        "ingredient_hidden",
        "sentence_hidden",
        "instruction_hidden",
        "forget_bias",
        "instruction_lstm_over_padding",
    )
}
"""Old dotted name -> new dotted name."""

_DROPPED = {"resnet": ("feature_dim",), "features": ("depth", "width", "weights")}
"""Fields of `model.image` in earlier configurations that the tower of this name does not have."""


def updated(stored: dict[str, Any]) -> dict[str, Any]:
    """Converts the content of an earlier version's `config.json`; the current format is returned unchanged."""
    model = dict(stored["model"])
    if "recipe" in model:
        return stored
    tower = "features" if model["image"].get("feature_dim") else "resnet"
    image = {name: value for name, value in model["image"].items() if name not in _DROPPED[tower]}
    moved = [old.removeprefix("model.") for old in MOVED]
    recipe = {name: model.pop(name) for name in moved if name in model}
    return {**stored, "model": {**model, "image": image | {"name": tower}, "recipe": {"name": "lstm"} | recipe}}
