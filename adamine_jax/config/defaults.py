"""Sections of the configuration, and the parts that they choose: towers and losses."""

from collections.abc import Sequence
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import ml_collections

from adamine_jax.base.errors import UserError
from adamine_jax.losses import registry as losses
from adamine_jax.models import registry as towers

Config = ml_collections.ConfigDict

_PACKAGE = Path(__file__).parents[1]
PRESETS = next((folder for folder in (_PACKAGE / "presets", _PACKAGE.parent / "configs") if folder.is_dir()), Path())
"""Folder of the presets: inside the installed package, or `configs/` in a checkout."""


def preset(name: str, variant: str = "") -> Config:
    """Returns the configuration of a preset.

    Args:
        name: A file of `configs/`, without its ending.
        variant: See `with_variant`.

    Raises:
        UserError: There is no such preset.
    """
    if not (PRESETS / f"{name}.py").is_file():
        names = sorted(path.stem for path in PRESETS.glob("[!_]*.py"))
        raise UserError(f"{name!r}: no such preset; takes {', '.join(names)}")
    return _module(name).get_config(variant)


def base_config() -> Config:
    """Returns the base configuration, `configs/adamine.py`."""
    return preset("adamine")


def set_tower(config: Config, side: str, name: str) -> None:
    """Replaces the section of a tower by the defaults of another one.

    Args:
        config: Changed in place.
        side: 'image' or 'recipe'.
        name: Of the tower, or `package.module:Name`.

    Raises:
        UserError: There is no such tower.
    """
    config.model[side] = towers.section(side, name)


def set_loss(config: Config, losses_: str | Sequence[tuple[str, float]]) -> None:
    """Replaces the section of the loss.

    Args:
        config: Changed in place.
        losses_: The name of a loss, or `package.module:Name`; or a weighted list of (name, weight).

    Raises:
        UserError: There is no such loss.
    """
    if isinstance(losses_, str):
        config.loss = losses.section(losses_)
        return
    config.loss = losses.section("weighted_sum")
    for name, weight in losses_:
        term = name.rpartition(":")[2]
        if term in config.loss.terms:
            raise UserError(f"a weighted list of losses has {term} twice; give it one weight")
        config.loss.terms[term] = losses.section(name)
        config.loss.weights[term] = float(weight)


def with_variant(config: Config, variant: str) -> Config:
    """Replaces the towers and the loss that a variant names.

    Args:
        config: Of a preset; changed in place.
        variant: What follows the colon of `--config FILE:VARIANT`, "image=features,recipe=lstm,loss=triplet" or some
            of these. A weighted list of losses is written "loss=triplet+0.5*package.module:Name".

    Returns:
        The configuration.

    Raises:
        UserError: It is written in another way, or names something unknown.
    """
    for item in filter(None, variant.split(",")):
        part, equals, name = item.partition("=")
        if part not in ("image", "recipe", "loss") or not equals or not name:
            raise UserError(f"--config …:{variant}: takes image=NAME, recipe=NAME, loss=NAME, with commas between them")
        if part != "loss":
            set_tower(config, part, name)
        elif "+" not in name and "*" not in name:
            set_loss(config, name)
        else:
            set_loss(config, [_weighted(term, variant) for term in name.split("+")])
    return config


def split_variant(variant: str, default: str = "adamine") -> tuple[str, str]:
    """Splits the variant of a preset that builds on others, "vse_pp,image=features", into that and the rest."""
    items = [item for item in variant.split(",") if item]
    bases = [item for item in items if "=" not in item]
    if len(bases) > 1:
        raise UserError(f"--config …:{variant}: names {len(bases)} presets, {' and '.join(bases)}; takes one")
    return (bases or [default])[0], ",".join(item for item in items if "=" in item)


def _weighted(term: str, variant: str) -> tuple[str, float]:
    weight, times, name = term.rpartition("*")
    try:
        return name, float(weight) if times else 1.0
    except ValueError:
        raise UserError(f"--config …:{variant}: {weight!r} is no weight; takes WEIGHT*NAME") from None


def _module(name: str) -> ModuleType:
    """Loads the file of a preset as a module."""
    loader = SourceFileLoader(f"adamine_jax.presets.{name}", str(PRESETS / f"{name}.py"))
    module = ModuleType(loader.name)
    loader.exec_module(module)
    return module
