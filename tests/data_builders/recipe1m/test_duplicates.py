"""Duplicates, compared with a direct comparison of all pairs of items."""

import itertools
import tracemalloc

import numpy as np
import pytest

from data_builders.recipe1m.duplicates import Duplicates, content_digest, text_digest

PAIRS = [("train", "val"), ("train", "test"), ("val", "test")]


def items(number, contents, seed):
    """(content, partition, id) in random order."""
    rng = np.random.default_rng(seed)
    places = rng.choice(["train", "val", "test"], number, p=[0.6, 0.2, 0.2])
    ids = [f"{value:010x}" for value in rng.permutation(2**40 - 1 - np.arange(number) * 977)]
    return list(zip(rng.integers(0, contents, number).tolist(), places.tolist(), ids, strict=True))


@pytest.mark.parametrize(("number", "contents"), [(300, 40), (300, 300), (300, 10**9), (2, 1), (1, 1), (0, 1)])
def test_pairs_are_found_as_by_comparing_all_with_all(number, contents):
    planted = items(number, contents, seed=number + contents)
    duplicates = Duplicates(".jpg")
    for content, place, identity in planted:
        duplicates.add(content_digest(str(content).encode()), place, identity)
    found = duplicates.find()
    for one, other in PAIRS:
        both = {a[0] for a in planted if a[1] == one} & {b[0] for b in planted if b[1] == other}
        shared = found[one, other]
        assert shared.contents == len(both)
        assert shared.items == {
            place: sum(item[1] == place and item[0] in both for item in planted) for place in (one, other)
        }
        assert len(shared.first) == min(len(both), 10)
        for names in shared.first:
            a, b = (next(item for item in planted if f"{item[2]}.jpg" == name) for name in names)
            assert (a[0], a[1], b[1]) == (b[0], one, other)
    for place in ("train", "val", "test"):
        inside = [item[0] for item in planted if item[1] == place]
        assert found[(place,)].items == {place: len(inside) - len(set(inside))}
        assert found[(place,)].contents == sum(inside.count(content) > 1 for content in set(inside))
        for names in found[(place,)].first:
            a, b = (next(item for item in planted if f"{item[2]}.jpg" == name) for name in names)
            assert a[:2] == b[:2]
            assert a[2] != b[2]


def test_the_first_pairs_of_the_collection_are_named():
    duplicates = Duplicates()
    for number in range(30):
        duplicates.add(content_digest(bytes([number])), "train", f"{number:010x}")
    for number in range(30):
        duplicates.add(content_digest(bytes([number])), "test", f"{number + 100:010x}")
    assert duplicates.find()["train", "test"].first == [(f"{n:010x}", f"{n + 100:010x}") for n in range(10)]


def test_a_million_recipes_and_their_photos_fit_in_50_megabytes():
    number = 60_000
    digests = np.random.default_rng(0).integers(0, 2**63, number, np.uint64).tolist()
    digests[1::50] = digests[::50]
    tracemalloc.start()
    try:
        duplicates = Duplicates()
        for row, digest in enumerate(digests):
            duplicates.add(digest, "train", f"{row:010x}")
        kept, _ = tracemalloc.get_traced_memory()
        duplicates.find()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Photos and texts are kept at the same time and compared one after the other.
    assert kept / number * 1_800_000 + (peak - kept) / number * 1_000_000 < 50e6


TEXT = ("Apple pie", ["2 apples", "½ cup  sugar"], ["Peel.", "Bake the Crème."])


@pytest.mark.parametrize(
    "other",
    [
        ("  APPLE\tpie\n", ["2 apples", "½ cup sugar"], ["Peel.", "Bake the crème."]),
        ("Apple pie", ["2 apples ½ cup sugar"], ["Peel. Bake the Crème.", ""]),
        ("Apple pie", ["2 apples", "½ cup sugar"], ["Peel.", "Bake the Cre\u0300me."]),
    ],
)
def test_the_same_text_is_the_same_however_it_is_set(other):
    assert text_digest(*other) == text_digest(*TEXT)


def test_texts_that_are_nearly_the_same_are_different():
    variants = [
        TEXT,
        ("Apple pies", *TEXT[1:]),
        (TEXT[0], ["3 apples", TEXT[1][1]], TEXT[2]),
        (TEXT[0], TEXT[1], ["Peel", "Bake the Crème."]),
        (TEXT[0], TEXT[1], TEXT[2][::-1]),
        (TEXT[0], [*TEXT[1], "Peel."], TEXT[2][1:]),
        (TEXT[0], TEXT[1], ["Peel.", "Bake the Creme."]),
        ("", [], []),
    ]
    for one, other in itertools.combinations(variants, 2):
        assert text_digest(*one) != text_digest(*other)
