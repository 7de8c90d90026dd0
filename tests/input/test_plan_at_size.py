"""The epoch plan on as many labels as Recipe1M's train split has."""

import numpy as np
import pytest

from adamine_jax.input.plan import epoch_plan

RECIPES, CLASSES, BATCH, EPOCHS = 238_408, 1_047, 100, 10


@pytest.fixture(scope="module")
def labels():
    """Half background; the sizes of the classes fall like 1 / rank, from some 15,000 recipes to 21 and less."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, CLASSES + 1)
    classed = rng.choice(CLASSES, RECIPES // 2, p=shares / shares.sum()) + 1
    labels = np.concatenate([np.zeros(RECIPES - len(classed), np.int64), classed])
    rng.shuffle(labels)
    assert len(np.unique(labels)) == CLASSES + 1
    return labels


def test_ten_epochs_of_recipe1m(labels):
    plans = [epoch_plan(labels, 0, epoch, BATCH) for epoch in range(EPOCHS)]
    half = BATCH // 2
    pairs_there_are = int((np.bincount(labels)[1:] // 2).sum())
    steps = min(pairs_there_are // (half // 2), int((labels == 0).sum()) // half)
    assert steps > 2_300
    uses = np.zeros(RECIPES, int)
    for plan in plans:
        assert plan.shape == (steps, BATCH)
        assert plan.min() >= 0
        drawn = np.bincount(plan.ravel(), minlength=RECIPES)
        assert drawn.max() == 1  # nothing is repeated
        assert len(drawn) == RECIPES
        uses += drawn
        of_pairs, of_rest = labels[plan[:, :half]], labels[plan[:, half:]]
        assert (of_pairs > 0).all()
        assert (of_pairs[:, 0::2] == of_pairs[:, 1::2]).all()
        assert (of_rest == 0).all()
    # Every two epochs have other batches, and other partners.
    for number, plan in enumerate(plans):
        for other in plans[:number]:
            assert (plan == other).mean() < 0.01
            assert len(np.intersect1d(pairs_of(plan, half), pairs_of(other, half))) < 0.01 * steps * half // 2
    # What one epoch leaves out comes in another one.
    assert (uses > 0).mean() > 0.999


def pairs_of(plan, half):
    """A number for each pair of a plan, whichever of the two comes first."""
    pairs = np.sort(plan[:, :half].reshape(-1, 2), axis=1)
    return pairs[:, 0] * RECIPES + pairs[:, 1]


def test_the_plan_is_that_of_a_plain_loop(labels):
    """The same shuffles, then pairs put together one by one."""
    rng = np.random.default_rng([0, 3])
    background = rng.permutation(np.flatnonzero(labels == 0))
    waiting, of_class = {}, {}
    for number in rng.permutation(np.flatnonzero(labels != 0)).tolist():
        label = int(labels[number])
        partner = waiting.pop(label, None)
        if partner is None:
            waiting[label] = number
        else:
            of_class.setdefault(label, []).append((partner, number))
    pairs = rng.permutation([pair for label in sorted(of_class) for pair in of_class[label]])
    plan = epoch_plan(labels, 0, 3, BATCH)
    half = BATCH // 2
    np.testing.assert_array_equal(plan[:, :half].ravel(), pairs.ravel()[: plan.size // 2])
    np.testing.assert_array_equal(plan[:, half:].ravel(), background[: plan.size // 2])
