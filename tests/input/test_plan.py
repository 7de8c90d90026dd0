"""Invariants of the epoch plan, on random labels and on as many labels as Recipe1M's train split has."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.base.errors import UserError
from adamine_jax.input.plan import batch_shares, epoch_plan

RECIPES, CLASSES, BATCH, EPOCHS = 238_408, 1_047, 100, 10
"""Recipe1M's train split and its number of classes, the published batch size, and a number of epochs to compare."""

labelled = st.lists(st.sampled_from([0, 0, 0, 1, 1, 2, 3, 7]), min_size=4, max_size=120).map(np.array)


@settings(max_examples=200, deadline=None)
@given(labels=labelled, seed=st.integers(0, 5), epoch=st.integers(0, 3), batch_size=st.integers(2, 13))
def test_batches_contain_same_class_pairs_and_background_without_repetition(labels, seed, epoch, batch_size):
    if len(labels) < batch_size:
        return
    plan = epoch_plan(labels, seed, epoch, batch_size)
    pairs, singles = batch_shares(labels, batch_size)

    assert plan.shape[1] == batch_size == 2 * pairs + singles
    assert len(plan) >= 1
    assert len(np.unique(plan)) == plan.size
    assert plan.min() >= 0
    assert plan.max() < len(labels)
    pair_labels = labels[plan[:, : 2 * pairs]].reshape(len(plan), pairs, 2)
    assert (pair_labels[..., 0] == pair_labels[..., 1]).all()
    assert (pair_labels != 0).all()
    if pairs:
        assert (labels[plan[:, 2 * pairs :]] == 0).all()
    # The epoch ends only when one half is used up.
    available_pairs = sum(count // 2 for label, count in collections.Counter(labels.tolist()).items() if label)
    pairs_left = available_pairs - len(plan) * pairs
    background_left = np.sum(labels == 0) - len(plan) * singles
    if pairs:
        assert pairs_left < pairs or background_left < singles
    else:
        assert len(labels) - plan.size < batch_size


def test_the_published_batch_has_25_pairs_and_50_background_items():
    assert batch_shares(np.repeat([0, 1, 2], 400), 100) == (25, 50)
    # B/2 is odd: B // 4 pairs, the rest background.
    assert batch_shares(np.repeat([0, 1, 2], 400), 10) == (2, 6)


@pytest.mark.parametrize(
    ("labels", "shares"),
    [
        (np.zeros(40, int), (0, 8)),  # no classes
        (np.arange(40), (0, 8)),  # one recipe per class
        (np.ones(40, int), (4, 0)),  # no background
        (np.repeat([0, 1], [39, 1]), (0, 8)),  # too few recipes with a class
    ],
)
def test_a_half_that_cannot_be_filled_is_replaced_by_the_other(labels, shares):
    assert batch_shares(labels, 8) == shares
    plan = epoch_plan(labels, 0, 0, 8)
    assert plan.shape == (5, 8)
    assert len(np.unique(plan)) == 40


def test_a_plan_depends_only_on_seed_and_epoch():
    labels = np.random.default_rng(0).integers(0, 9, 500)
    plan = epoch_plan(labels, 3, 5, 20)
    np.testing.assert_array_equal(plan, epoch_plan(labels.copy(), 3, 5, 20))
    assert not np.array_equal(plan, epoch_plan(labels, 3, 6, 20))
    assert not np.array_equal(plan, epoch_plan(labels, 4, 5, 20))


def test_classes_are_drawn_in_proportion_to_their_pairs():
    labels = np.repeat([0, 1, 2], [4000, 300, 100])
    first = [labels[epoch_plan(labels, 0, epoch, 4)[0, 0]] for epoch in range(400)]
    assert np.mean(np.array(first) == 1) == pytest.approx(0.75, abs=0.08)  # 150 of 200 pairs; 3.7 standard errors


def test_fewer_recipes_than_a_batch_are_an_error():
    with pytest.raises(UserError, match="batch_size = 8: the train split has 5 recipes"):
        epoch_plan(np.zeros(5, int), 0, 0, 8)


@pytest.fixture(scope="module")
def recipe1m_labels():
    """Half background; class sizes are proportional to 1 / rank, from about 15,000 recipes down to 21 and fewer."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, CLASSES + 1)
    classed = rng.choice(CLASSES, RECIPES // 2, p=shares / shares.sum()) + 1
    labels = np.concatenate([np.zeros(RECIPES - len(classed), np.int64), classed])
    rng.shuffle(labels)
    assert len(np.unique(labels)) == CLASSES + 1
    return labels


def test_ten_epochs_of_recipe1m_use_almost_all_records_in_different_batches(recipe1m_labels):
    labels = recipe1m_labels
    plans = [epoch_plan(labels, 0, epoch, BATCH) for epoch in range(EPOCHS)]
    half = BATCH // 2
    available_pairs = int((np.bincount(labels)[1:] // 2).sum())
    steps = min(available_pairs // (half // 2), int((labels == 0).sum()) // half)
    assert steps > 2_300
    uses = np.zeros(RECIPES, int)
    for plan in plans:
        assert plan.shape == (steps, BATCH)
        assert plan.min() >= 0
        drawn = np.bincount(plan.ravel(), minlength=RECIPES)
        assert drawn.max() == 1  # nothing is repeated
        assert len(drawn) == RECIPES
        uses += drawn
        pair_labels, other_labels = labels[plan[:, :half]], labels[plan[:, half:]]
        assert (pair_labels > 0).all()
        assert (pair_labels[:, 0::2] == pair_labels[:, 1::2]).all()
        assert (other_labels == 0).all()
    # Any two epochs differ in their batches and in their pairs.
    for number, plan in enumerate(plans):
        for other in plans[:number]:
            assert (plan == other).mean() < 0.01
            assert len(np.intersect1d(pairs_of(plan, half), pairs_of(other, half))) < 0.01 * steps * half // 2
    # Records left out of one epoch are drawn in another.
    assert (uses > 0).mean() > 0.999


def pairs_of(plan, half):
    """Returns one number per pair of a plan, independent of the order within the pair."""
    pairs = np.sort(plan[:, :half].reshape(-1, 2), axis=1)
    return pairs[:, 0] * RECIPES + pairs[:, 1]


def test_the_plan_matches_a_naive_loop(recipe1m_labels):
    labels = recipe1m_labels
    rng = np.random.default_rng([0, 3])
    background = rng.permutation(np.flatnonzero(labels == 0))
    unpaired, pairs_by_class = {}, {}
    for number in rng.permutation(np.flatnonzero(labels != 0)).tolist():
        label = int(labels[number])
        partner = unpaired.pop(label, None)
        if partner is None:
            unpaired[label] = number
        else:
            pairs_by_class.setdefault(label, []).append((partner, number))
    pairs = rng.permutation([pair for label in sorted(pairs_by_class) for pair in pairs_by_class[label]])
    plan = epoch_plan(labels, 0, 3, BATCH)
    half = BATCH // 2
    np.testing.assert_array_equal(plan[:, :half].ravel(), pairs.ravel()[: plan.size // 2])
    np.testing.assert_array_equal(plan[:, half:].ravel(), background[: plan.size // 2])
