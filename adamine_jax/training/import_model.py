"""A whole model that others trained becomes a workdir, as if it had been trained here."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import jax
import ml_collections
import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.checkpoints.manager import Checkpoints
from adamine_jax.config.defaults import base_config
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.input.dataset import Dataset, open_dataset
from adamine_jax.input.features import read_matrix
from adamine_jax.input.records import load_index
from adamine_jax.interop.published_names import PUBLISHED, Names
from adamine_jax.losses.registry import build
from adamine_jax.models.adamine import build_model
from adamine_jax.models.published import PublishedModel, describe, read_published, set_sizes
from adamine_jax.runs import workdir
from adamine_jax.training.state import create_state

CLASSIFIER_WEIGHT = 0.01
"""Of an imported model that has a classifier; the pairwise presets' and the ablation's."""


def import_model(source: str, file: Path, data: Path, directory: Path, sentence_vectors: Path | None = None) -> None:
    """Writes a workdir with a published model at step 0, and prints what it holds.

    Args:
        source: who made the weights, a key of `PUBLISHED`.
        file: the checkpoint; see `interop.published.read_published`.
        data: a converted data set, whose words and classes are those that the model was trained with.
        directory: the workdir; a new folder or an empty one.
        sentence_vectors: for `config.data.sentence_vectors`; None leaves the field empty.

    Raises:
        UserError: the folder is taken, the file holds another model, or data set and model do not fit each other.
    """
    names = PUBLISHED[source]
    _check_free(directory)
    dataset = open_dataset(data)
    train = load_index(dataset.shards("train"))
    published = read_published(file, names)
    params = published.variables["params"]
    file_rows = len(params["recipe_tower"]["table"])
    params["recipe_tower"]["table"] = _all_rows(params["recipe_tower"]["table"], file, dataset)
    dropped = [f"{', '.join(published.dropped)} (the ImageNet classifier)"] if published.dropped else []
    if "classifier" in params and (classes := len(params["classifier"]["bias"])) != len(dataset.class_names):
        del params["classifier"]
        dropped.append(
            f"{names.classifier} (a classifier of {classes:,} classes, {data} has {len(dataset.class_names):,})"
        )
    config = _config(published, names, data)
    if sentence_vectors is not None:
        config.data.sentence_vectors = str(sentence_vectors)
        _check_sentence_vectors(sentence_vectors, config.model.recipe.sentence_dim, file)

    with _made_whole(directory) as aside:
        workdir.claim(aside, config, dataset, train)
        checkpoints = Checkpoints(aside)
        model, loss = build_model(config.model, table_rows=dataset.table_rows), build(config.loss)
        checkpoints.save(create_state(model, loss, published.variables, make_mesh(jax.local_devices()[:1])))
        checkpoints.close()
    _print_summary(published, names, config, directory, file_rows, dataset)
    for line in dropped:
        print(f"left out: {line}")
    _print_next(config, directory, dataset)


def _check_free(directory: Path) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UserError(f"--workdir {directory}: exists and is not an empty folder; take a new one")


def _all_rows(table: np.ndarray, file: Path, dataset: Dataset) -> np.ndarray:
    """The file's rows (R, D), V ≤ R ≤ V + 3, as the first of the table's V + 3; the others are zeros.

    Published tables have V rows, too few for padding, `</i>` and unknown words. The ids count these all the same, so
    that row i belongs to id i there as here, and the last ids have no row.
    """
    words = len(dataset.words)
    if not words <= len(table) <= dataset.table_rows:
        raise UserError(
            f"{file}: its word table has {len(table):,} rows, {dataset.folder} has {words:,} words; takes {words:,} "
            f"to {dataset.table_rows:,} rows: convert the data set with the words the model was trained with (--vocab)"
        )
    return np.pad(table, ((0, dataset.table_rows - len(table)), (0, 0)))


def _config(published: PublishedModel, names: Names, data: Path) -> ml_collections.ConfigDict:
    """The base configuration with the model's sizes."""
    config = base_config()
    config.data.dir = str(data)
    set_sizes(config.model, published, names)
    if "classifier" in published.variables["params"]:
        config.loss.classifier_weight = CLASSIFIER_WEIGHT
    return config


def _check_sentence_vectors(path: Path, sentence_dim: int, file: Path) -> None:
    length = read_matrix("data.sentence_vectors", path).values.shape[1]
    if length != sentence_dim:
        raise UserError(
            f"--sentence-vectors {path}: vectors of length {length}, the model of {file} reads {sentence_dim}"
        )


@contextmanager
def _made_whole(directory: Path) -> Generator[Path]:
    """Gives a hidden folder beside `directory`, which becomes it when the block ends without an error."""
    aside = directory.absolute().parent / f".{directory.name}.import-{os.getpid()}"
    try:
        aside.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"--workdir {directory}: cannot be written ({error.strerror})") from None
    try:
        yield aside
        os.replace(aside, directory)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _print_summary(
    published: PublishedModel,
    names: Names,
    config: ml_collections.ConfigDict,
    directory: Path,
    file_rows: int,
    dataset: Dataset,
) -> None:
    model, rows = config.model, dataset.table_rows
    parameters = sum(leaf.size for leaf in jax.tree.leaves(published.variables["params"]))
    print(f"{directory}: a model of {names.title}, {parameters:,} parameters, embeddings of {model.embedding_dim}")
    for line in describe(model, file_rows, rows):
        print(f"  {line}")
    if "classifier" in published.variables["params"]:
        print(f"  classifier: {len(dataset.class_names):,} classes")


def _print_next(config: ml_collections.ConfigDict, directory: Path, dataset: Dataset) -> None:
    if not config.data.sentence_vectors:
        print("it reads sentence vectors: evaluate and embed take their file as --sentence-vectors FILE")
    split = next((split for split in ("test", "val", "train") if dataset.shards(split)), "test")
    print(f"next: python -m adamine_jax.evaluate --workdir {directory} --split {split}")
