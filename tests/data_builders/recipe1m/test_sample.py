from collections import Counter

import numpy as np

from adamine_jax.plots.gallery_items import Item
from data_builders.recipe1m.report.sample import Sample, Sampled


def recipes(train, val, test):
    places = ["train"] * train + ["val"] * val + ["test"] * test
    return [Sampled(place, n, Item(f"{n:010x}", "", "", (), (), b"")) for n, place in enumerate(places)]


def drawn(those, size=24, seed=0):
    sample = Sample(size, seed)
    for one in those:
        sample.add(one)
    return sample.chosen()


def test_each_partition_has_its_part_or_all_it_can_give():
    def sizes(*numbers):
        return [Counter(one.partition for one in drawn(recipes(*numbers)))[name] for name in ("train", "val", "test")]

    assert sizes(500, 100, 100) == [8, 8, 8]
    assert sizes(500, 3, 100) == [11, 3, 10]
    assert sizes(500, 0, 1) == [23, 0, 1]
    assert sizes(5, 6, 7) == [5, 6, 7]
    assert sizes(0, 0, 0) == [0, 0, 0]


def test_the_order_does_not_matter_and_the_seed_does():
    those = recipes(200, 50, 50)
    shuffled = [those[k] for k in np.random.default_rng(0).permutation(len(those))]
    assert drawn(shuffled) == drawn(those)
    assert [one.item.id for one in drawn(those, seed=1)] != [one.item.id for one in drawn(those)]


def test_every_recipe_is_drawn_equally_often():
    those = recipes(40, 0, 0)
    times = Counter(one.position for seed in range(1000) for one in drawn(those, size=10, seed=seed))
    # Binomial with mean 250 and a standard deviation of 14.
    assert len(times) == 40
    assert max(abs(count - 250) for count in times.values()) < 5 * 14


def test_what_it_would_not_take_makes_no_difference():
    those, sample = recipes(300, 100, 20), Sample(size=24, seed=0)
    taken = 0
    for one in those:
        if sample.takes(one.partition, one.item.id):
            sample.add(one)
            taken += 1
    assert sample.chosen() == drawn(those)
    assert taken < len(those) / 2


def test_only_the_sample_stays_in_memory():
    sample = Sample(size=6)
    for one in recipes(300, 300, 300):
        sample.add(one)
    assert sum(map(len, sample._drawn.values())) == 18
