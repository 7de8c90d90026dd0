import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamine_jax.recipes.words import ingredient_ids, instruction_words, sure_phrases, training_sentences, word_ids


def words(line, names=(), valid=None):
    return instruction_words(line, sure_phrases(names, [True] * len(names) if valid is None else valid))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("Fry it, then stir.", ["Fry", "it", ",", "then", "stir", "."]),
        ('A (b) c; d! e? 5% f: "g" * &h', list('A(b)c;d!e?5%f:"g"*&h')),
        ("Don't pre-heat to 180°C", ["Don't", "pre-heat", "to", "180°C"]),
        ("1.", ["1", "."]),
        ("", []),
        (" \t\n ", []),
    ],
)
def test_punctuation_is_split_off_and_case_kept(line, expected):
    assert words(line) == expected


@given(st.text(st.sampled_from("aé,.;()?!&%:*\"'- \t\n\u3000")))
def test_words_are_separated_by_white_space_and_marks(line):
    assert words(line) == re.sub(r'([,.;()?!&%:*"])', r" \1 ", line).split()


def test_names_the_detector_was_sure_of_become_one_word():
    names = ["olive oil", "sea salt"]
    assert words("Add olive oil and sea salt.", names) == ["Add", "olive_oil", "and", "sea_salt", "."]
    assert words("Add olive oil and sea salt.", names, [False, True]) == ["Add", "olive", "oil", "and", "sea_salt", "."]


def test_names_are_replaced_plainly_and_in_their_order():
    assert words("Olive oil, olive oils", ["olive oil"]) == ["Olive", "oil", ",", "olive_oils"]
    assert words("extra virgin olive oil", ["olive oil", "extra virgin olive oil"]) == ["extra", "virgin", "olive_oil"]
    assert words("extra virgin olive oil", ["extra virgin olive oil", "olive oil"]) == ["extra_virgin_olive_oil"]


def test_a_blank_name_joins_nothing():
    assert words("a b", ["", " ", "  "]) == ["a", "b"]


def test_ingredient_ids_are_those_known_each_once_in_order():
    ids = {"olive_oil": 7, "salt": 2, "olive": 3}
    assert ingredient_ids(["salt", "gold dust", "olive oil", "salt"], ids) == [2, 7, 1]
    assert ingredient_ids([], ids) == [1]


def test_two_names_with_one_id_count_once():
    assert ingredient_ids(["olive oil", "olive_oil"], {"olive_oil": 7}) == [7, 1]


def test_an_unknown_name_can_be_read_as_its_words():
    ids = {"olive_oil": 7, "salt": 2, "olive": 3, "lime": 5, "juice": 4}
    names = ["fresh  lime juice", "olive oil", "gold", "orange juice", "lime"]
    assert ingredient_ids(names, ids) == [7, 5, 1]
    assert ingredient_ids(names, ids, split_unknown=True) == [5, 4, 7, 1]


def test_unknown_words_have_the_last_id():
    assert word_ids(["a", "b", "a"], {"a": 2}, 3) == [2, 3, 2]


def test_word2vec_reads_ingredients_and_instructions():
    sentences = training_sentences(
        ["olive oil", "salt", "tab\there", ""], [True, False, True, True], ["Warm olive oil."]
    )
    assert sentences == [["olive_oil", "salt"], ["Warm", "olive_oil", "."]]


def test_word2vec_can_read_the_words_of_a_name_too():
    sentences = training_sentences(["olive oil", "salt", "tab\there"], [True] * 3, ["Warm."], split_names=True)
    assert sentences == [["olive_oil", "olive", "oil", "salt", "tab", "here"], ["Warm", "."]]
