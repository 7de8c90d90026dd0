"""Recipes as people write them become the ids that the converter gives them."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.base.errors import UserError
from adamine_jax.formats.recipe_files import read_recipe, read_recipes
from adamine_jax.recipes.given import recipe_of
from adamine_jax.recipes.text_encoder import TextEncoder
from adamine_jax.recipes.texts import RecipeText

WORDS = ("olive_oil", "salt", "egg", "green_bean", "bean", "salad", "Boil", "the", ".", "lime", "juice")
IDS = {word: number for number, word in enumerate(WORDS, 2)}
UNKNOWN = len(WORDS) + 2


def encode(recipe, **options):
    encoder = TextEncoder(WORDS, **options)
    return encoder.ingredient_ids(recipe), encoder.sentence_ids(recipe)


def test_a_recipe_by_hand():
    recipe = RecipeText(
        title="Salad",
        ingredients=("2 tbsp. olive oil", "a pinch of salt", "3 tonka beans", "salt"),
        instructions=("Boil the olive oil.", "Boil it."),
    )
    ingredients, sentences = encode(recipe)
    assert ingredients == [IDS["olive_oil"], IDS["salt"], 1]
    assert sentences == [[IDS[word] for word in ("Boil", "the", "olive_oil", ".")], [IDS["Boil"], UNKNOWN, IDS["."]]]
    assert TextEncoder(WORDS).unknown_names(recipe) == ["tonka beans"]


def test_unknown_names_are_split_where_the_data_set_did_so():
    recipe = RecipeText(ingredients=("1 cup key lime juice",))
    assert encode(recipe) == ([1], [])
    assert encode(recipe, split_unknown=True) == ([IDS["lime"], IDS["juice"], 1], [])
    assert TextEncoder(WORDS).unknown_names(recipe) == ["key lime juice"]
    assert TextEncoder(WORDS, split_unknown=True).unknown_names(recipe) == []


def test_names_like_an_unknown_one():
    assert TextEncoder(WORDS).similar_names("Bean") == ["green bean"]
    assert TextEncoder((*WORDS, "extra_virgin_olive_oil")).similar_names("oil olive") == [
        "olive oil",
        "extra virgin olive oil",
    ]
    assert TextEncoder(WORDS).similar_names("leek") == []


def test_missing_parts():
    assert encode(RecipeText(instructions=("Boil the egg.",)))[0] == []
    assert encode(RecipeText(ingredients=("salt",))) == ([IDS["salt"], 1], [])
    title = RecipeText(title="Green Bean Salad the Salt Way")
    assert encode(title) == (
        [IDS["green_bean"], IDS["salad"], IDS["the"], IDS["salt"], 1],
        [[UNKNOWN, UNKNOWN, UNKNOWN, IDS["the"], UNKNOWN, UNKNOWN]],
    )
    assert encode(RecipeText(title="Green Bean Salad", ingredients=("salt",))) == ([IDS["salt"], 1], [])


def test_names_that_are_given_are_not_looked_for():
    assert encode(RecipeText(ingredients=("salt",), names=("egg", "olive oil")))[0] == [IDS["egg"], IDS["olive_oil"], 1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], "not a recipe"),
        ("soup", "not a recipe"),
        ({}, "an empty recipe"),
        ({"title": " ", "ingredients": [], "instructions": None}, "an empty recipe"),
        ({"ingredients": 3}, "neither ingredients nor instructions"),
        ({"title": True, "ingredients": ["salt"]}, "title is true or false, not text"),
        ({"instructions": [{"a": 1}]}, "neither ingredients nor instructions"),
    ],
)
def test_what_is_no_recipe_is_named(tmp_path, values, message):
    path = tmp_path / "r.json"
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=rf"r\.json: {message}"):
        read_recipe(path)
    path.write_text('{"title": "Soup"}\n\n' + json.dumps(values) + "\n")
    with pytest.raises(UserError, match=r"r\.json:3: "):
        list(read_recipes(path))


def test_files_that_cannot_be_read_are_named(tmp_path):
    path = tmp_path / "r.json"
    with pytest.raises(UserError, match=r"r\.json: cannot be read \(No such file"):
        read_recipe(path)
    for content in (b"{", b"\xff\xfe", b"", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"r\.json: (?:not JSON|nested too deeply)"):
            read_recipe(path)
    path.write_bytes(b" " * ((64 << 20) + 1))
    with pytest.raises(UserError, match="more than 64 MiB"):
        read_recipe(path)


def test_parts_of_a_recipe_are_read_under_their_usual_names(tmp_path):
    values = {"name": "Soup", "recipeIngredient": "salt\n\n2 eggs", "steps": [{"text": "Boil."}], "id": 7}
    assert recipe_of(values, "here") == RecipeText("Soup", ("salt", "2 eggs"), ("Boil.",), id="7")
    assert recipe_of({"ingredients": ["salt"]}, "here") == RecipeText(ingredients=("salt",))
    assert recipe_of({"title": "Soup"}, "here") == RecipeText("Soup")


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(["title", "ingredients", "instructions", "class", "id", "images", "partition", "url", "x"])


@settings(deadline=None)
@given(st.dictionaries(fields, json_values, max_size=6))
def test_any_object_is_a_recipe_or_one_line(values):
    recipe, line = None, "here: "
    try:
        recipe = recipe_of(values, "here")
    except UserError as error:
        line = str(error)
    assert line.startswith("here: ")
    assert "\n" not in line
    if recipe is None:
        return
    ingredients, sentences = encode(recipe)
    assert all(1 <= word < UNKNOWN for word in ingredients)
    assert all(2 <= word <= UNKNOWN for sentence in sentences for word in sentence)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("1 cup fresh basil , chopped", "fresh basil"),
        ("2 cups all - purpose flour , sifted", "all - purpose flour"),
        ("2 cups all-purpose flour", "all - purpose flour"),
        ("basil", "basil"),  # the vocabulary has no such name, and the line no longer one
        ("2 egg whites", "egg whites"),  # a name that the vocabulary has stays
        ("3 eggs", "eggs"),
    ],
)
def test_a_name_is_looked_up_as_the_vocabulary_has_it(line, name):
    encoder = TextEncoder(["all", "fresh_basil", "all_-_purpose_flour", "egg_whites", "whites", "eggs", "large_eggs"])
    assert encoder.names(RecipeText(ingredients=(line,))) == [name]
