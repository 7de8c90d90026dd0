"""Cached features of a frozen image backbone, which training reads in place of photos.

The pooled features of a fixed number of crops per photo are computed once, with BatchNorm's stored statistics, and
stored as float16 in `frozen_features/<digest>/<split>.npy` in the workdir; see docs/features.md.
"""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from adamine_jax.base import files, storage
from adamine_jax.base.errors import NO_ROOM, DiskFull, UserError
from adamine_jax.base.progress import Progress
from adamine_jax.distributed import mesh as devices
from adamine_jax.distributed.broadcast import run_on_first
from adamine_jax.input import pipeline
from adamine_jax.input.damage import Damage
from adamine_jax.input.features import PhotoFeatures
from adamine_jax.input.record_index import RecordIndex
from adamine_jax.models.adamine import AdaMine

FOLDER = "frozen_features"
DTYPE = np.dtype(np.float16)
_SAVE_EVERY = 16
"""Number of batches after which the computed rows are flushed and counted; an interrupted computation resumes there."""


@dataclasses.dataclass(frozen=True)
class FrozenBackbone:
    """Image backbone whose features are cached in the workdir; the features of a damaged photo are NaN.

    `variables` are {'params', 'batch_stats'}, on `mesh`.
    """

    workdir: Path
    config: Any
    model: AdaMine
    variables: dict[str, Any]
    mesh: Mesh
    damage: Damage

    def random_crops(self, index: RecordIndex) -> PhotoFeatures:
        """Returns the features of `cache_frozen_features` random crops of each training photo, computing them once.

        Raises:
            UserError: The disk is full, or too many records are damaged.
        """
        photos, crops = len(index.photo_ids), self.config.cache_frozen_features
        draws = np.random.default_rng([self.config.seed, photos]).random((photos * crops, 3), np.float32)
        path = self._stored("train", index, np.repeat(np.arange(photos), crops), draws)
        rows = np.arange(photos * crops).reshape(photos, crops)
        return PhotoFeatures(np.load(path, mmap_mode="r"), rows, str(path), has_gaps=True)

    def central_crops(self, index: RecordIndex) -> PhotoFeatures:
        """Returns the features of the central crop of each validation recipe's first photo; see `random_crops`."""
        first = index.first_photo[:-1][np.diff(index.first_photo) > 0]
        path = self._stored("val", index, first, None)
        rows = np.zeros((len(index.photo_ids), 1), np.int64)
        rows[first, 0] = np.arange(len(first))  # validation reads no other photos
        return PhotoFeatures(np.load(path, mmap_mode="r"), rows, str(path), has_gaps=True)

    def _stored(self, split: str, index: RecordIndex, photos: np.ndarray, draws: np.ndarray | None) -> Path:
        """Returns the file with the (N, F) features of these photos' crops, computing it if it is missing."""
        path = self.workdir / FOLDER / self._digest() / f"{split}.npy"
        storage.fetch(path)
        if run_on_first(path.exists):
            return path
        shape = (len(photos), type(self.model.image_tower).feature_dim(self.config.model.image))
        unfinished, count_file = path.with_suffix(".unfinished"), path.with_suffix(".done")
        done = run_on_first(lambda: int(count_file.read_text()) if count_file.exists() and unfinished.exists() else 0)
        features = None

        def allocate() -> None:
            nonlocal features
            path.parent.mkdir(parents=True, exist_ok=True)
            features = _open(unfinished, shape, is_new=not done)

        def finish() -> None:
            files.rename(unfinished, path)
            count_file.unlink(missing_ok=True)
            storage.withdraw(count_file)

        try:
            run_on_first(allocate)
            self._compute(features, done, count_file, index, photos, draws, split)
            run_on_first(finish)
        except OSError as error:
            size = f"{shape[0] * shape[1] * DTYPE.itemsize / 2**30:.1f} GiB"
            if error.errno not in NO_ROOM:
                raise UserError(f"{path}: {size} cannot be written ({error.strerror})") from None
            error.filename = str(path)
            remedy = (
                f"the features need {size}: free some space and rerun the same command to resume, or use a lower "
                "config.cache_frozen_features (0 = none) in another workdir"
            )
            raise DiskFull(error, remedy=remedy) from None
        storage.fetch(path)  # in the other processes
        return path

    def _compute(
        self,
        features: np.memmap | None,
        done: int,
        count_file: Path,
        index: RecordIndex,
        photos: np.ndarray,
        draws: np.ndarray | None,
        split: str,
    ) -> None:
        """Fills the rows of `features` (N, F) from `done` on.

        All processes compute; only the first one has the file.
        """
        batch_size = devices.round_up(min(self.config.eval.batch_size, len(photos)), self.mesh)
        batches = pipeline.photo_batches(
            index,
            photos[done:],
            None if draws is None else draws[done:],
            self.config,
            batch_size=batch_size,
            rows=devices.local_rows(batch_size),
            damage=self.damage,
        )
        with Progress(f"features of the frozen backbone, {split}", len(photos), "crop", initial=done) as progress:
            for number, batch in enumerate(self._features(batches), start=1):
                count = min(batch_size, len(photos) - done)
                if features is not None:
                    features[done : done + count] = batch[:count]
                done += count
                progress.update(count)
                if features is not None and number % _SAVE_EVERY == 0:
                    features.flush()
                    files.write_text(count_file, str(done))
        if features is not None:
            features.flush()

    def _features(self, batches: Iterator[pipeline.Batch]) -> Iterator[np.ndarray]:
        """Yields the (B, F) features of each batch of photos."""

        @functools.partial(jax.jit, out_shardings=devices.replicated(self.mesh))
        def embed(variables, batch):
            variables = jax.lax.with_sharding_constraint(variables, devices.replicated(self.mesh))
            features: Any = self.model.apply(variables, batch["image"], method="image_features")
            return jnp.where(batch["readable"][:, None], features, jnp.nan)

        for batch in pipeline.to_devices(batches, self.mesh):
            yield np.asarray(embed(self.variables, batch)).astype(DTYPE)

    def _digest(self) -> str:
        """Returns a digest of the backbone's variables, which the features depend on."""
        digest, names = hashlib.sha256(), self.model.image_tower.backbone
        for collection in ("params", "batch_stats"):
            tower = self.variables[collection].get("image_tower", {})
            for leaf in jax.tree.leaves([tower[name] for name in names if name in tower]):
                digest.update(np.asarray(leaf).tobytes())
        return digest.hexdigest()[:12]


def _open(path: Path, shape: tuple[int, int], is_new: bool) -> np.memmap:
    """Opens the matrix and allocates its disk space, because a full disk kills a process that writes a mapped page."""
    features = np.lib.format.open_memmap(path, "w+" if is_new else "r+", DTYPE, shape)
    if hasattr(os, "posix_fallocate"):  # not on macOS
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    return features
