"""Instructions reveal form and technique, ingredients the toppings, and titles the classes."""

import collections
import itertools
import re

import hypothesis.strategies as st
import pytest
from hypothesis import given

from data_builders.kitchen import dishes, phrases
from data_builders.kitchen.recipes import PARTITIONS, hex_id, recipe

SPLITS = (0.7, 0.15, 0.15)
# The published list; pairs that contain one of these never become a class.
_FORBIDDEN = """
, & ( ) ' 's ! ? % * . free slow low old easy super best - fresh ever fast quick fat ww n' 'n n make con e minute
minutes portabella de of chef lo rachael poor man ii i year new style
"""
FORBIDDEN = set(_FORBIDDEN.split())
_STOP_WORDS = """
a and the with for from in on at to by or so my your her his our is it
"""
STOP_WORDS = set(_STOP_WORDS.split())
_REVEALING = """
pale golden charred bare zigzag ribbons spoon sieve snow scatter scattered random ring edge border heap pile middle
ladle deep round pieces rows row split inside blade mould walls
"""
REVEALING = set(_REVEALING.split())


@pytest.fixture(scope="module")
def cooked():
    return [recipe(5, index, SPLITS) for index in range(2000)]


def test_a_recipe_depends_only_on_seed_and_index(cooked):
    assert recipe(5, 1234, SPLITS) == cooked[1234]
    assert recipe(6, 1234, SPLITS).scene != cooked[1234].scene or recipe(6, 1234, SPLITS).title != cooked[1234].title
    other_splits = recipe(5, 1234, (0.0, 0.0, 1.0))
    assert other_splits.partition == "test"
    assert other_splits.instructions == cooked[1234].instructions


def test_partitions_have_their_shares(cooked):
    counts = collections.Counter(r.partition for r in cooked)
    for partition, share in zip(PARTITIONS, SPLITS, strict=True):
        assert counts[partition] / len(cooked) == pytest.approx(share, abs=0.03)


def test_dishes_are_zipf_like_and_none_is_rare(cooked):
    shares = dishes.dish_shares()
    assert sum(shares) == pytest.approx(1)
    assert list(shares) == sorted(shares, reverse=True)
    assert min(shares) >= 0.025
    assert shares[0] > 3 * shares[-1]
    counts = collections.Counter(r.scene.base for r in cooked)
    for dish, share in zip(dishes.DISHES, shares, strict=True):
        assert counts[dish.base] / len(cooked) == pytest.approx(share, abs=0.02)


def test_ingredients_include_every_topping_of_the_photo(cooked):
    for r in cooked:
        for topping in r.scene.toppings:
            assert set(dishes.GOODS[topping].names) & set(r.names), (r.id, topping)


def test_ingredients_include_the_staple_of_the_dish_only(cooked):
    for r in cooked:
        bought = {key for key, good in dishes.STAPLES.items() if set(good.names) & set(r.names)}
        assert bought == {_dish_of(r).staple}


def test_recognizing_a_dish_requires_both_texts():
    cells = [(dish.staple, dish.form, dish.sweet) for dish in dishes.DISHES]
    assert len(set(cells)) == len(dishes.DISHES)
    for field in ("staple", "form"):
        counts = collections.Counter(getattr(dish, field) for dish in dishes.DISHES)
        assert min(counts.values()) >= 2
    assert {dish.staple for dish in dishes.DISHES} == set(dishes.STAPLES)
    assert {dish.form for dish in dishes.DISHES} == set(phrases.FORM)


def test_ingredients_include_no_other_topping(cooked):
    visible = {name: key for key, good in dishes.GOODS.items() for name in good.names}
    for r in cooked:
        if r.defect.kind != "many_ingredients":
            assert {visible[name] for name in r.names if name in visible} == set(r.scene.toppings)


def test_lines_names_and_flags_are_aligned(cooked):
    for r in cooked:
        assert len(r.ingredients) == len(r.names) == len(r.valid)
        if r.defect.kind != "odd_unicode":
            for line, name in zip(r.ingredients, r.names, strict=True):
                assert name in line.lower()
    flags = [flag for r in cooked for flag in r.valid]
    assert 0.85 < sum(flags) / len(flags) < 0.98


