"""A run's folder: which configuration and which vocabulary it belongs to, and the model it has learned."""

import argparse
import dataclasses
import fcntl
import hashlib
import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import ml_collections

from adamine_jax.base import files
from adamine_jax.base.errors import UserError
from adamine_jax.base.flags import given_path
from adamine_jax.checkpoints.manager import Checkpoints
from adamine_jax.config import stored as configuration
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.input.dataset import Dataset, open_dataset
from adamine_jax.input.records import RecordIndex
from adamine_jax.models.adamine import AdaMine, build_model, init_variables


@contextmanager
def locked(workdir: Path) -> Generator[None]:
    """Makes the folder and keeps a second run out of it.

    Raises:
        UserError: another process is training there, or the folder cannot be made.
    """
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = open(workdir / ".lock", "w")  # noqa: SIM115 – closed below
    except OSError as error:
        raise UserError(f"--workdir {workdir}: cannot be written ({error.strerror})") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"--workdir {workdir}: another run is at work in it; wait for it or take another") from None
        yield


def claim(workdir: Path, config: ml_collections.ConfigDict, dataset: Dataset, train: RecordIndex) -> None:
    """Writes what the run is into a new workdir, or makes sure that an old one is of the same run.

    Args:
        workdir: the folder, locked.
        config: of this run.
        dataset: it trains on.
        train: the records of its train split.

    Raises:
        UserError: the folder belongs to another configuration, vocabulary or train split, or to something else.
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
        if foreign := sorted(path.name for path in workdir.iterdir() if not path.name.startswith(".")):
            raise UserError(
                f"--workdir {workdir}: holds {foreign[0]} but no config.json; take an empty or a new folder"
            )
    elif "recipe" not in _read_json(config_file).get("model", {}):
        raise UserError(
            f"--workdir {workdir}: started by an older version, whose optimiser state cannot be read; start from its "
            f"weights in another workdir with --config.train.init_from={workdir}, or evaluate it as it is"
        )
    elif changed := configuration.differences(config, configuration.flatten(load_config(workdir))):
        raise UserError(
            f"--workdir {workdir}: its run has another configuration: {', '.join(changed)}; "
            "give the same one to go on with it, or take another workdir"
        )
    elif dataset_file.exists():
        stored = _read_json(dataset_file)
        if stored["vocabulary_digest"] != described["vocabulary_digest"]:
            raise UserError(
                f"{dataset.folder}: built with another vocabulary than the one that {workdir} was trained with "
                f"({dataset.vocabulary_digest[:12]} instead of {stored['vocabulary_digest'][:12]}); "
                "convert it with that run's words and vectors (--vocab), or take another workdir"
            )
        if stored["train_digest"] != described["train_digest"]:
            raise UserError(
                f"{dataset.folder}: its train split has {len(train)} recipes, {workdir} was trained on "
                f"{stored['train_recipes']} others; take another workdir"
            )
    files.write_text(config_file, configuration.to_json(config))
    if not dataset_file.exists():
        files.write_text(dataset_file, json.dumps(described, ensure_ascii=False) + "\n")


def load_config(workdir: Path) -> ml_collections.ConfigDict:
    """The configuration of a workdir's run."""
    return configuration.from_dict(_read_json(workdir / "config.json"))


@dataclasses.dataclass(frozen=True)
class Trained:
    """A workdir's model at one of its checkpoints, ready to embed.

    Attributes:
        config: of the run.
        model: both towers.
        variables: {'params', 'batch_stats'}, replicated over `mesh`; the parameters of the loss are among them.
        step: of the checkpoint.
        mesh: over all devices.
        vocabulary_digest: of the words that it knows.
        words: the V words that it knows; word k has the id k + 2.
        class_names: names of the classes, 0 being the background.
        unknown_ingredients: see `Dataset`.
        photo_side: see `Dataset`.
        digest: SHA-256 of the checkpoint's parameters, as its manifest has them. Embeddings belong to one model.
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

    def open_dataset(self) -> Dataset:
        """Opens the data set that the run's configuration names.

        Raises:
            UserError: it is not there, or was built with another vocabulary.
        """
        dataset = open_dataset(self.config.data.dir, self.config.data.name)
        if dataset.vocabulary_digest != self.vocabulary_digest:
            raise UserError(
                f"{dataset.folder}: built with another vocabulary than the one that the model was trained with "
                f"({dataset.vocabulary_digest[:12]} instead of {self.vocabulary_digest[:12]}); "
                "convert it with that run's words and vectors (--vocab)"
            )
        return dataset


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of a command that loads a workdir; `load_from_flags` reads them."""
    parser.add_argument("--workdir", type=given_path, required=True, help="folder of a training run")
    parser.add_argument(
        "--checkpoint", choices=("best", "last"), default="best", help="best by validation (default), or last"
    )
    parser.add_argument("--data-dir", help="the data set, if it is no longer where the run found it")
    parser.add_argument("--image-features", help="the photos' features, if the model reads them and they have moved")
    parser.add_argument("--sentence-vectors", help="the sentences' vectors, likewise")


def load_from_flags(flags: argparse.Namespace) -> Trained:
    """Loads what `add_flags` asked for; see `load`."""
    data = {"dir": flags.data_dir, "image_features": flags.image_features, "sentence_vectors": flags.sentence_vectors}
    return load(flags.workdir, flags.checkpoint, {name: value for name, value in data.items() if value is not None})


def load(workdir: Path, checkpoint: str = "best", data: dict[str, str] | None = None) -> Trained:
    """Loads a checkpoint of a workdir.

    Args:
        workdir: of the run.
        checkpoint: 'best' by validation, or 'last'.
        data: fields of `config.data` that are no longer as they were in training: where things lie now.

    Raises:
        UserError: the folder is not a workdir, or holds no checkpoint yet.
    """
    config = load_config(workdir)
    config.data.update(data or {})
    described = _read_json(workdir / "dataset.json")
    words = tuple(described["words"])
    mesh = make_mesh()
    model = build_model(config.model, table_rows=len(words) + 3)
    like = jax.eval_shape(
        lambda: init_variables(
            model,
            jax.random.key(0),
            config.model,
            image_size=config.data.image_size,
        )
    )
    checkpoints = Checkpoints(workdir, best_by=config.checkpoint.best_by, read_only=True)
    step = checkpoints.best_step() if checkpoint == "best" else checkpoints.latest_step()
    if step is None:
        raise UserError(f"{workdir}: holds no checkpoint yet; train it with `python -m adamine_jax.main`")
    variables, digest = checkpoints.restore_model(step, like, mesh), checkpoints.model_digest(step)
    checkpoints.close()
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
    )


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; {path.parent} is not a workdir of `python -m adamine_jax.main`"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from None
