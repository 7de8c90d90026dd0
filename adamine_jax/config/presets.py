"""Presets, and the sections of the configuration that select towers and losses."""

from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_collections

from adamine_jax.base.errors import UserError
from adamine_jax.losses import registry as losses
from adamine_jax.models import registry as towers

Config = ml_collections.ConfigDict

_PACKAGE = Path(__file__).parents[1]
PRESETS = next((folder for folder in (_PACKAGE / "presets", _PACKAGE.parent / "configs") if folder.is_dir()), Path())
"""Folder of the presets: inside the installed package, or `configs/` of a checkout."""


def preset(name: str, variant: str = "") -> Config:
    """Returns the configuration of a preset.

    Args:
        name: Name of a file of `configs/`, without its suffix.
        variant: See `with_variant`.

    Raises:
        UserError: The preset does not exist.
    """
    if not (PRESETS / f"{name}.py").is_file():
        names = sorted(path.stem for path in PRESETS.glob("[!_]*.py"))
        raise UserError(f"{name!r}: no such preset; choose {', '.join(names)}")
    loader = SourceFileLoader(f"adamine_jax.presets.{name}", str(PRESETS / f"{name}.py"))
    module = ModuleType(loader.name)
    loader.exec_module(module)
    return module.get_config(variant)


def known_fields(config: Config) -> dict[str, Any]:
    """Returns all fields by dotted name with their defaults, including those of the configured towers and loss."""
    known = preset("adamine")
    for modality in towers.TOWERS:
        known.model[modality] = towers.section(modality, config.model[modality].name)
    known.loss = losses.section(config.loss.name)
    return flatten(known)


def flatten(config: Config) -> dict[str, Any]:
    """Returns the fields by dotted name, with tuples as lists, like in JSON."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, Config):
            flat |= {f"{key}.{name}": inner for name, inner in flatten(value).items()}
        else:
            flat[key] = _as_lists(value)
    return flat


def _as_lists(value: Any) -> Any:
    return [_as_lists(item) for item in value] if isinstance(value, tuple | list) else value


def set_tower(config: Config, modality: str, name: str) -> None:
    """Replaces the section of a tower by the defaults of another tower.

    Args:
        config: Configuration, modified in place.
        modality: 'image' or 'recipe'.
        name: Name of the tower, or `package.module:Name`.

    Raises:
        UserError: The tower does not exist.
    """
    config.model[modality] = towers.section(modality, name)


def set_loss(config: Config, losses_: str | Sequence[tuple[str, float]]) -> None:
    """Replaces the section of the loss.

    Args:
        config: Configuration, modified in place.
        losses_: Name of a loss, or `package.module:Name`; or a list of (name, weight), for a weighted sum.

    Raises:
        UserError: The loss does not exist.
    """
    if isinstance(losses_, str):
        config.loss = losses.section(losses_)
        return
    config.loss = losses.section("weighted_sum")
    for name, weight in losses_:
        term = name.rpartition(":")[2]
        if term in config.loss.terms:
            raise UserError(f"the weighted list of losses contains {term} twice; give each loss one weight")
        config.loss.terms[term] = losses.section(name)
        config.loss.weights[term] = float(weight)


def with_variant(config: Config, variant: str) -> Config:
    """Applies the towers and the loss of a variant.

    Args:
        config: Configuration of a preset, modified in place.
        variant: Text after the colon of `--config FILE:VARIANT`: any of "image=features,recipe=lstm,loss=triplet". A
            weighted sum of losses is written "loss=triplet+0.5*package.module:Name".

    Returns:
        The configuration.

    Raises:
        UserError: The variant is malformed, or names an unknown tower or loss.
    """
    for item in filter(None, variant.split(",")):
        part, equals, name = item.partition("=")
        if part not in ("image", "recipe", "loss") or not equals or not name:
            raise UserError(f"--config …:{variant}: must be image=NAME, recipe=NAME, loss=NAME, separated by commas")
        if part != "loss":
            set_tower(config, part, name)
        elif "+" not in name and "*" not in name:
            set_loss(config, name)
        else:
            set_loss(config, [_weighted(term, variant) for term in name.split("+")])
    return config


def split_variant(variant: str, default: str = "adamine") -> tuple[str, str]:
    """Splits a variant like "vse_pp,image=features" into the base preset, `default` if not given, and the rest."""
    items = [item for item in variant.split(",") if item]
    bases = [item for item in items if "=" not in item]
    if len(bases) > 1:
        raise UserError(f"--config …:{variant}: names {len(bases)} presets, {' and '.join(bases)}; give at most one")
    return (bases or [default])[0], ",".join(item for item in items if "=" in item)


def _weighted(term: str, variant: str) -> tuple[str, float]:
    weight, times, name = term.rpartition("*")
    try:
        return name, float(weight) if times else 1.0
    except ValueError:
        raise UserError(f"--config …:{variant}: {weight!r} is not a number; must be WEIGHT*NAME") from None
