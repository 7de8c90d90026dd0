"""Checks of a run's configuration, before any work starts."""

import difflib
from collections.abc import Iterable
from typing import Any

import ml_collections

from adamine_jax.base import rules, storage
from adamine_jax.base.errors import UserError
from adamine_jax.base.rules import integer, is_number, number, share
from adamine_jax.config.moved import MOVED
from adamine_jax.config.presets import flatten, known_fields
from adamine_jax.losses import registry as losses
from adamine_jax.losses.schedules import check_schedules
from adamine_jax.models import registry as towers
from adamine_jax.recipes.text_augmentation import LINE_OPTIONS
from adamine_jax.retrieval import evaluators
from adamine_jax.retrieval.protocols import parse_protocols


def check(config: ml_collections.ConfigDict) -> None:
    """Checks that all fields are known, valid and consistent.

    Raises:
        UserError: One line that names the field and what it takes.
    """
    _check_names(config)
    rules.check(config, RULES, "")
    size, resize = config.data.image_size, config.data.resize
    if size > resize:
        raise UserError(f"config.data.image_size = {size}: must be at most config.data.resize = {resize}")
    if config.data.mismatch == 1:
        raise UserError("config.data.mismatch = 1: leaves no matched pairs to learn from; must be below 1")
    towers.check(config)
    loss = losses.build(config.loss)
    losses.check(loss, config, "loss")
    check_schedules(loss, config.loss_schedules, config)
    if 0 < config.data.text_share * config.batch_size < 1:
        raise UserError(
            f"config.data.text_share = {config.data.text_share}: not one row of config.batch_size = {config.batch_size}"
        )
    if config.data.text_share and not loss.learns_from_text:
        raise UserError(
            f"config.data.text_share = {config.data.text_share}: the loss {config.loss.name!r} learns nothing from "
            "recipes without photos; add the loss 'parts', for example loss=infonce+0.5*parts"
        )
    section, pairs = config.neighbours, config.batch_size - round(config.data.text_share * config.batch_size)
    if config.batches == "neighbours" and round(section.share * pairs) < section.size:
        raise UserError(
            f"config.neighbours.share = {section.share}: not one group of config.neighbours.size = {section.size} in "
            f"the {pairs} pairs of a batch"
        )
    if config.batches == "neighbours" and 0 < config.epochs <= section.every_epochs:
        raise UserError(
            f"config.neighbours.every_epochs = {section.every_epochs}: no neighbours would be computed in "
            f"config.epochs = {config.epochs}; must be lower"
        )
    _check_start(config)
    names = [name for evaluator in evaluators.build(config) for name in evaluator.metrics]
    if config.checkpoint.best_by not in names:
        raise UserError(
            f"config.checkpoint.best_by = {config.checkpoint.best_by!r}: must be a metric of config.evals: "
            f"{', '.join(names)}"
        )


def _check_names(config: ml_collections.ConfigDict) -> None:
    """Raises a `UserError` for unknown and for missing fields."""
    known, given = known_fields(config), flatten(config)
    for field in given:
        if field not in known and not field.startswith(("loss.terms.", "loss.weights.")):
            raise UserError(unknown_field(field, known))
    if missing := sorted(set(known) - set(given)):
        raise UserError(
            f"config.{missing[0]} is missing; start from adamine_jax.config.preset('adamine'), and choose towers and "
            "losses with set_tower and set_loss"
        )


def _check_start(config: ml_collections.ConfigDict) -> None:
    """Raises a `UserError` for conflicting sources of weights, and for cached features without a frozen backbone."""
    source = config.train.init_from
    if source and not storage.local(source).is_dir():
        raise UserError(f"config.train.init_from = {source}: no such folder; give the workdir of a run")
    for modality in towers.TOWERS:
        if source and config.model[modality].get("weights"):
            raise UserError(
                f"config.train.init_from and config.model.{modality}.weights both set the weights; give only one"
            )
    for name in ("warmup", "decay"):
        if config.optim[f"{name}_steps"] and config.optim[f"{name}_epochs"]:
            raise UserError(f"config.optim.{name}_steps and config.optim.{name}_epochs: give only one")
    _check_augmentation(config)
    backbone = towers.image_tower(config.model).backbone
    if config.cache_frozen_features and not (backbone and config.unfreeze_epoch):
        reason = "the image tower is never frozen with config.unfreeze_epoch = 0"
        if not backbone:
            reason = f"the image tower {config.model.image.name!r} has no pretrained backbone"
        raise UserError(f"config.cache_frozen_features = {config.cache_frozen_features}: {reason}; must be 0")


