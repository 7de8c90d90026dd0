"""The configuration as `config.json` holds it, and how two of them differ."""

import json
from typing import Any

import ml_collections

from adamine_jax.config.moved import updated

MAY_CHANGE = (
    "epochs",
    "data.dir",
    "data.image_features",
    "data.sentence_vectors",
    "data.max_damaged",
    "checkpoint.",
    "train.log_every_steps",
    "train.nonfinite_streak",
    "eval.",
    "evals",
    "model.image.weights",
    "model.recipe.weights",
)
"""Fields that a resumed run may be given anew: they do not change what the steps already taken have computed. (The
number of epochs does, where the learning rate falls towards their end.)"""


def flatten(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """Returns the fields by their dotted names, tuples as lists, as JSON would give them back."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            flat |= {f"{key}.{name}": inner for name, inner in flatten(value).items()}
        else:
            flat[key] = list(value) if isinstance(value, tuple) else value
    return flat


def differences(config: ml_collections.ConfigDict, stored: dict[str, Any]) -> list[str]:
    """Names the fields in which a run differs from the one stored in its workdir, but for those that may change.

    Args:
        config: Of the run.
        stored: A flattened configuration, as `config.json` holds it.

    Returns:
        `field (stored → given)` for each of them.
    """
    given, changed = flatten(config), []
    for field in sorted(given.keys() | stored.keys()):
        decays = field == "epochs" and config.optim.decay_epochs
        if stored.get(field) != given.get(field) and (decays or not field.startswith(MAY_CHANGE)):
            reason = ", towards the end of which the learning rate falls" if decays else ""
            changed.append(f"{field} ({stored.get(field)!r} → {given.get(field)!r}{reason})")
    return changed


def to_json(config: ml_collections.ConfigDict) -> str:
    """Returns the nested configuration as `config.json` holds it."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n"


def from_dict(stored: dict[str, Any]) -> ml_collections.ConfigDict:
    """Reads what `to_json` wrote, here or in an older version, tuples being tuples again."""
    return ml_collections.ConfigDict({"evals": ("retrieval",), **_with_tuples(updated(stored))})


def _with_tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_tuples(inner) for name, inner in value.items()}
    return tuple(value) if isinstance(value, list) else value
