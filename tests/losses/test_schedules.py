"""A number of the loss follows its schedule."""

import jax.numpy as jnp
import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.config import checks, preset, set_loss
from adamine_jax.losses import registry
from adamine_jax.losses.schedules import scheduled
from adamine_jax.runs.metrics_log import read_metrics
from adamine_jax.train import train
from tests import tiny

GROWING = (("margin", 0.05, 0.005, 0.3),)


def test_the_margin_grows_to_its_end():
    loss = registry.build(registry.section("triplet"))
    for epoch, margin in ((0, 0.05), (1, 0.055), (49, 0.295), (50, 0.3), (80, 0.3)):
        np.testing.assert_allclose(scheduled(loss, GROWING, jnp.int32(epoch)).config.margin, margin, rtol=1e-5)
    assert loss.config.margin == 0.3


def test_a_term_of_a_weighted_sum_falls():
    config = preset("adamine")
    set_loss(config, [("triplet", 1.0), ("infonce", 0.5)])
    config.loss_schedules = (("terms.infonce.temperature", 0.2, -0.05, 0.1), ("weights.triplet", 0.0, 0.5, 1.0))
    checks.check(config)
    found = scheduled(registry.build(config.loss), config.loss_schedules, jnp.int32(3)).config
    assert (float(found.terms.infonce.temperature), float(found.weights.triplet)) == (pytest.approx(0.1), 1.0)


def test_epochs_of_a_run_have_the_loss_of_their_margin(tiny_data, tmp_path):
    """With all embeddings drawn at random and a rate of almost 0, the loss depends on the margin alone."""
    features = str(tiny.write_image_features(tiny_data, tmp_path / "photos.npy"))
    fields = {"optim__lr": 1e-12, "train__log_every_steps": 6, "data__image_features": features}
    means = {}
    for name, more in {
        "growing": {"loss_schedules": (("margin", 0.1, 0.4, 0.5),)},
        "first": {"loss__margin": 0.1},
        "second": {"loss__margin": 0.5},
    }.items():
        train(tiny.small_config(tiny_data, bag=True, **fields, **more), tmp_path / name)
        lines = read_metrics(tmp_path / name / "metrics.jsonl")
        means[name] = [line["loss"] for line in lines if line["split"] == "train"]
    np.testing.assert_allclose(means["growing"], [means["first"][0], means["second"][1]], rtol=1e-5)
    assert means["first"][1] != pytest.approx(means["second"][1], rel=1e-2)


def test_a_field_that_cannot_change_is_refused():
    config = preset("adamine")
    config.loss_schedules = (("weights", 0.0, 0.1, 1.0),)
    with pytest.raises(
        UserError, match=r"loss_schedules: 'weights' is not a number that this loss can change .*: margin"
    ):
        checks.check(config)
    for schedule, message in (
        (("margin", 0.1, -0.1, 0.3), r"'margin' never gets from 0\.1 to 0\.3 by steps of -0\.1"),
        (("margin", -0.1, 0.1, 0.3), r"config\.loss\.margin = -0\.1: must be a number ≥ 0"),
    ):
        config.loss_schedules = (schedule,)
        with pytest.raises(UserError, match=message):
            checks.check(config)
    config.loss_schedules = (("margin", 0.0, 0.1),)
    with pytest.raises(
        UserError, match=r"config\.loss_schedules = .*: must be a tuple of \(field, start, change per epoch"
    ):
        checks.check(config)
