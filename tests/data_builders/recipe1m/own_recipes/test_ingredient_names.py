"""The rule for ingredient names: what it makes of lines as people write them, and what holds for any line."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adamine_jax.recipes.ingredient_names import MAX_WORDS, WORDS, ingredient_names

REAL = Path(os.environ.get("ADAMINE_REAL_DATA") or Path(__file__).resolve().parents[4] / ".." / "shared")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        # quantities
        ("2 1/2 cups (300 g) all-purpose flour, sifted", "all-purpose flour"),
        ("2 cups all - purpose flour , sifted", "all-purpose flour"),
        ("14 cup sugar", "sugar"),
        ("1½ cups sugar", "sugar"),
        ("1 1⁄2 cups rice", "rice"),
        ("¼ cup soy sauce", "soy sauce"),
        (".5 TB ground allspice", "ground allspice"),
        ("0,25 teaspoon salt", "salt"),
        ("1,000 g flour", "flour"),
        ("1–2 cloves garlic, minced", "garlic"),
        ("2 to 3 tablespoons olive oil", "olive oil"),
        ("1 - 2L (1/4 - 1/2 gal) milk", "milk"),
        ("2 x 400g tins chopped tomatoes", "tomatoes"),
        ("1 14-ounce can coconut milk", "coconut milk"),
        ("1 8-oz. pkg cream cheese, softened", "cream cheese"),
        ("1 cup/240 milliliters heavy cream", "heavy cream"),
        ("115g/4oz butter", "butter"),
        ("2 Tbsp. + 1 tsp. oil", "oil"),
        ("~80g mozzarella cheese", "mozzarella cheese"),
        ("One quart of milk.", "milk"),
        ("A quarter of a pound of sugar.", "sugar"),
        ("1 dozen eggs", "eggs"),
        ("2% milk", "milk"),
        ("3 c. flour", "flour"),
        ("1t curry powder", "curry powder"),
        ("4 fl oz Tequila", "tequila"),
        ("2 table spoon vodka", "vodka"),
        ("Flour 200g", "flour"),
        ("flour: 200 g", "flour"),
        ("Flour – 200g", "flour"),
        ("eggs x 2", "eggs"),
        ("- 1 lb. ground beef", "ground beef"),
        ("• 2 tbsp. soy sauce", "soy sauce"),
        ("1) flour", "flour"),
        # numbers that are names
        ("1 can 7-Up", "7-up"),
        ("5 oz. 7 Up", "7 up"),
        ("1 oz Licor 43", "licor 43"),
        ("1 tsp five spice powder", "five spice powder"),
        ("1 cup half-and-half", "half-and-half"),
        # measures
        ("a pinch of salt", "salt"),
        ("Drizzle of olive oil", "olive oil"),
        ("1 stick of butter", "butter"),
        ("1 sprig of fresh thyme", "thyme"),
        ("10 cloves", "cloves"),
        ("1 tsp ground cloves", "ground cloves"),
        ("3 garlic cloves", "garlic"),
        ("mint sprigs", "mint"),
        ("cream of tartar", "cream of tartar"),
        ("1 can cream of mushroom soup", "cream of mushroom soup"),
        # preparations and sizes
        ("freshly grated Parmesan cheese", "parmesan cheese"),
        ("Freshly ground black pepper", "black pepper"),
        ("1 kg boneless, skinless chicken thighs", "chicken thighs"),
        ("500g chicken thighs, boneless and skinless", "chicken thighs"),
        ("2 large eggs, beaten", "eggs"),
        ("2 small/medium-sized potatoes", "potatoes"),
        ("Butter melted 2 tbsp", "butter"),
        ("fresh or frozen sliced strawberries", "frozen strawberries"),
        ("steel cut oats", "steel cut oats"),
        ("1 whole chicken", "chicken"),
        ("1 cup whole milk", "whole milk"),
        ("1 cup whole wheat flour", "whole wheat flour"),
        ("1/4 cup hot water", "water"),
        ("hot sauce", "hot sauce"),
        # what follows the name
        ("olive oil for greasing", "olive oil"),
        ("Salt to taste", "salt"),
        ("To taste Rock Sugar", "rock sugar"),
        ("As many as you want Ice cubes", "ice cubes"),
        ("water, as needed", "water"),
        ("Sesame seeds as a garnish (optional)", "sesame seeds"),
        ("1 cup flour plus more for dusting", "flour"),
        ("Shredded cheese of your choice", "cheese"),
        ("2 slice cheese. Use a cheese that is mid-aged.", "cheese"),
        ("1 can Dr. Pepper", "dr. pepper"),
        ("potatoes (peeled", "potatoes"),
        ("(optional) nuts", "nuts"),
        ("(nuts)", "nuts"),
        ("Garnish: lime peel", "lime peel"),
        ("Any kind of firm, thin, sliced bread (Sourdough)", "bread"),
        # choices
        ("butter or margarine", "butter"),
        ("2 cups chicken or vegetable stock", "chicken stock"),
        ("red or white wine vinegar", "red wine vinegar"),
        ("Tomato Paste/Sauce", "tomato paste"),
        ("juice of 1 lemon", "lemon juice"),
        ("Zest of 3 oranges", "orange zest"),
        ("Juice and zest of 2 limes", "lime"),
        # letters
        ("1 cl crème de cassis", "crème de cassis"),
        ("1 jalapen\u0303o pepper", "jalapeño pepper"),
        ("盐", "盐"),
        ("<b>1 cup</b> flour", "flour"),
    ],
)
def test_a_line_gives_the_name_of_its_ingredient(line, name):
    assert ingredient_names(line) == [(name, True)]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("salt and pepper to taste", ["salt", "pepper"]),
        ("Salt and freshly ground Black Pepper", ["salt", "black pepper"]),
        ("salt, pepper", ["salt", "pepper"]),
        ("Sea salt & pepper", ["sea salt", "pepper"]),
        ("salt and pepper chips", ["salt and pepper chips"]),
    ],
)
def test_salt_and_pepper_are_two(line, names):
    assert ingredient_names(line) == [(name, True) for name in names]


@pytest.mark.parametrize(
    "line",
    ["", "  ", "1.", "½", "1/2", "---", "For the sauce:", "FOR THE SAUCE", "Dough:", "To serve:", "to serve with it",
     "**Sauce**", "# Sauce", "--- Sauce ---", "Optional:"],
)  # fmt: skip
def test_headings_and_lines_without_letters_name_nothing(line):
    assert ingredient_names(line) == []


@pytest.mark.parametrize(
    "line",
    ["2 Cups", "chopped", "to taste", "🧂 salt", "x", "https://example.org/salt", "red",
     "If you have no cheese, use ham", "A brand name of so very many words", "salt " * 101],
)  # fmt: skip
def test_where_the_rule_is_not_sure_it_gives_the_whole_line(line):
    assert ingredient_names(line) == [(line.strip().lower(), False)]


_WORDS = sorted(word for words in vars(WORDS).values() for word in words)
_SIGNS = "1 2 1/2 2½ ½ 14 400g 10-inch 2% 7up crème salt pepper flour eGGs S's 盐 :// ** # ( ) [ ] < > & + x"
_PIECES = [*_WORDS, *_SIGNS.split()]
_LINES = st.lists(
    st.tuples(st.sampled_from(_PIECES), st.sampled_from([" ", " ", ", ", "", "-", "/", " (", ") ", ": ", ". "]))
)


@settings(deadline=None)
@given(st.one_of(st.text(), _LINES.map(lambda pairs: "".join(map("".join, pairs)))))
@example("A,¹")
@example("& fora ")
@example("& for-a ")
def test_any_line_has_names_that_are_their_own_names(line):
    for name, sure in ingredient_names(line):
        assert name == " ".join(name.split()) == name.lower() != ""
        assert len(name.split()) <= MAX_WORDS or not sure
        assert ingredient_names(name) == [(name, sure)]


@pytest.mark.parametrize(
    "line",
    ["juice of " * 55, "juice of 1 " * 45, "a: " * 160, "(" * 240 + "salt" + ")" * 240, "1 " * 240 + "salt",
     "[](" * 160, "1/" * 245 + "2 salt", "salt and " * 55, "pepper " * 70, "a b " * 120, "salt " + "a " * 200 + "peppe",
     "ab" * 10**6],
)  # fmt: skip
def test_a_hostile_line_is_read_like_any_other(line):
    assert len(ingredient_names(line)) <= 1


@pytest.mark.parametrize(("collection", "least"), [("real_recipes", 0.75), ("real_drinks", 0.7)])
def test_the_rule_agrees_with_what_was_detected_in_real_lines(collection, least):
    source = REAL / collection
    if not source.is_dir():
        pytest.skip("the real collections are not here")
    detected = {record["id"]: record for record in json.loads((source / "det_ingrs.json").read_text(encoding="utf-8"))}
    same = lines = sure = 0
    for recipe in json.loads((source / "layer1.json").read_text(encoding="utf-8")):
        for line, name in zip(recipe["ingredients"], detected[recipe["id"]]["ingredients"], strict=True):
            found = ingredient_names(line["text"])
            lines += 1
            sure += bool(found) and all(valid for _, valid in found)
            same += [name.replace("-", " ") for name, _ in found] == ([name["text"]] if name["text"] else [])
    assert same / lines > least
    assert sure / lines > 0.99


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("1 pint 7fl oz hot vegetable stock", "hot vegetable stock"),
        ("150ml/5fl oz double cream", "double cream"),
        ("1 cn black beans; drained", "black beans"),
        ("1 pk yeast", "yeast"),
        ("1 geh. TL Zimt", "zimt"),
        ("2 EL Öl", "öl"),
        ("1 Pck. Vanillezucker", "vanillezucker"),
        ("2 cuillères à soupe d'huile d'olive", "huile d'olive"),
        ("200 g de farine", "farine"),
        ("2 cucharadas de aceite de oliva", "aceite de oliva"),
        ("1 spicchio d'aglio", "aglio"),
        ("2 eetlepels olijfolie", "olijfolie"),
    ],
)
def test_units_and_articles_of_other_languages(line, name):
    assert ingredient_names(line) == [(name, True)]
