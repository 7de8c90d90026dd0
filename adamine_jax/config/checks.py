"""The configuration of a run: read from flags, checked before any work starts, compared with an earlier run's."""

import difflib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ml_collections
from absl import flags

from adamine_jax.base.errors import UserError
from adamine_jax.losses.total import NAMES, STRATEGIES
from adamine_jax.losses.triplet import AGGREGATIONS, SAMPLINGS
from adamine_jax.retrieval.protocols import parse_protocols
from configs import adamine

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
    "model.image.weights",
)
"""Fields that a resumed run may be given anew: they do not change what the steps already taken have computed. (The
number of epochs does, where the learning rate falls towards their end.)"""


TUPLES = (("loss", "strategies"), ("loss", "weights"), ("eval", "protocols"))


def flatten(config: ml_collections.ConfigDict) -> dict[str, Any]:
    """Returns the fields by their dotted names, tuples as lists, as JSON would give them back."""
    flat = {}
    for key, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            flat |= {f"{key}.{name}": inner for name, inner in flatten(value).items()}
        else:
            flat[key] = list(value) if isinstance(value, tuple) else value
    return flat


def check(config: ml_collections.ConfigDict) -> None:
    """Refuses unknown, impossible or contradictory fields. The model's own are checked where it is built.

    Raises:
        UserError: one line that names the field and what it takes.
    """
    known = flatten(adamine.get_config())
    given = flatten(config)
    for field in given:
        if field not in known:
            raise UserError(unknown_field(field))
    if missing := sorted(set(known) - set(given)):
        raise UserError(f"config.{missing[0]} is missing; begin your config with configs.adamine.get_config()")

    for field, (takes, accepts) in RULES.items():
        if not accepts(given[field]):
            raise UserError(f"config.{field} = {given[field]!r}: takes {takes}")
    size, resize = config.data.image_size, config.data.resize
    if size > resize:
        raise UserError(f"config.data.image_size = {size}: takes at most config.data.resize = {resize}")
    _check_loss(config)
    weights = config.model.image.weights
    if weights and not Path(weights).is_file():
        raise UserError(f"config.model.image.weights = {weights}: no such file; `import_weights` writes one")
    if config.train.init_from and not Path(config.train.init_from).is_dir():
        raise UserError(f"config.train.init_from = {config.train.init_from}: no such folder; takes a run's workdir")
    if config.train.init_from and weights:
        raise UserError(
            "config.train.init_from and config.model.image.weights: both give the ResNet its weights; take one"
        )
    _check_vectors(config)


def _check_vectors(config: ml_collections.ConfigDict) -> None:
    """Refuses vectors that nothing reads, and readers without vectors."""
    data, model = config.data, config.model
    if data.image_features and model.image.weights:
        raise UserError(
            "config.data.image_features and config.model.image.weights: there is no ResNet beside features; take one"
        )
    if model.image.feature_dim and not data.image_features:
        raise UserError(
            f"config.model.image.feature_dim = {model.image.feature_dim}: needs a config.data.image_features"
        )
    if config.cache_frozen_features and (data.image_features or not config.unfreeze_epoch):
        reason = "there is no ResNet beside config.data.image_features"
        if not data.image_features:
            reason = "the ResNet is never frozen with config.unfreeze_epoch = 0"
        raise UserError(f"config.cache_frozen_features = {config.cache_frozen_features}: {reason}; takes 0")
    if model.instructions == "vectors" and not data.sentence_vectors:
        raise UserError(
            "config.model.instructions = 'vectors': needs a config.data.sentence_vectors, the file with them; or take "
            "'words' or 'none'"
        )
    if data.sentence_vectors and model.instructions != "vectors":
        raise UserError(
            f"config.data.sentence_vectors = {data.sentence_vectors}: nothing reads it; "
            "takes config.model.instructions = 'vectors' beside it"
        )


def _check_loss(config: ml_collections.ConfigDict) -> None:
    """Refuses a loss that contradicts itself."""
    loss, mismatch = config.loss, config.data.mismatch
    if len(loss.weights) != len(loss.strategies):
        raise UserError(
            f"config.loss.weights has {len(loss.weights)} numbers for {len(loss.strategies)} strategies: "
            "takes one for each of config.loss.strategies"
        )
    if not any(loss.weights):
        raise UserError("config.loss.weights are all 0: nothing would be learned; takes at least one above 0")
    if loss.name == "triplet" and loss.margin > 2:
        raise UserError(f"config.loss.margin = {loss.margin}: takes at most 2, the largest cosine distance there is")
    if loss.name == "pairwise" and loss.margin > 1:
        raise UserError(f"config.loss.margin = {loss.margin}: takes at most 1, the largest cosine similarity there is")
    if loss.sampling == "random" and loss.num_negatives is None:
        raise UserError("config.loss.sampling = 'random': takes a config.loss.num_negatives, how many to draw")
    if mismatch == 1:
        raise UserError("config.data.mismatch = 1: leaves no matched pair to learn from; takes a number below 1")
    if loss.name != "triplet" and mismatch == 0:
        raise UserError(
            f"config.loss.name = {loss.name!r}: needs mismatched pairs, or all embeddings become one; "
            "takes a config.data.mismatch above 0 (0.8 as published)"
        )