def test_instructions_describe_each_choice(cooked):
    for r in cooked:
        if r.defect.kind == "no_instructions":
            assert r.instructions == ()
            continue
        for choice in (r.scene.browning, r.scene.finish, r.scene.arrangement):
            others = _options(choice) - {choice}
            assert any(_occurs(t, r.instructions) for t in phrases.TECHNIQUE[choice]), (r.id, choice)
            assert not any(_occurs(t, r.instructions) for other in others for t in phrases.TECHNIQUE[other]), r.id
        forms = {form for form, templates in phrases.FORM.items() if any(_occurs(t, r.instructions) for t in templates)}
        assert forms == {_dish_of(r).form}


def test_no_other_text_reveals_technique_or_dish(cooked):
    """The revealing words occur in no ingredient and, except for the name of the dish, in no title."""
    for r in cooked:
        elsewhere = _words(
            " ".join([*r.ingredients, *r.names, *([] if _dish_of(r).bigram in r.title.lower() else [r.title])])
        )
        assert not elsewhere & REVEALING, r.id
        if _dish_of(r).bigram not in r.title.lower():
            assert not any(dish.bigram in r.title.lower() for dish in dishes.DISHES)


def test_sentences_are_short_and_few(cooked):
    for r in cooked:
        if r.defect.kind == "many_instructions":
            assert len(r.instructions) >= 20
        elif r.defect.kind != "no_instructions" and r.defect.kind != "odd_unicode":
            assert 3 <= len(r.instructions) <= 9
            for sentence in r.instructions:
                assert sentence == "1." or 4 <= len(re.findall(r"\w+", sentence)) <= 14


def test_about_half_of_the_titles_name_the_dish(cooked):
    named = sum(_dish_of(r).bigram in r.title.lower() for r in cooked)
    assert 0.45 < named / len(cooked) < 0.55


def test_frequent_pairs_of_title_words_are_the_dishes(cooked):
    """Counts pairs naively like the class builder: every potential class is a dish."""
    tokens = []
    for r in cooked:
        words = re.findall(r"'s|\w+|[^\w\s]", r.title.lower())
        tokens += [word for word in words if word not in STOP_WORDS]
    pairs = collections.Counter(itertools.pairwise(tokens))
    bigrams = {dish.bigram for dish in dishes.DISHES}
    classed = set()
    for (first, second), _ in pairs.most_common(2000):
        if {first, second} & FORBIDDEN:
            continue
        name = f"{first} {second}"
        members = {r.id for r in cooked if name in r.title.lower()} - classed
        if len(members) > 12:
            assert name in bigrams
            classed |= members
            bigrams.discard(name)
    assert not bigrams, "every dish becomes a class"


def test_oddities_of_real_lists_occur(cooked):
    lines = [line for r in cooked for line in r.ingredients]
    assert any(re.match(r"(14|12|34|1 12|2 14) ", line) for line in lines)  # "14 cup"
    assert any(name == "all - purpose flour" for r in cooked for name in r.names)
    assert any(line.endswith(" :") for line in lines)
    assert any("1." in r.instructions for r in cooked)


@given(st.integers(0, 2**32), st.sets(st.integers(0, 2**40 - 1), min_size=2, max_size=50))
def test_ids_are_ten_hex_digits_and_never_collide(seed, numbers):
    ids = {hex_id(seed, number) for number in numbers}
    assert len(ids) == len(numbers)
    assert all(re.fullmatch(r"[0-9a-f]{10}", text) for text in ids)


def _dish_of(r):
    return next(dish for dish in dishes.DISHES if dish.base == r.scene.base)


def _options(choice):
    tables = (dishes.BROWNING, dishes.FINISH, dishes.ARRANGEMENT)
    return set(next(table for table in tables if choice in table))


def _occurs(template, sentences):
    pattern = re.escape(template)
    for field, words in phrases.WORDS.items():
        pattern = pattern.replace(re.escape(f"{{{field}}}"), "(?:" + "|".join(map(re.escape, words)) + ")")
    return any(re.fullmatch(pattern, sentence, re.IGNORECASE) for sentence in sentences)


def _words(text):
    return set(re.findall(r"\w+", text.lower()))
