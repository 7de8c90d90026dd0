"""TF-IDF weights equal those of a loop over the words."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.base.errors import UserError
from adamine_jax.recipes import tfidf
from adamine_jax.recipes.texts import PARTS, RecipeText
from adamine_jax.recipes.words import STOP_WORDS

LINES = st.lists(st.text(alphabet="ab Cé,1-_", max_size=12), max_size=3).map(tuple)
RECIPES = st.builds(RecipeText, st.text(alphabet="ab c", max_size=8), LINES, LINES)


def words(line):
    """Runs of at least two letters and digits, by hand."""
    found, word = [], ""
    for character in line.lower() + " ":
        if character.isalnum():
            word += character
        else:
            found, word = [*found, word], ""
    return [word for word in found if len(word) > 1 and word not in STOP_WORDS]


def parts(recipe):
    return {"title": (recipe.title,), "ingredients": recipe.ingredients, "instructions": recipe.instructions}


@settings(max_examples=100, deadline=None)
@given(collection=st.lists(RECIPES, min_size=1, max_size=8), min_count=st.integers(1, 3), query=RECIPES)
def test_weights_are_those_of_the_definition(collection, min_count, query):
    fitted = tfidf.fit(collection, PARTS, min_count=min_count, max_words=1000, pairs=False)
    names = [(part, word) for part, columns in fitted.columns.items() for word in columns]
    for recipe in (*collection, query):
        columns, weights = fitted.encode(recipe)
        found = dict(zip([names[column] for column in columns], weights, strict=True))
        assert len(found) == len(columns)
        for part, lines in parts(recipe).items():
            counts = {}
            for line in lines:
                for word in words(line):
                    counts[word] = counts.get(word, 0) + 1
            expected = {}
            for word, count in counts.items():
                containing = sum(any(word in words(line) for line in parts(other)[part]) for other in collection)
                if containing >= min_count:
                    idf = 1 + math.log((1 + len(collection)) / (1 + containing))
                    expected[part, word] = (1 + math.log(count)) * idf
            norm = math.sqrt(sum(weight**2 for weight in expected.values()))
            ours = {name: weight for name, weight in found.items() if name[0] == part}
            assert ours == pytest.approx({name: weight / norm for name, weight in expected.items()}, rel=1e-4)


def test_a_word_has_a_column_for_each_part_and_pairs_stay_in_their_line():
    recipe = RecipeText("Red beet soup", ("2 red beets", "salt"), ("Boil red beets.", "Salt."))
    fitted = tfidf.fit([recipe], PARTS, min_count=1, max_words=100, pairs=True)
    assert set(fitted.columns["title"]) == {"red", "beet", "soup", "red beet", "beet soup"}
    assert set(fitted.columns["ingredients"]) == {"red", "beets", "salt", "red beets"}
    assert "beets salt" not in fitted.columns["instructions"]
    assert len(fitted) == sum(map(len, fitted.columns.values()))


def test_the_most_frequent_words_are_kept_and_names_stand_for_missing_ingredients():
    recipes = [RecipeText(ingredients=("salt", f"spice{number % 2}")) for number in range(4)]
    fitted = tfidf.fit(recipes, ("ingredients",), min_count=1, max_words=2, pairs=False)
    assert list(fitted.columns["ingredients"]) == ["salt", "spice0"]
    by_line, by_name = (fitted.encode(RecipeText(**{name: ("salt",)})) for name in ("ingredients", "names"))
    assert np.array_equal(by_line, by_name)


def test_a_file_is_read_back_and_a_damaged_one_is_named(tmp_path):
    recipe = RecipeText("Crème brûlée", ("cream",), ("Cook.",))
    fitted = tfidf.fit([recipe], ("title", "instructions"), min_count=1, max_words=9, pairs=True)
    path = tmp_path / "vocabulary.json"
    path.write_text(fitted.to_json(), encoding="utf-8")
    again = tfidf.load(path)
    assert again.columns == fitted.columns
    for ours, expected in zip(again.encode(recipe), fitted.encode(recipe), strict=True):
        assert np.array_equal(ours, expected)
    for content in ("", "[]", '{"pairs": 1}', '{"columns": [1], "pairs": false}'):
        path.write_text(content)
        with pytest.raises(UserError, match=r"vocabulary\.json: cannot be read"):
            tfidf.load(path)
    with pytest.raises(UserError, match="cannot be read"):
        tfidf.load(tmp_path / "missing.json")
