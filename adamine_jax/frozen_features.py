"""The frozen phase without waste: a ResNet that does not learn sees each crop once, and training reads what it saw.

Its pooled features are stored beside the run as float16, `frozen_features/<ResNet>/<split>.npy`. They are computed
with BatchNorm's stored statistics, for a fixed number of crops of each photo; see docs/features.md.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from adamine_jax import devices, files
from adamine_jax.errors import UserError
from adamine_jax.input import pipeline
from adamine_jax.input.features import PhotoFeatures
from adamine_jax.input.records import RecordIndex
from adamine_jax.models.adamine import AdaMine
from adamine_jax.models.resnet import feature_dim
from adamine_jax.progress import Progress

FOLDER = "frozen_features"
DTYPE = np.dtype(np.float16)
_BATCHES_BETWEEN_NOTES = 16
"""After so many batches what is done is written to disk and counted; an interrupted computation goes on from there."""


def random_crops(
    workdir: Path, config, index: RecordIndex, model: AdaMine, variables: dict[str, Any], mesh: Mesh
) -> PhotoFeatures:
    """Features of `cache_frozen_features` random crops of every training photo, computed now or by an earlier call.

    Args:
        workdir: of the run.
        config: of the run.
        index: of the train split.
        model: both towers.
        variables: {'params', 'batch_stats'}, replicated over `mesh`.
        mesh: with the axis 'data'.

    Raises:
        UserError: the disk has no room for them, or a photo cannot be read.
    """
    photos = len(index.photo_ids)
    rows = np.arange(photos * config.cache_frozen_features).reshape(photos, -1)
    draws = np.random.default_rng([config.seed, photos]).random((rows.size, 3), np.float32)
    numbers = np.repeat(np.arange(photos), config.cache_frozen_features)
    return _stored(workdir, "train", config, index, model, variables, mesh, numbers, draws, rows)


def central_crops(
    workdir: Path, config, index: RecordIndex, model: AdaMine, variables: dict[str, Any], mesh: Mesh
) -> PhotoFeatures:
    """Features of the central crop of each validation recipe's first photo; see `random_crops`."""
    numbers = index.first_photo[:-1]
    rows = np.zeros((len(index.photo_ids), 1), np.int64)
    rows[numbers, 0] = np.arange(len(numbers))
    return _stored(workdir, "val", config, index, model, variables, mesh, numbers, None, rows)


def _stored(workdir, split, config, index, model, variables, mesh, numbers, draws, rows) -> PhotoFeatures:
    folder = workdir / FOLDER / _digest(variables)
    path = folder / f"{split}.npy"
    if not path.exists():
        shape = (len(numbers), feature_dim(config.model.image.depth, config.model.image.width))
        _check_room(workdir, shape, path)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _compute(path, shape, config, index, model, variables, mesh, numbers, draws)
        except OSError as error:
            raise UserError(
                f"{path}: cannot be written ({error.strerror}); make room, and start the run again"
            ) from None
    return PhotoFeatures(np.load(path, mmap_mode="r"), rows, str(path))


def _compute(path, shape, config, index, model, variables, mesh, numbers, draws) -> None:
    unfinished, note = path.with_suffix(".unfinished"), path.with_suffix(".done")
    done = int(note.read_text()) if note.exists() and unfinished.exists() else 0
    mode = "r+" if done else "w+"
    stored = np.lib.format.open_memmap(unfinished, mode, DTYPE, shape)
    batch_size = devices.round_up(min(config.eval.batch_size, shape[0]), mesh)
    batches = pipeline.photo_batches(
        index,
        numbers[done:],
        None if draws is None else draws[done:],
        batch_size=batch_size,
        rows=devices.local_rows(batch_size),
        data=config.data,
    )
    description = f"features of the frozen ResNet, {path.stem}"
    with Progress(description, shape[0], "crop", initial=done) as progress:
        for number, features in enumerate(_features(model, variables, mesh, batches), start=1):
            count = min(batch_size, shape[0] - done)
            stored[done : done + count] = features[:count]
            done += count
            progress.update(count)
            if number % _BATCHES_BETWEEN_NOTES == 0:
                stored.flush()
                files.write_text(note, str(done))
    stored.flush()
    del stored
    unfinished.rename(path)
    note.unlink(missing_ok=True)


def _features(model: AdaMine, variables, mesh: Mesh, batches: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    @jax.jit
    def embed(variables, images):
        features = model.apply(variables, images, method="image_features")
        return jax.lax.with_sharding_constraint(features, NamedSharding(mesh, PartitionSpec()))

    for batch in pipeline.to_devices(({"image": images} for images in batches), mesh):
        yield np.asarray(embed(variables, batch["image"])).astype(DTYPE)


def _digest(variables: dict[str, Any]) -> str:
    """Of the ResNet: other weights have other features."""
    digest = hashlib.sha256()
    for collection in ("params", "batch_stats"):
        for leaf in jax.tree.leaves(variables[collection]["image_tower"]["resnet"]):
            digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:12]


def _check_room(workdir: Path, shape: tuple[int, int], path: Path) -> None:
    """Looks before hours of work whether their result would fit."""
    needed, free = shape[0] * shape[1] * DTYPE.itemsize, shutil.disk_usage(workdir).free
    if needed > free and not path.with_suffix(".unfinished").exists():
        raise UserError(
            f"{path}: {shape[0]:,} crops need {needed / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free; "
            "take a lower config.cache_frozen_features, 0 for none, or another workdir"
        )