def _check_augmentation(config: ml_collections.ConfigDict) -> None:
    """Raises a `UserError` for changes of photos or recipes that the towers would not see."""
    image, recipe, data = towers.image_tower(config.model), towers.recipe_tower(config.model), config.data
    without = "config.cache_frozen_features" if config.cache_frozen_features else ""
    without = without if image.reads_photos else f"config.model.image.name = {config.model.image.name!r}"
    for name, plain in (("jitter", 0), ("erase", 0), ("crop_area", 1)):
        if without and data[name] != plain:
            raise UserError(f"config.data.{name} = {data[name]}: has no effect with {without}; set it to {plain}")
    lines = [name for name in LINE_OPTIONS if data[name]]
    options = [*(["drop_part"] if data.drop_part else []), *lines]
    if options and (data.recipe_features or not recipe.text_parts(config.model.recipe)):
        raise UserError(f"config.data.{options[0]}: does not change given vectors of recipes; set it to 0")
    if lines and not recipe.reads_lines:
        raise UserError(
            f"config.data.{lines[0]}: the recipe tower {config.model.recipe.name!r} joins lines; use drop_part only"
        )
    if data.text_share and image.has_batch_norm:
        raise UserError(
            f"config.data.text_share = {data.text_share}: rows without photos would change the batch statistics of the "
            f"image tower {config.model.image.name!r}; use 'vit' or 'features'"
        )


def unknown_field(field: str, known: Iterable[str]) -> str:
    """Returns the error message for an unknown field, with its new name or similar names."""
    if field in MOVED:
        return f"config.{field}: this field has moved; use config.{MOVED[field]}"
    names = list(known)
    near = difflib.get_close_matches(field, names, n=3, cutoff=0.4) or difflib.get_close_matches(
        field.split(".")[-1], names, n=3, cutoff=0.3
    )
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"config.{field}: no such field{hint} (configs/adamine.py, its towers and its loss list all fields)"


def _is_rate(entry: Any) -> bool:
    """Whether an entry of `optim.rates` has a pattern, a factor from 0, and perhaps an epoch from 0."""
    if not isinstance(entry, tuple | list) or len(entry) not in (2, 3) or not isinstance(entry[0], str):
        return False
    return all(is_number(value) and value >= 0 for value in entry[1:])


def _is_protocol(value: Any) -> bool:
    try:
        parse_protocols([value])
    except UserError:
        return False
    return True


RULES: dict[str, rules.Rule] = {
    "seed": integer(0, 2**63 - 1),
    "batch_size": integer(2),
    "epochs": integer(0),
    "accumulate": integer(1),
    "loss_schedules": (
        "a tuple of (field, start, change per epoch, end)",
        lambda v: all(
            isinstance(s, tuple | list) and len(s) == 4 and isinstance(s[0], str) and all(map(is_number, s[1:]))
            for s in v
        ),
    ),
    "batches": rules.one_of("classes", "neighbours"),
    "neighbours.every_epochs": integer(1),
    "neighbours.share": share(1),
    "neighbours.size": integer(2, 8),  # of the 16 candidates that are stored, some are in other groups
    "neighbours.margin": number("above 0"),
    "unfreeze_epoch": integer(0),
    "cache_frozen_features": integer(0),
    "data.resize": integer(1, 8192),
    "data.image_size": integer(32, 8192),
    "data.text_share": share(0.9),
    "data.crop_area": ("a number above 0, at most 1", lambda v: is_number(v) and 0 < v <= 1),
    "data.jitter": share(1),
    "data.erase": share(1),
    "data.drop_part": share(1),
    "data.drop_ingredients": share(1),
    "data.drop_sentences": share(1),
    "data.shuffle_ingredients": rules.BOOLEAN,
    "data.max_damaged": integer(0),
    "data.mismatch": share(1),
    "optim.lr": number("above 0"),
    "optim.weight_decay": number("from 0"),
    "optim.warmup_epochs": number("from 0"),
    "optim.warmup_steps": integer(0),
    "optim.decay_epochs": integer(0),
    "optim.decay_steps": integer(0),
    "optim.rates": ("a tuple of (pattern, factor) or (pattern, factor, first epoch)", lambda v: all(map(_is_rate, v))),
    "optim.layer_decay": ("a number above 0, at most 1", lambda v: is_number(v) and 0 < v <= 1),
    "optim.b2": share(0.999999),
    "optim.average": share(0.999999),
    "optim.decay": rules.one_of("linear", "cosine"),
    "optim.clip_norm": number("above 0"),
    "checkpoint.every_steps": integer(0),
    "mesh.fsdp": integer(1),
    "checkpoint.keep": integer(1),
    "train.log_every_steps": integer(1),
    "train.nonfinite_streak": integer(1),
    "eval.batch_size": integer(1),
    "eval.protocols": (
        "a tuple of 1k, 10k, full or PAIRSxDRAWS",
        lambda v: len(v) > 0 and all(_is_protocol(p) for p in v),
    ),
    "eval.seed": integer(0),
    "evals": ("a tuple of evaluator names", lambda v: isinstance(v, tuple | list) and len(v) > 0),
}
