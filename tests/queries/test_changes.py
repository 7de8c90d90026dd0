"""Adding ingredients to a recipe and removing ingredients from it."""

import pytest

from adamine_jax.queries.changes import changed
from adamine_jax.recipes.texts import RecipeText

SOUP = RecipeText(
    title="Chicken and Broccoli Soup",
    ingredients=("2 chicken breasts, diced", "1 head of broccoli", "1 egg", "4 cups chicken broth", "Salt"),
    instructions=("Fry the chicken.", "Add broccoli, and eggs.", "Broccoli!"),
)


@pytest.mark.parametrize(
    ("name", "ingredients", "instructions", "title"),
    [
        ("broccoli", (0, 2, 3, 4), ("Fry the chicken.", "Add , and eggs.", "!"), "Chicken and Soup"),
        ("Chicken", (1, 2, 4), ("Fry the .", "Add broccoli, and eggs.", "Broccoli!"), "and Broccoli Soup"),
        ("chicken broth", (0, 1, 2, 4), SOUP.instructions, SOUP.title),
        ("chicken breast", (1, 2, 3, 4), SOUP.instructions, SOUP.title),
        ("eggs", (0, 1, 3, 4), ("Fry the chicken.", "Add broccoli, and .", "Broccoli!"), SOUP.title),
    ],
)
def test_an_ingredient_is_removed_from_all_parts(name, ingredients, instructions, title):
    recipe, absent = changed(SOUP, (), (name,))
    assert not absent
    assert recipe.ingredients == tuple(SOUP.ingredients[line] for line in ingredients)
    assert recipe.instructions == instructions
    assert recipe.title == title


def test_absent_ingredients_are_reported():
    assert changed(SOUP, (), ("hen", "leek", "salt")) == (changed(SOUP, (), ("salt",))[0], ["hen", "leek"])


def test_adding():
    recipe, _ = changed(SOUP, ("dill", "leek"), ("egg",))
    assert recipe.ingredients[-2:] == ("dill", "leek")
    assert len(recipe.ingredients) == 6
    given = RecipeText(ingredients=("x",), names=("salt", "black pepper"))
    assert changed(given, ("dill",), ("pepper",))[0].names == ("salt", "dill")


@pytest.mark.parametrize(
    ("name", "line", "is_named"),
    [
        ("strawberry", "2 cups strawberries, hulled", True),
        ("strawberries", "1 strawberry", True),
        ("tomato", "3 tomatoes", True),
        ("tomatoes", "1 tomato", True),
        ("cookie", "6 cookies", True),
        ("cookies", "1 cookie", True),
        ("radishes", "1 radish", True),
        ("egg", "2 eggplants", False),
        ("eggs", "1 egg", True),
        ("watercress", "1 bunch watercress", True),
        ("corn", "1 cup cornstarch", False),
        ("olive oil", "2 tbsp extra-virgin olive oil", True),
        ("olive_oil", "2 tbsp olive oil", True),
        ("soy sauce", "soy", False),
        ("a+b", "a+b", True),
    ],
)
def test_singular_and_plural_match(name, line, is_named):
    recipe = RecipeText(ingredients=(line, "salt"))
    without, absent = changed(recipe, (), (name,))
    assert (absent == []) == is_named
    assert without.ingredients == (("salt",) if is_named else recipe.ingredients)


def test_a_name_without_words_matches_nothing():
    for name in ("_", "s", ""):
        assert changed(SOUP, (), (name,)) == (SOUP, [name])
