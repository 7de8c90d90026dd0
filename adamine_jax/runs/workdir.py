"""The workdir of a run: its configuration, the description of its data set, and its trained model."""

import argparse
import dataclasses
import fcntl
import hashlib
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import ml_collections
import numpy as np
from PIL import Image

from adamine_jax.base import files, storage
from adamine_jax.base.errors import UserError
from adamine_jax.base.flags import given_path
from adamine_jax.base.registry import Registry
from adamine_jax.checkpoints.manager import Checkpoints
from adamine_jax.config import stored as configuration
from adamine_jax.config.presets import flatten
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.input.dataset import Dataset, open_dataset
from adamine_jax.input.record_index import RecordIndex
from adamine_jax.models import registry
from adamine_jax.models.adamine import AdaMine, build_model, init_variables
from adamine_jax.runs import exported

ImageEncoder = Callable[[list[Image.Image]], np.ndarray]
"""Computes the features of photos; see `load`."""
_MARK = "model_type"  # field of config.json in folders written by `exported`
_IMAGE_ENCODERS = Registry("--image-encoder", {})


@contextmanager
def locked(workdir: Path) -> Generator[None]:
    """Creates the folder and locks it against a second run.

    Raises:
        UserError: Another process is training there, or the folder cannot be created.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = open(workdir / ".lock", "w")  # noqa: SIM115 – closed below
    except OSError as error:
        raise UserError(f"--workdir {workdir}: cannot be written ({error.strerror}); choose another folder") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"--workdir {workdir}: another run is training there; wait for it or choose another"
            ) from None
        yield


def claim(workdir: Path, config: ml_collections.ConfigDict, dataset: Dataset, train: RecordIndex) -> None:
    """Describes the run in a new workdir, or checks that an existing workdir is of the same run.

    Raises:
        UserError: The workdir has another configuration, vocabulary or train split, or is not a workdir.
    """
    described = {
        "vocabulary_digest": dataset.vocabulary_digest,
        "train_digest": hashlib.sha256(b"\n".join(train.ids)).hexdigest(),
        "train_recipes": len(train),
        "class_names": list(dataset.class_names),
        "words": list(dataset.words),
        "unknown_ingredients": dataset.unknown_ingredients,
        "photo_side": dataset.photo_side,
    }
    config_file, dataset_file = workdir / "config.json", workdir / "dataset.json"
    if not config_file.exists():
        known = vocabulary_file(workdir).name
        names = sorted(path.name for path in workdir.iterdir())
        if foreign := [name for name in names if not name.startswith(".") and name != known]:
            raise UserError(
                f"--workdir {workdir}: contains {foreign[0]} but no config.json; choose an empty or new folder"
            )
    elif _MARK in _read_json(config_file):
        raise UserError(
            f"--workdir {workdir}: an exported model, whose training cannot continue; start from its weights in "
            f"another workdir with --config.train.init_from={workdir}"
        )
    elif "recipe" not in _read_json(config_file).get("model", {}):
        raise UserError(
            f"--workdir {workdir}: created by an older version, whose optimizer state cannot be restored; start from "
            f"its weights in another workdir with --config.train.init_from={workdir}, or only evaluate it"
        )
    elif changed := configuration.differences(config, flatten(load_config(workdir))):
        raise UserError(
            f"--workdir {workdir}: its run has a different configuration: {', '.join(changed)}; "
            "use the same configuration to resume it, or choose another workdir"
        )
    elif dataset_file.exists():
        stored = _read_json(dataset_file)
        if stored["vocabulary_digest"] != described["vocabulary_digest"]:
            raise _other_vocabulary(dataset, stored["vocabulary_digest"])
        if stored["train_digest"] != described["train_digest"]:
            raise UserError(
                f"{dataset.folder}: its train split of {len(train)} recipes differs from that of {workdir}, which has "
                f"{stored['train_recipes']}; choose another workdir"
            )
    files.write_text(config_file, configuration.to_json(config))
    if not dataset_file.exists():
        files.write_text(dataset_file, json.dumps(described, ensure_ascii=False) + "\n")


def load_config(workdir: Path) -> ml_collections.ConfigDict:
    """Reads the configuration of a workdir."""
    try:
        found = _read_json(workdir / "config.json")
        config = configuration.from_dict(found["config"] if _MARK in found else found)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UserError(f"{workdir / 'config.json'}: not the configuration of a run ({error!r})") from None
    if registry.recipe_tower(config.model).has_vocabulary(config.model.recipe):
        config.model.recipe.vocabulary = str(vocabulary_file(workdir))  # the workdir may have moved
    return config


def vocabulary_file(workdir: Path) -> Path:
    """Returns the path of the vocabulary of recipe towers that have one of their own; see `RecipeTower.fit`."""
    return workdir / "vocabulary.json"


@dataclasses.dataclass(frozen=True)
class Trained:
    """The model of a workdir at one of its checkpoints.

    Attributes:
        config: Configuration of the run.
        model: Both towers.
        variables: {'params', 'batch_stats'}, including the parameters of the loss, replicated over `mesh`.
        step: Step of the checkpoint.
        mesh: Mesh over all devices.
        vocabulary_digest: Digest of the vocabulary.
        words: The V words of the vocabulary; word k has the id k + 2.
        class_names: Names of the classes; 0 is the background.
        unknown_ingredients: See `Dataset`.
        photo_side: See `Dataset`.
        digest: SHA-256 of the model's files, from the manifest; identifies the model of stored embeddings.
        image_encoder: Computes the features of photos for a model that reads features; see `load`.
    """

    config: ml_collections.ConfigDict
    model: AdaMine
    variables: dict[str, Any]
    step: int
    mesh: jax.sharding.Mesh
    vocabulary_digest: str
    words: tuple[str, ...]
    class_names: tuple[str, ...]
    unknown_ingredients: str
    photo_side: int
    digest: str
    image_encoder: ImageEncoder | None = None

    def open_dataset(self) -> Dataset:
        """Opens the data set that the run's configuration names.

        Raises:
            UserError: The data set is missing or was built with another vocabulary.
        """
        dataset = open_dataset(self.config.data.dir, self.config.data.name)
        if dataset.vocabulary_digest != self.vocabulary_digest:
            raise _other_vocabulary(dataset, self.vocabulary_digest)
        return dataset


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of a command that loads a workdir, for `load_from_flags`."""
    parser.add_argument("--workdir", type=given_path, required=True, help="workdir of a training run")
    parser.add_argument(
        "--checkpoint",
        choices=("best", "last"),
        default="best",
        help="checkpoint to load: best by validation (default) or last",
    )
    parser.add_argument("--data-dir", help="folder of the data set, if it has moved")
    parser.add_argument("--image-features", help="file of image features, if the model uses them and they have moved")
    parser.add_argument(
        "--sentence-vectors", help="file of sentence vectors, if the model uses them and they have moved"
    )
    parser.add_argument(
        "--image-encoder",
        metavar="PACKAGE.MODULE:FUNCTION",
        help="function that computes the image features of photos, to embed photos with a model that reads features",
    )
    parser.add_argument(
        "--recipe-features",
        help="files of recipe vectors, with commas, if the model uses them and they have moved",
    )


