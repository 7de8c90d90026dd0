"""Completes and checks a run's configuration against its data before it starts."""

import hashlib
import json
from pathlib import Path

import ml_collections
import numpy as np

from adamine_jax.base import files, storage
from adamine_jax.base.errors import UserError, shown
from adamine_jax.config.presets import flatten
from adamine_jax.distributed.broadcast import run_on_first
from adamine_jax.input.damage import Damage
from adamine_jax.input.dataset import Dataset
from adamine_jax.input.features import read_matrix, recipe_matrices
from adamine_jax.input.plan import batch_shares
from adamine_jax.input.reading import read_encoded, read_recipes
from adamine_jax.input.record_index import RecordIndex
from adamine_jax.losses.base import Loss
from adamine_jax.models import registry
from adamine_jax.runs import workdir

SAMPLE = 1000
"""Maximum number of train recipes that `report_unread` reads."""

_PATHS = (
    "data.dir",
    "data.image_features",
    "data.sentence_vectors",
    "data.recipe_features",
    "model.image.weights",
    "model.recipe.weights",
    "model.recipe.vocabulary",
    "train.init_from",
)


def with_dims(config: ml_collections.ConfigDict, dataset: Dataset) -> ml_collections.ConfigDict:
    """Fills in what the run's files determine: sizes of pretrained models, and lengths of given vectors."""
    config = config.copy_and_resolve_references()
    image, recipe = config.model.image, config.model.recipe
    registry.image_tower(config.model).complete(image)
    registry.recipe_tower(config.model).complete(recipe)
    if config.model.head == "none":
        config.model.embedding_dim = registry.image_tower(config.model).feature_dim(image)
    if "word_dim" in recipe and recipe.word_dim is None:
        recipe.word_dim = int(dataset.word_vectors().shape[1])
    if "feature_dim" in image and config.data.image_features:
        image.feature_dim = read_matrix("data.image_features", config.data.image_features).values.shape[1]
    if "sentence_dim" in recipe and config.data.sentence_vectors:
        recipe.sentence_dim = read_matrix("data.sentence_vectors", config.data.sentence_vectors).values.shape[1]
    if "recipe_dim" in recipe and config.data.recipe_features:
        recipe.recipe_dim = sum(matrix.values.shape[1] for matrix in recipe_matrices(config.data.recipe_features))
    return config


def set_vocabulary(config: ml_collections.ConfigDict, directory: Path, train: RecordIndex, damage: Damage) -> None:
    """Sets `model.recipe.vocabulary` to the file in the workdir, which is made before a run's first step.

    Args:
        config: Configuration of the run, modified in place.
        directory: Workdir of the run, which must be locked.
        train: Record index of the train split.
        damage: Counter of damaged records.

    Raises:
        UserError: A given file cannot be read, or no word is frequent enough.
    """
    section = config.model.recipe
    if not registry.recipe_tower(config.model).has_vocabulary(section):
        return
    path = workdir.vocabulary_file(directory)

    def make() -> None:
        if (directory / "config.json").exists() and path.exists():
            return
        if section.vocabulary:
            content = _read_text(storage.local(section.vocabulary))
        else:
            recipes = read_recipes(train, train.sorted_by_id(), damage)
            texts = (recipe.text for recipe in recipes if recipe is not None)
            content = registry.recipe_tower(config.model).fit(section, texts)
        files.write_text(path, content)

    run_on_first(make)
    storage.refetch(path)
    section.vocabulary = str(path)


def report_unread(config: ml_collections.ConfigDict, dataset: Dataset, train: RecordIndex, damage: Damage) -> None:
    """Prints how much of the train split the recipe tower does not read, if anything, measured on a sample."""

    def report() -> None:
        numbers = np.unique(np.linspace(0, len(train) - 1, min(len(train), SAMPLE)).astype(int))
        recipes = read_encoded(train, numbers, damage)
        if line := registry.recipe_tower(config.model).unread(config.model.recipe, recipes):
            sampled = f" (a sample of {len(train):,})" if len(numbers) < len(train) else ""
            print(f"{shown(dataset.folder)}: {line}{sampled}", flush=True)

    run_on_first(report)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UserError(f"config.model.recipe.vocabulary = {path}: cannot be read ({error})") from None


def check_splits(
    config: ml_collections.ConfigDict, loss: Loss, dataset: Dataset, splits: dict[str, RecordIndex]
) -> None:
    """Checks that the splits suit the loss, and reports what limits training.

    Raises:
        UserError: There are too few training pairs, or the loss needs classes that the records do not have.
    """
    labels = splits["train"].class_id
    pairs, singles = batch_shares(labels, config.batch_size)
    if "text" in splits and not len(splits["text"]):
        raise UserError(
            f"config.data.text_share: {dataset.folder} has no split 'text'; convert the download with --without-photos"
        )
    needs = loss.classes_needed_by
    if needs and not splits["train"].has_classes:
        raise UserError(
            f"{dataset.folder}: its records have no class_id, but {needs}; use only instance strategies "
            "(configs/adamine_ins.py), or convert the data set again with classes"
        )
    if config.loss.get("classifier_weight") and len(dataset.class_names) < 2:
        raise UserError(
            f"{dataset.folder}: has only the background class, so config.loss.classifier_weight must be 0; convert the "
            "data set with lower thresholds (--class-min-train), or use configs/adamine_ins.py"
        )
    if config.batches == "neighbours" and loss.uses_class_pairs:
        print(
            "config.batches = 'neighbours': batches contain same-class pairs only by chance; the semantic losses will "
            "mostly be 0",
            flush=True,
        )
    if config.batches == "classes" and loss.uses_class_pairs and not pairs:
        classed = np.sum(labels != 0)
        print(
            f"{shown(dataset.folder)}: {classed} of {len(labels)} train recipes have a class, too few for same-class "
            f"pairs in every batch; the semantic losses will {'mostly ' if classed else ''}be 0",
            flush=True,
        )
    elif config.batches == "classes" and loss.uses_class_pairs and not singles:
        print(
            f"{shown(dataset.folder)}: too few recipes without a class; batches contain only same-class pairs",
            flush=True,
        )
    if not len(splits["val"]):
        print(f"{shown(dataset.folder)}: no val split; the last checkpoint is used as the best", flush=True)


def digest(config: ml_collections.ConfigDict, dataset: Dataset, splits: dict[str, RecordIndex]) -> bytes:
    """Returns a 32-byte digest of a run, by which processes compare theirs; the paths of files may differ."""
    fields = {name: value for name, value in flatten(config).items() if name not in _PATHS}
    ids = [hashlib.sha256(b"\n".join(splits[split].ids)).hexdigest() for split in sorted(splits)]
    content = json.dumps([fields, dataset.vocabulary_digest, ids], sort_keys=True)
    return hashlib.sha256(content.encode()).digest()
