"""What a run needs to know about its data before it starts, and what it says about them."""

import hashlib
import json

import ml_collections
import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.config import stored as configuration
from adamine_jax.input.dataset import Dataset
from adamine_jax.input.features import read_matrix
from adamine_jax.input.plan import batch_shares
from adamine_jax.input.records import RecordIndex
from adamine_jax.losses.base import Loss


def with_dims(config: ml_collections.ConfigDict, dataset: Dataset) -> ml_collections.ConfigDict:
    """Fills in how long the vectors are that the run is given: those of words (None), photos and sentences."""
    config = config.copy_and_resolve_references()
    image, recipe = config.model.image, config.model.recipe
    if "word_dim" in recipe and recipe.word_dim is None:
        recipe.word_dim = int(dataset.word_vectors().shape[1])
    if "feature_dim" in image and config.data.image_features:
        image.feature_dim = read_matrix("data.image_features", config.data.image_features).values.shape[1]
    if "sentence_dim" in recipe and config.data.sentence_vectors:
        recipe.sentence_dim = read_matrix("data.sentence_vectors", config.data.sentence_vectors).values.shape[1]
    return config


def check_splits(
    config: ml_collections.ConfigDict, loss: Loss, dataset: Dataset, splits: dict[str, RecordIndex]
) -> None:
    """Says what the splits lack.

    Raises:
        UserError: training is impossible, or the loss needs classes and the records have none.
    """
    labels = splits["train"].class_id
    pairs, singles = batch_shares(labels, config.batch_size)
    needs = loss.classes_needed_by
    if needs and not splits["train"].has_classes:
        raise UserError(
            f"{dataset.folder}: its records have no class_id, but {needs}; take instance strategies alone "
            "(configs/adamine_ins.py), or convert it again with classes"
        )
    if config.loss.get("classifier_weight") and len(dataset.class_names) < 2:
        raise UserError(
            f"{dataset.folder}: has no class but the background, so config.loss.classifier_weight must be 0; "
            "convert it with lower thresholds (--class-min-train) or take configs/adamine_ins.py"
        )
    if loss.uses_class_pairs and not pairs:
        classed = np.sum(labels != 0)
        print(
            f"{dataset.folder}: {classed} of {len(labels)} train recipes have a class, too few for same-class pairs in "
            f"every batch; the semantic losses will {'mostly ' if classed else ''}be 0",
            flush=True,
        )
    elif loss.uses_class_pairs and not singles:
        print(f"{dataset.folder}: too few recipes without a class; every batch is made of same-class pairs", flush=True)
    if not len(splits["val"]):
        print(f"{dataset.folder}: no val split; the last checkpoint counts as the best", flush=True)


def digest(config: ml_collections.ConfigDict, dataset: Dataset, splits: dict[str, RecordIndex]) -> bytes:
    """32 bytes that are the same in two processes if they have the same run to do; files may lie in other places."""
    fields = {name: value for name, value in configuration.flatten(config).items() if name not in PLACES}
    ids = [hashlib.sha256(b"\n".join(splits[split].ids)).hexdigest() for split in sorted(splits)]
    told = json.dumps([fields, dataset.vocabulary_digest, ids], sort_keys=True)
    return hashlib.sha256(told.encode()).digest()


PLACES = (
    "data.dir",
    "data.image_features",
    "data.sentence_vectors",
    "model.image.weights",
    "model.recipe.weights",
    "train.init_from",
)
