"""TFDS builder that writes a collection: sharded TFRecords, vocabulary, classes, metadata and report."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from adamine_jax.base.cores import available_cores
from data_builders.recipe1m.conversion import Conversion
from data_builders.recipe1m.metadata import VERSION, describe
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.passes.photo_pass import TEXT
from data_builders.recipe1m.recipes import PARTITIONS
from data_builders.recipe1m.repeatable_writer import RepeatableWriter
from data_builders.recipe1m.report.writing import write_report
from data_builders.recipe1m.sources import fingerprint, open_conversion

# TensorFlow only writes files here and must not reserve accelerator memory that a training run needs.
tf.config.set_visible_devices([], "GPU")
tf.config.set_visible_devices([], "TPU")


class Builder(tfds.core.GeneratorBasedBuilder):
    """Recipe1M: recipes with photos, for cross-modal retrieval.

    If TFDS's `DownloadConfig` has a Beam runner or Beam options, Beam decodes the photos and writes the records.

    Args:
        options: Options of the conversion. They are not a `BuilderConfig`, whose name TFDS would add to the path.
        workers: Number of processes that read text, and of threads that decode photos. None uses all cores.
        **kwargs: Arguments of every builder (`data_dir`, `version`, ...).

    Attributes:
        summary: Summary of the report; empty until the collection is built.
    """

    VERSION = tfds.core.Version(VERSION)
    MANUAL_DOWNLOAD_INSTRUCTIONS = (
        "Request Recipe1M from its authors (http://im2recipe.csail.mit.edu). The folder must contain layer1.json, "
        "layer2.json, det_ingrs.json and images/<partition>/a/b/c/d/abcd….jpg (Recipe1M+: layer2+.json, and no "
        "<partition>), or else data_lmdb/."
    )

    def __init__(self, *, options: Options | None = None, workers: int | None = None, **kwargs):
        self._options = options or Options()
        self._workers = workers or available_cores()
        self._cluster = None
        self.summary = ""
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        # Photos stay encoded because a reader decodes only the one that it draws. Lists are tensors of unknown length,
        # which are stored exactly as `Sequence` is and are written six times as fast.
        text = tfds.features.Tensor(shape=(), dtype=tf.string)
        texts = tfds.features.Tensor(shape=(None,), dtype=tf.string)
        numbers = tfds.features.Tensor(shape=(None,), dtype=np.int64)
        return self.dataset_info_from_configs(
            description="Recipes with photos: raw texts, ids of ingredients and words, and one to five JPEG files.",
            features=tfds.features.FeaturesDict(
                {
                    "id": text,
                    "title": text,
                    "url": text,
                    "class_id": np.int64,
                    "ingredients": texts,
                    "instructions": texts,
                    "ingredient_names": texts,
                    "ingredient_ids": numbers,
                    "word_ids": numbers,
                    "sentence_lengths": numbers,
                    "images": texts,
                    "image_ids": texts,
                }
            ),
            homepage="http://im2recipe.csail.mit.edu",
            metadata=tfds.core.MetadataDict(),
        )

    def _example_writer(self) -> tfds.core.ExampleWriter:
        return RepeatableWriter(self.info.file_format)

    def _download_and_prepare(
        self, dl_manager: tfds.download.DownloadManager, download_config: tfds.download.DownloadConfig
    ) -> None:
        runner, options = download_config.beam_runner, download_config.beam_options
        if not (runner or options):
            super()._download_and_prepare(dl_manager, download_config)
            return
        from data_builders.recipe1m.cluster import Cluster, failures

        self._cluster = Cluster(Path(self.data_dir) / "batches", runner, options)
        with failures():
            super()._download_and_prepare(dl_manager, download_config)
        self._cluster.close()

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        source = Path(dl_manager.manual_dir)
        # A temporary folder, which TFDS renames when everything is written.
        folder = Path(self.data_dir)
        digests = fingerprint(source, self._options)
        conversion = open_conversion(source, self._options, folder, self._workers, self._cluster)
        conversion.prepare()
        vocabulary = conversion.vocabulary
        vocabulary.write(folder)
        (folder / "classes.json").write_text(
            json.dumps(conversion.class_names, indent=0, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        write_report(conversion.report, folder)
        self.info.metadata.update(
            vocabulary_digest=vocabulary.digest,
            words=len(vocabulary.words),
            num_classes=len(conversion.class_names),
            **describe(self._options, digests),
        )
        self.summary = conversion.report.summary()
        self._conversion = conversion
        present = [name for name in (*PARTITIONS, TEXT) if name in conversion.partitions()]
        if self._cluster and isinstance(conversion, Conversion):
            return {name: self._cluster.examples(name, conversion.class_ids(name)) for name in present}
        return {name: self._generate_examples(name) for name in present}

    def _generate_examples(self, partition: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for example in self._conversion.examples(partition):
            yield example["id"], example
