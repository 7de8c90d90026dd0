"""The epoch plan's invariants, over random label distributions."""

import collections

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.base.errors import UserError
from adamine_jax.input.plan import batch_shares, epoch_plan

labelled = st.lists(st.sampled_from([0, 0, 0, 1, 1, 2, 3, 7]), min_size=4, max_size=120).map(np.array)


@settings(max_examples=200, deadline=None)
@given(labels=labelled, seed=st.integers(0, 5), epoch=st.integers(0, 3), batch_size=st.integers(2, 13))
def test_batches_are_pairs_of_a_class_and_background_without_repetition(labels, seed, epoch, batch_size):
    if len(labels) < batch_size:
        return
    plan = epoch_plan(labels, seed, epoch, batch_size)
    pairs, singles = batch_shares(labels, batch_size)

    assert plan.shape[1] == batch_size == 2 * pairs + singles
    assert len(plan) >= 1
    assert len(np.unique(plan)) == plan.size
    assert plan.min() >= 0
    assert plan.max() < len(labels)
    of_pairs = labels[plan[:, : 2 * pairs]].reshape(len(plan), pairs, 2)
    assert (of_pairs[..., 0] == of_pairs[..., 1]).all()
    assert (of_pairs != 0).all()
    if pairs:
        assert (labels[plan[:, 2 * pairs :]] == 0).all()
    # The epoch ends only when one of its halves has run out.
    pairs_in_all = sum(count // 2 for label, count in collections.Counter(labels.tolist()).items() if label)
    pairs_left = pairs_in_all - len(plan) * pairs
    background_left = np.sum(labels == 0) - len(plan) * singles
    if pairs:
        assert pairs_left < pairs or background_left < singles
    else:
        assert len(labels) - plan.size < batch_size


def test_the_published_batch_is_twenty_five_pairs_and_fifty_background_items():
    assert batch_shares(np.repeat([0, 1, 2], 400), 100) == (25, 50)
    # B/2 is odd: B // 4 pairs, the rest background.
    assert batch_shares(np.repeat([0, 1, 2], 400), 10) == (2, 6)


@pytest.mark.parametrize(
    ("labels", "shares"),
    [
        (np.zeros(40, int), (0, 8)),  # no classes
        (np.arange(40), (0, 8)),  # every class stands alone
        (np.ones(40, int), (4, 0)),  # no background
        (np.repeat([0, 1], [39, 1]), (0, 8)),  # too few of a class
    ],
)
def test_an_empty_half_is_filled_from_the_other(labels, shares):
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


def test_a_class_is_drawn_in_proportion_to_its_pairs():
    labels = np.repeat([0, 1, 2], [4000, 300, 100])
    first = [labels[epoch_plan(labels, 0, epoch, 4)[0, 0]] for epoch in range(400)]
    assert np.mean(np.array(first) == 1) == pytest.approx(0.75, abs=0.08)  # 150 of 200 pairs; 3.7 standard errors


def test_too_few_recipes_are_refused_by_name():
    with pytest.raises(UserError, match="batch_size = 8: the train split has 5 recipes"):
        epoch_plan(np.zeros(5, int), 0, 0, 8)