def load_from_flags(flags: argparse.Namespace) -> Trained:
    """Loads a workdir with the flags of `add_flags`; see `load`."""
    data = {name: getattr(flags, name) for name in ("image_features", "sentence_vectors", "recipe_features")}
    given = {name: value for name, value in (data | {"dir": flags.data_dir}).items() if value is not None}
    encoder = _IMAGE_ENCODERS(flags.image_encoder) if flags.image_encoder else None
    return load(flags.workdir, flags.checkpoint, given, encoder)


def load(
    workdir: Path,
    checkpoint: str = "best",
    data: dict[str, str] | None = None,
    image_encoder: ImageEncoder | None = None,
) -> Trained:
    """Loads a checkpoint of a workdir, or the model of an exported folder.

    Args:
        workdir: Workdir of the run, or folder written by `export_weights --format folder`.
        checkpoint: 'best' by validation, or 'last'.
        data: Fields of `config.data` to override, such as paths of moved files.
        image_encoder: Function that maps a list of N Pillow images (RGB, as the data set stores photos) to their (N, F)
            features, by the encoder that computed `config.data.image_features`.

    Raises:
        UserError: The folder is not a workdir, or has no checkpoint yet.
    """
    config = load_config(workdir)
    config.data.update(data or {})
    described = _read_json(workdir / "dataset.json")
    lists = [described.get(name) for name in ("words", "class_names")]
    if not all(isinstance(value, list) and all(isinstance(word, str) for word in value) for value in lists):
        raise UserError(f"{workdir / 'dataset.json'}: words and class_names must be lists of words; restore the file")
    words = tuple(described["words"])
    mesh = make_mesh()
    model = build_model(config.model, table_rows=len(words) + 3)
    like = jax.eval_shape(
        lambda: init_variables(model, jax.random.key(0), config.model, image_size=config.data.image_size)
    )
    if _MARK in _read_json(workdir / "config.json"):
        if checkpoint == "last":
            raise UserError(f"{workdir}: an exported model, which has one checkpoint; leave out --checkpoint last")
        storage.fetch(workdir / exported.WEIGHTS)
        variables, step, digest = exported.read_weights(workdir / exported.WEIGHTS, like, mesh)
    else:
        variables, step, digest = _restored(workdir, config, checkpoint, like, mesh)
    return Trained(
        config=config,
        model=model,
        variables=variables,
        step=step,
        mesh=mesh,
        vocabulary_digest=described["vocabulary_digest"],
        words=words,
        class_names=tuple(described["class_names"]),
        unknown_ingredients=described.get("unknown_ingredients", "drop"),
        photo_side=described.get("photo_side", 256),
        digest=digest,
        image_encoder=image_encoder,
    )


def _restored(
    workdir: Path, config: ml_collections.ConfigDict, checkpoint: str, like: dict[str, Any], mesh: jax.sharding.Mesh
) -> tuple[dict[str, Any], int, str]:
    """Returns the variables of a checkpoint, its step and its digest."""
    checkpoints = Checkpoints(workdir, best_by=config.checkpoint.best_by, read_only=True)
    step = checkpoints.best_step() if checkpoint == "best" else checkpoints.latest_step()
    if step is None:
        raise UserError(f"{workdir}: no checkpoint yet; train with `python -m adamine_jax.main`")
    variables, digest = checkpoints.restore_model(step, like, mesh), checkpoints.model_digest(step)
    checkpoints.close()
    return variables, step, digest


def _other_vocabulary(dataset: Dataset, expected: str) -> UserError:
    return UserError(
        f"{dataset.folder}: built with a different vocabulary than the model ({dataset.vocabulary_digest[:12]} instead "
        f"of {expected[:12]}); convert it with the words and vectors of the model's run (--vocab)"
    )


def _read_json(path: Path) -> dict:
    storage.fetch(path)
    try:
        files.check_regular(path)
        if not isinstance(content := json.loads(path.read_text(encoding="utf-8")), dict):
            raise ValueError("not a JSON object")
        return content
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; {path.parent} is not a workdir of `python -m adamine_jax.main`"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
