"""Command line of a run: `--config FILE:VARIANT` and `--config.section.field=value`."""

import re

import ml_collections
from absl import flags

from adamine_jax.base.errors import UserError
from adamine_jax.config.checks import unknown_field
from adamine_jax.config.moved import MOVED
from adamine_jax.config.presets import PRESETS, flatten, preset, set_tower
from adamine_jax.models import registry as towers

_CHOICES = {"model.image.name": "image", "model.recipe.name": "recipe", "loss.name": "loss"}
"""Fields that only a variant can set, and their names in it."""


def resolved(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """Selects the image tower 'features' if `data.image_features` is set, so that this flag suffices for any preset."""
    if config.data.image_features and towers.image_tower(config.model).reads_photos:
        if config.model.image.get("weights"):
            raise UserError(
                "config.data.image_features and config.model.image.weights: features replace photos; set only one"
            )
        config = config.copy_and_resolve_references()
        set_tower(config, "image", "features")
    return config


def parse_flags(argv: list[str]) -> list[str]:
    """Parses a command line for `absl.app.run`.

    Raises:
        UserError: A flag or config field is unknown, or a value is invalid.
    """
    for argument in argv[1:]:
        _check_field(argument, argv)
    try:
        return flags.FLAGS(_with_paths(argv))
    except flags.UnrecognizedFlagError as error:
        name = error.flagname
        known = [field for field in flatten(preset("adamine")) if field == name or field.endswith(f".{name}")]
        if known:
            raise UserError(f"--{name}: no such flag; fields are set as --config.{known[0]}=…") from None
        raise UserError(str(error)) from None
    except flags.Error as error:
        raise UserError(str(error)) from None
    except (AttributeError, KeyError) as error:  # raised by ml_collections with the last part of an unknown field
        missing, known = re.findall(r"\w+", str(error)), flatten(preset("adamine"))
        for argument in argv[1:]:
            field = _field_of(argument)
            if field and (field not in known or field.rpartition(".")[2] in missing):
                raise UserError(unknown_field(field, [name for name in known if name != field])) from None
        raise UserError(f"--config: {error}") from None
    except (FileNotFoundError, ImportError, SyntaxError) as error:
        raise UserError(f"--config: {error}") from None


def config_file(argv: list[str]) -> str:
    """Returns the value of `--config` on a command line, or ''."""
    for argument, following in zip(argv, [*argv[1:], ""], strict=True):
        if argument.lstrip("-") == "config":
            return following
        if argument.lstrip("-").startswith("config="):
            return argument.partition("=")[2]
    return ""


def _with_paths(argv: list[str]) -> list[str]:
    """Replaces the name of a preset, as in `--config adamine:image=features`, by its path."""
    given = config_file(argv)
    name = given.partition(":")[0]
    if not re.fullmatch(r"\w+", name) or not (PRESETS / f"{name}.py").is_file():
        return argv
    path = str(PRESETS / f"{name}.py") + given.removeprefix(name)
    return [f"{argument.removesuffix(given)}{path}" if argument.endswith(given) else argument for argument in argv]


def _field_of(argument: str) -> str:
    name = argument.lstrip("-")
    return name.removeprefix("config.").partition("=")[0] if name.startswith("config.") else ""


def _check_field(argument: str, argv: list[str]) -> None:
    """Raises a `UserError` for a field that has moved, or that no flag can set."""
    field, value = _field_of(argument), argument.partition("=")[2]
    if field in MOVED:
        raise UserError(f"--config.{field}: this field has moved; use --config.{MOVED[field]}={value or '…'}")
    if field in _CHOICES:
        file = config_file(argv) or "configs/adamine.py"
        separator = "," if ":" in file else ":"
        raise UserError(
            f"--config.{field}: cannot be set by a flag, because each choice has its own fields; use "
            f"--config {file}{separator}{_CHOICES[field]}={value or 'NAME'}"
        )