def unknown_field(field: str) -> str:
    """The line about a field that does not exist, with the nearest ones that do."""
    known = list(flatten(adamine.get_config()))
    near = difflib.get_close_matches(field, known, n=3, cutoff=0.4) or difflib.get_close_matches(
        field.split(".")[-1], known, n=3, cutoff=0.3
    )
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"config.{field}: no such field{hint} (all of them are in configs/adamine.py)"


def _is_number(value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _integer(low: int) -> tuple[str, Callable[[Any], bool]]:
    return f"a whole number from {low}", lambda v: isinstance(v, int) and not isinstance(v, bool) and v >= low


def _number(sign: str) -> tuple[str, Callable[[Any], bool]]:
    accepts = {"above 0": lambda v: v > 0, "from 0": lambda v: v >= 0}[sign]
    return f"a number {sign}", lambda v: _is_number(v) and v != float("inf") and accepts(v)


def _is_protocol(value) -> bool:
    try:
        parse_protocols([value])
    except UserError:
        return False
    return True


def _one_of(choices: tuple[str | bool, ...]) -> tuple[str, Callable[[Any], bool]]:
    return f"one of {', '.join(map(str, choices))}", lambda v: v in choices


def _share(high: float) -> tuple[str, Callable[[Any], bool]]:
    return f"a number from 0 to {high}", lambda v: _is_number(v) and 0 <= v <= high


RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "seed": _integer(0),
    "batch_size": _integer(2),
    "epochs": _integer(0),
    "unfreeze_epoch": _integer(0),
    "cache_frozen_features": _integer(0),
    "data.resize": _integer(1),
    "data.image_size": _integer(32),
    "data.max_damaged": _integer(0),
    "model.max_sentences": _integer(1),
    "model.max_words": _integer(1),
    "model.word_norm": _number("above 0"),
    "model.forget_bias": _number("from 0"),
    "data.mismatch": _share(1),
    "loss.name": _one_of(NAMES),
    "loss.margin": _number("from 0"),
    "loss.negative_margin": _number("from 0"),
    "loss.strategies": (
        f"a tuple of different ones of {', '.join(STRATEGIES)}",
        lambda v: len(v) > 0 and set(v) <= set(STRATEGIES) and len(set(v)) == len(v),
    ),
    "loss.weights": ("numbers from 0", lambda v: all(_is_number(w) and w >= 0 for w in v)),
    "loss.num_negatives": (
        "None (all) or a whole number from 1",
        lambda v: v is None or (isinstance(v, int) and not isinstance(v, bool) and v >= 1),
    ),
    "loss.sampling": _one_of(SAMPLINGS),
    "loss.aggregation": _one_of(AGGREGATIONS),
    "loss.semantic_positives": _one_of(("first", "all")),
    "loss.semantic_negatives": _one_of(("smallest", "all")),
    "loss.classifier_weight": _share(0.5),
    "loss.block": _integer(0),
    "loss.keep_background": _one_of((True, False)),
    "loss.lifted_published_scale": _one_of((True, False)),
    "optim.lr": _number("above 0"),
    "optim.decay_epochs": _integer(0),
    "optim.clip_norm": _number("above 0"),
    "checkpoint.every_steps": _integer(0),
    "checkpoint.keep": _integer(1),
    "checkpoint.best_by": _one_of(("r1", "rsum")),
    "train.log_every_steps": _integer(1),
    "train.nonfinite_streak": _integer(1),
    "eval.batch_size": _integer(1),
    "eval.protocols": (
        "a tuple of 1k, 10k, full or PAIRSxDRAWS",
        lambda v: len(v) > 0 and all(_is_protocol(p) for p in v),
    ),
    "eval.seed": _integer(0),
}


def differences(config: ml_collections.ConfigDict, stored: dict[str, Any]) -> list[str]:
    """Names the fields in which a run differs from the one stored in its workdir, but for those that may change.

    Args:
        config: of the run.
        stored: a flattened configuration, as `config.json` holds it.

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
    """The nested configuration as `config.json` holds it."""
    return json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n"


def from_dict(stored: dict[str, Any]) -> ml_collections.ConfigDict:
    """Reads what `to_json` wrote, tuples being tuples again."""
    config = adamine.get_config()
    with config.ignore_type():
        config.update(stored)
        for section, field in TUPLES:
            config[section][field] = tuple(config[section][field])
    return config


def parse_flags(argv: list[str]) -> list[str]:
    """Parses a command line for `absl.app.run`; a mistake in it becomes a `UserError`.

    Raises:
        UserError: an unknown flag, config field or value.
    """
    try:
        return flags.FLAGS(argv)
    except flags.UnrecognizedFlagError as error:
        name = error.flagname
        known = [field for field in flatten(adamine.get_config()) if field == name or field.endswith(f".{name}")]
        if known:
            raise UserError(f"--{name}: no such flag; fields are set as --config.{known[0]}=…") from None
        raise UserError(str(error)) from None
    except flags.Error as error:
        raise UserError(str(error)) from None
    except (AttributeError, KeyError) as error:  # how ml_collections answers an unknown field
        known = flatten(adamine.get_config())
        for argument in argv[1:]:
            if not argument.lstrip("-").startswith("config."):
                continue
            field = argument.lstrip("-").removeprefix("config.").split("=")[0]
            if field not in known:
                raise UserError(unknown_field(field)) from None
        raise UserError(f"--config: {error}") from None
    except (FileNotFoundError, ImportError, SyntaxError) as error:
        raise UserError(f"--config: {error}") from None
