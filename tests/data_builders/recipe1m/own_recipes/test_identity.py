"""Ids and partitions: the same in every run and order, each of its own, groups together."""

import hashlib
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.recipes.texts import text_digest
from data_builders.recipe1m.own_recipes.identity import draw, groups, partitions, recipe_ids, short_ids

SHARES = (0.7, 0.15, 0.15)


def test_the_digest_of_a_text_is_sha_256_of_its_canonical_form():
    canonical = '["cr\\u00e8me br\\u00fbl\\u00e9e", ["2 eggs"], []]'
    wanted = hashlib.sha256(canonical.encode()).hexdigest()
    assert text_digest("Crème  Brûlée ", ["2 EGGS"], []) == wanted
    assert text_digest("Cre\u0300me bru\u0302le\u0301e", ["2\u00a0eggs"], []) == wanted
    assert text_digest("crème brûlée", [], ["2 eggs"]) != wanted
    assert text_digest("\ud800", ["a"], []) != text_digest("\ud801", ["a"], [])


def test_an_id_is_the_first_ten_digits():
    digests = [hashlib.sha256(bytes([number])).hexdigest() for number in range(50)]
    assert short_ids(digests) == ({digest: digest[:10] for digest in digests}, [])
    assert recipe_ids([""] * 50, digests, [()] * 50) == ([digest[:10] for digest in digests], [])


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["", "", "00000000aa", "00000000AA", "soup"]), st.sampled_from("ab"), st.integers(0, 3)
        ),
        max_size=12,
        unique=True,
    ),
    st.randoms(use_true_random=False),
)
def test_ids_are_unique_and_do_not_depend_on_the_order(records, chance):
    # Digests that begin alike: nearly all ids clash.
    def ids_of(records):
        given_ids, texts, photos = zip(*records, strict=True) if records else ((), (), ())
        digests = [hashlib.sha256(b"0").hexdigest()[:10] + text * 54 for text in texts]
        return recipe_ids(given_ids, digests, [(number,) for number in photos])

    ids, _ = ids_of(records)
    assert len({identity.lower() for identity in ids}) == len(records)
    assert all(len(identity) == 10 and int(identity, 16) >= 0 for identity in ids)
    shuffled = chance.sample(records, len(records))
    assert dict(zip(shuffled, ids_of(shuffled)[0], strict=True)) == dict(zip(records, ids, strict=True))


def test_given_ids_are_kept_and_those_that_were_replaced_are_named():
    digests = ["a" * 64, "b" * 64, "c" * 64, "c" * 64, "d" * 10 + "1" * 54, "d" * 10 + "2" * 54]
    given_ids = ["00000000AB", "00000000ab", "", "", "", ""]
    ids, changed = recipe_ids(given_ids, digests, [(0,), (0,), (0,), (1,), (0,), (0,)])
    assert ids[0] == "00000000AB"
    assert (ids[1], ids[2], ids[4]) == ("b" * 10, "c" * 10, "d" * 10)
    assert changed == [1, 3, 5]


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=3), max_size=8))
def test_groups_are_the_connected_ones(keys):
    found = groups(keys)
    joined = [[set(a) & set(b) != set() or i == j for j, b in enumerate(keys)] for i, a in enumerate(keys)]
    for k in range(len(keys)):  # Warshall
        for i in range(len(keys)):
            for j in range(len(keys)):
                joined[i][j] |= joined[i][k] and joined[k][j]
    for i in range(len(keys)):
        assert found[i] == min(j for j in range(len(keys)) if joined[i][j])


def test_shares_are_met_and_do_not_depend_on_the_other_recipes():
    ids = [f"{number:010x}" for number in range(4000)]
    counts = Counter(draw(identity, SHARES) for identity in ids)
    for partition, share in zip(("train", "val", "test"), SHARES, strict=True):
        assert counts[partition] / 4000 == pytest.approx(share, abs=0.03)
    assert [draw(identity, SHARES) for identity in ids[:9]] == [
        draw(identity.upper(), (7, 1.5, 1.5)) for identity in ids[:9]
    ]
    assert {draw(identity, (0, 1, 0)) for identity in ids} == {"val"}


def test_groups_stay_together_and_given_partitions_are_kept():
    ids = [f"{number:010x}" for number in range(60)]
    group = [number // 3 * 3 for number in range(60)]
    given_partitions = ["test" if number == 1 else "" for number in range(60)]
    given_partitions[3:5] = ["train", "val"]
    found, split = partitions(ids, given_partitions, group, SHARES)
    assert found[:3] == ["test"] * 3
    assert found[3:6] == ["train", "val", "train"]
    assert split == [3]
    for number in range(6, 60, 3):
        assert len(set(found[number : number + 3])) == 1
    assert len(set(found[6:])) > 1
    order = random.Random(1).sample(range(60), 60)
    first = {of: order.index(next(n for n in order if group[n] == of)) for of in set(group)}
    again, _ = partitions(
        [ids[n] for n in order], [given_partitions[n] for n in order], [first[group[n]] for n in order], SHARES
    )
    assert again == [found[n] for n in order]
