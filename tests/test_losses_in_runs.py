"""Runs with losses on mismatched pairs, with a classifier, and without classes."""

import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.record_index import load_index
from adamine_jax.plots.run_figures import draw_curves
from adamine_jax.runs import workdir
from adamine_jax.runs.metrics_log import read_metrics
from adamine_jax.train import train
from tests import tiny


def test_a_pairwise_loss_with_a_classifier_trains_and_its_model_loads(tiny_data, tmp_path):
    pairwise = {"loss__name": "pairwise_plus", "loss__classifier_weight": 0.01, "data__mismatch": 0.8}
    config = tiny.small_config(tiny_data, bag=True, epochs=1, unfreeze_epoch=0, **pairwise)
    results = train(config, tmp_path / "run")
    assert results["full"]["pairs"] == 12  # the test has no mismatched pairs
    line = read_metrics(tmp_path / "run" / "metrics.jsonl")[0]
    combined = 0.98 * line["loss_retrieval"] + 0.01 * (line["loss_class_image"] + line["loss_class_recipe"])
    np.testing.assert_allclose(line["loss"], combined, rtol=1e-5)
    classifier = workdir.load(tmp_path / "run").variables["params"]["classifier"]
    assert classifier["kernel"].shape == (16, 5)
    assert draw_curves(tmp_path / "run")[0].stat().st_size > 1000


def test_records_without_classes_train_on_instance_triplets_only(tmp_path):
    data = tiny.write_dataset(tmp_path / "data", classes=None)
    assert not load_index(open_dataset(data).shards("train")).has_classes
    with pytest.raises(
        UserError, match=r"its records have no class_id, but config.loss.strategies has semantic strategies"
    ):
        train(tiny.small_config(data), tmp_path / "refused")
    instance = {"loss__strategies": ("IRR", "RII"), "loss__weights": (1.0, 1.0)}
    with pytest.raises(UserError, match=r"no class_id, but config.loss.classifier_weight is not 0"):
        train(tiny.small_config(data, loss__classifier_weight=0.01, **instance), tmp_path / "refused")
    assert train(tiny.small_config(data, bag=True, epochs=1, **instance), tmp_path / "run")["full"]["pairs"] == 12
