"""Conversion of configurations to and from `config.json`, and their differences."""

import json
from typing import Any

import ml_collections

from adamine_jax.config.moved import updated
from adamine_jax.config.presets import flatten, known_fields

MAY_CHANGE = (
    "epochs",
    "data.dir",
    "data.image_features",
    "data.sentence_vectors",
    "data.recipe_features",
    "data.max_damaged",
    "checkpoint.",
    "mesh.",
    "train.log_every_steps",
    "train.nonfinite_streak",
    "eval.",
    "evals",
    "model.image.weights",
    "model.recipe.weights",
    "model.recipe.vocabulary",
)
"""Fields and prefixes that may change when a run resumes, because they do not affect the steps already taken.

The number of epochs does affect them if the learning rate decays."""


def differences(config: ml_collections.ConfigDict, stored: dict[str, Any]) -> list[str]:
    """Lists the differences between a run and its workdir's configuration, except for fields that may change.

    Args:
        config: Configuration of the run.
        stored: Flattened configuration of the workdir.

    Returns:
        `field (stored → given)` for each difference.
    """
    given, changed = flatten(config), []
    for field in sorted(given.keys() | stored.keys()):
        decays = field == "epochs" and (config.optim.decay_epochs or config.optim.decay_steps)
        if stored.get(field) != given.get(field) and (decays or not field.startswith(MAY_CHANGE)):
            reason = ", which determines the decay of the learning rate" if decays else ""
            changed.append(f"{field} ({stored.get(field)!r} → {given.get(field)!r}{reason})")
    return changed


def to_json(config: ml_collections.ConfigDict) -> str:
    """Returns the content of `config.json`."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n"


def from_dict(stored: dict[str, Any]) -> ml_collections.ConfigDict:
    """Restores a configuration, with its tuples, from the parsed `config.json` of this or an earlier version.

    Fields that the earlier version did not have get their defaults, which are the former behaviour.
    """
    config = ml_collections.ConfigDict(_with_tuples(updated(stored)))
    present = flatten(config)
    for field, value in known_fields(config).items():
        if field not in present and not field.startswith("loss."):  # `losses.build` completes its section
            section: Any = config
            *path, name = field.split(".")
            for part in path:
                if part not in section:
                    section[part] = ml_collections.ConfigDict()
                section = section[part]
            section[name] = _with_tuples(value)
    return config


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_tuples(inner) for name, inner in value.items()}
    return tuple(value) if isinstance(value, list) else value
