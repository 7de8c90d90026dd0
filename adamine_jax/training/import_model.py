"""Imports a published model as a workdir, equal to that of a training run."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np

from adamine_jax.base.errors import UserError, shown
from adamine_jax.checkpoints.manager import Checkpoints
from adamine_jax.config.presets import preset
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.input.dataset import Dataset, open_dataset
from adamine_jax.input.features import read_matrix
from adamine_jax.interop.published_names import PUBLISHED
from adamine_jax.losses.registry import build
from adamine_jax.models.adamine import build_model
from adamine_jax.models.published import describe, read_published, set_sizes
from adamine_jax.runs import workdir
from adamine_jax.training.state import create_state

CLASSIFIER_WEIGHT = 0.01
"""`loss.classifier_weight` of an imported model with a classifier, as in the presets that have one."""


def import_model(source: str, file: Path, data: Path, directory: Path, sentence_vectors: Path | None = None) -> None:
    """Writes a workdir with a published model at step 0, and prints a summary.

    Args:
        source: Code base of the checkpoint, a key of `PUBLISHED`.
        file: Checkpoint; see `models.published.read_published`.
        data: Converted data set with the words and classes that the model was trained with.
        directory: Workdir to create; a new or empty folder.
        sentence_vectors: Value of `config.data.sentence_vectors`; None leaves the field empty.

    Raises:
        UserError: The folder is not empty, or the checkpoint is of another model or does not match the data set.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UserError(f"--workdir {directory}: exists and is not an empty folder; give a new one")
    names = PUBLISHED[source]
    dataset = open_dataset(data)
    train = dataset.index("train")
    published = read_published(file, names)
    params = published.variables["params"]
    file_rows = len(params["recipe_tower"]["table"])
    params["recipe_tower"]["table"] = _padded(params["recipe_tower"]["table"], file, dataset)
    dropped = [f"{', '.join(published.dropped)} (the ImageNet classifier)"] if published.dropped else []
    if "classifier" in params and (classes := len(params["classifier"]["bias"])) != len(dataset.class_names):
        del params["classifier"]
        dropped.append(
            f"{names.classifier} (a classifier of {classes:,} classes, {data} has {len(dataset.class_names):,})"
        )
    config = preset("adamine")
    config.data.dir = str(data)
    set_sizes(config.model, published, names)
    if "classifier" in params:
        config.loss.classifier_weight = CLASSIFIER_WEIGHT
    if sentence_vectors is not None:
        config.data.sentence_vectors = str(sentence_vectors)
        length = read_matrix("data.sentence_vectors", sentence_vectors).values.shape[1]
        if length != config.model.recipe.sentence_dim:
            raise UserError(
                f"--sentence-vectors {sentence_vectors}: vectors of length {length}, but the model of {file} reads "
                f"vectors of length {config.model.recipe.sentence_dim}"
            )

    with _new_folder(directory) as folder:
        workdir.claim(folder, config, dataset, train)
        checkpoints = Checkpoints(folder)
        model, loss = build_model(config.model, table_rows=dataset.table_rows), build(config.loss)
        checkpoints.save(create_state(model, loss, published.variables, make_mesh(jax.local_devices()[:1])))
        checkpoints.close()

    parameters, dim = sum(leaf.size for leaf in jax.tree.leaves(params)), config.model.embedding_dim
    print(f"{shown(directory)}: a model of {names.title}, {parameters:,} parameters, {dim}-dimensional embeddings")
    for line in describe(config.model, file_rows, dataset.table_rows):
        print(f"  {line}")
    if "classifier" in params:
        print(f"  classifier: {len(dataset.class_names):,} classes")
    for line in dropped:
        print(f"left out: {line}")
    if sentence_vectors is None:
        print("the model reads sentence vectors: pass their file to evaluate and embed as --sentence-vectors FILE")
    split = next((split for split in ("test", "val", "train") if dataset.shards(split)), "test")
    print(f"next: python -m adamine_jax.evaluate --workdir {shown(directory)} --split {split}")


def _padded(table: np.ndarray, file: Path, dataset: Dataset) -> np.ndarray:
    """Appends rows of zeros to a word table, up to the V + 3 rows of the data set's vocabulary.

    Published tables have V rows, although the ids also count padding, `</i>` and unknown words. Row i belongs to id i
    there as here, so the last ids have no row.
    """
    words = len(dataset.words)
    if not words <= len(table) <= dataset.table_rows:
        raise UserError(
            f"{file}: its word table has {len(table):,} rows, but {dataset.folder} has {words:,} words, which needs "
            f"{words:,} to {dataset.table_rows:,} rows; convert the data set with the model's vocabulary (--vocab)"
        )
    return np.pad(table, ((0, dataset.table_rows - len(table)), (0, 0)))


@contextmanager
def _new_folder(directory: Path) -> Generator[Path]:
    """Yields a hidden temporary folder, which is renamed to `directory` if the block succeeds."""
    folder = directory.absolute().parent / f".{directory.name}.import-{os.getpid()}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"--workdir {directory}: cannot be written ({error.strerror})") from None
    try:
        yield folder
        os.replace(folder, directory)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
