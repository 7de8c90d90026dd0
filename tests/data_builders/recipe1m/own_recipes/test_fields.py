"""What a record becomes, whatever it holds."""

import contextlib
import functools
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.recipes.fields import NAMES, Entry, UnusableError, draft, field_of, looks_like_recipe

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda values: (
        st.lists(values, max_size=4) | st.dictionaries(st.sampled_from(["text", "name", "@id", "x"]), values)
    ),
    max_leaves=8,
)
COLUMNS = [name for names in NAMES.values() for name in names]
WHOLE = {"title": "Pie", "ingredients": ["flour"], "instructions": ["Bake."]}


def nested(value):
    return functools.reduce(lambda inner, _: [inner], range(50), value)


def made(values, **kind):
    return draft(Entry("here", Path(), values, **kind))


@settings(deadline=None)
@given(
    st.sampled_from([{}, WHOLE]), st.dictionaries(st.sampled_from(COLUMNS), JSON_VALUES), st.booleans(), st.booleans()
)
def test_any_record_is_a_recipe_of_texts_or_unusable(whole, values, is_sheet, is_linked_data):
    values = whole | values
    looks_like_recipe(values)
    with contextlib.suppress(UnusableError):
        check(made(values, is_sheet=is_sheet, is_linked_data=is_linked_data))


def check(found):
    assert found.title.strip()
    assert found.ingredients or found.instructions
    for lines in (found.ingredients, found.instructions, found.names or [], found.photos):
        assert all(isinstance(line, str) and line == line.strip() != "" and "\n" not in line for line in lines)
    assert found.partition in ("", "train", "val", "test")
    assert isinstance(found.given_id, str)
    assert found.class_name == found.class_name.lower().strip()
    found.class_name.encode()


@given(st.text())
def test_any_column_has_a_field_or_none(column):
    assert field_of(column) in {*NAMES, None}


@pytest.mark.parametrize(
    ("column", "field"),
    [("Title", "title"), ("NAME", "title"), ("recipe name", "title"), ("Recipe-Ingredient", "ingredients"),
     ("Directions", "instructions"), ("method ", "instructions"), ("Photo", "images"),
     ("ingredientNames", "ingredient_names"), ("Category", "class"), ("prep_time", None), ("", None)],
)  # fmt: skip
def test_columns_have_the_usual_names(column, field):
    assert field_of(column) == field


def test_the_first_non_empty_column_counts():
    assert made({"name": "Tart", "title": " ", "Title": "Pie", "ingredients": "a", "image": "a.jpg"}).title == "Pie"
    assert made({"name": "Tart", "title": None, "ingredients": "a"}).title == "Tart"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"title": None}, "no title"),
        ({"title": "  "}, "no title"),
        ({"title": math.nan}, "no title"),
        ({"title": True}, "title is true or false, not text"),
        ({"title": [None, {"a": "b"}]}, "no title"),
        ({"ingredients": None, "instructions": []}, "neither ingredients nor instructions"),
        ({"ingredients": [" "], "instructions": math.nan}, "neither ingredients nor instructions"),
        ({"ingredients": nested(["flour"])}, "lists and objects are nested too deeply or too long"),
        ({"images": nested({"url": "a.jpg"})}, "lists and objects are nested too deeply or too long"),
        ({"ingredients": 5, "instructions": [True, {"time": 5}]}, "neither ingredients nor instructions"),
        ({"class": {"a": 1}, "category": []}, None),
        ({"class": True}, None),
        ({"partition": "all"}, "partition is not train, val or test"),
        ({"partition": 1}, "partition is not train, val or test"),
    ],
)
def test_what_is_no_recipe_has_a_reason(change, reason):
    if reason is None:
        assert made(WHOLE | change).class_name == ""
        return
    with pytest.raises(UnusableError) as caught:
        made(WHOLE | change)
    assert str(caught.value) == reason


def test_values_without_a_text_are_left_out_and_kept_for_the_report():
    change = {"ingredients": ["flour", True, {"unit": "cup"}], "images": [5, {"url": False}], "ingredient_names": [1]}
    found = made(WHOLE | change | {"instructions": ["Mix.", 7, {"@type": "HowToStep", "image": "a.jpg"}]})
    assert (found.ingredients, found.instructions, found.photos, found.names) == (["flour"], ["Mix."], [], None)
    assert found.unread == {
        "ingredients": ["true", "{'unit': 'cup'}"],
        "instructions": ["7"],
        "images": ["5", "false"],
        "ingredient_names": ["1"],
    }


def test_missing_values_in_a_list_are_skipped():
    found = made(WHOLE | {"ingredients": ["flour", None, math.nan, " ", "eggs"], "url": 5, "id": [1], "class": None})
    assert (found.ingredients, found.url, found.given_id, found.class_name) == (["flour", "eggs"], "", "", "")


def test_lists_may_be_texts_with_lines():
    values = WHOLE | {"ingredients": "flour\r\n\n eggs \n", "instructions": "Mix. | Bake.", "images": "a.jpg\nb.jpg"}
    found = made(values)
    assert (found.ingredients, found.instructions) == (["flour", "eggs"], ["Mix. | Bake."])
    assert found.photos == ["a.jpg", "b.jpg"]
    found = made(values, is_sheet=True)
    assert (found.ingredients, found.instructions) == (["flour", "eggs"], ["Mix.", "Bake."])


def test_numbers_may_be_ids_and_classes():
    for number in (1234567890, 1234567890.0):
        found = made(WHOLE | {"id": number, "class": 3.0})
        assert (found.given_id, found.class_name) == ("1234567890", "3")


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ("Mix.\nBake.", ["Mix.", "Bake."]),
        ("<ol><li>Mix &amp; stir.</li><li>Bake<br/>well.</li></ol>", ["Mix & stir.", "Bake", "well."]),
        (["Mix.", "Bake at <b>180&nbsp;°C</b>."], ["Mix.", "Bake at 180 °C."]),
        ({"@type": "HowToStep", "text": "Mix.", "name": "first"}, ["Mix."]),
        ([{"@type": "HowToSection", "name": "Dough", "itemListElement": []}, "Mix."], ["Mix."]),
        (
            [{"@type": "HowToStep", "name": "A", "itemListElement": {"@type": "HowToDirection", "text": "Mix."}}],
            ["Mix."],
        ),
        ({"1": "Mix.", "2": "Bake."}, ["Mix.", "Bake."]),
        ({"@value": "Mix.", "@language": "en"}, ["Mix."]),
        ("&amp;lt;p&amp;gt;Mix &amp;amp; stir.&amp;lt;/p&amp;gt;", ["Mix & stir."]),
        ("1. Mix. 2. Bake at 2.5 bar. 3. Eat.", ["Mix.", "Bake at 2.5 bar.", "Eat."]),
        ("Step 1: Mix.\nStep 2: Bake.", ["Mix.", "Bake."]),
        (["1) Mix.", "2) Bake 3 eggs."], ["Mix.", "Bake 3 eggs."]),
        (["2 eggs go in.", "Bake."], ["2 eggs go in.", "Bake."]),
        ("Mix approx. 5 min. Bake e.g. bread! Eat.", ["Mix approx. 5 min. Bake e.g. bread!", "Eat."]),
        ([{"@type": "HowToStep", "name": "Mix."}], ["Mix."]),
        ({"@type": "ItemList", "itemListElement": [{"@type": "ListItem", "item": {"text": "Mix."}}]}, ["Mix."]),
        (
            [
                {"@type": "HowToSection", "name": "Dough", "itemListElement": [{"text": "Mix."}, "Bake."]},
                {"text": "Eat."},
            ],
            ["Mix.", "Bake.", "Eat."],
        ),
    ],
)
def test_instructions_of_schema_org(value, lines):
    assert made(WHOLE | {"instructions": value}, is_linked_data=True).instructions == lines


@pytest.mark.parametrize(
    ("value", "paths"),
    [
        ("a.jpg", ["a.jpg"]),
        (["a.jpg", "b.jpg", "a.jpg"], ["a.jpg", "b.jpg"]),
        ({"@type": "ImageObject", "url": "a.jpg", "width": 5}, ["a.jpg"]),
        ([{"contentUrl": "a.jpg"}, {"url": ["b.jpg"]}, None], ["a.jpg", "b.jpg"]),
        ({"width": 5}, []),
    ],
)
def test_images_of_schema_org(value, paths):
    assert made(WHOLE | {"images": value}, is_linked_data=True).photos == paths


def test_a_category_of_schema_org_is_the_first_one():
    for value in ("Dessert, Cake", ["dessert", "cake"], " DESSERT "):
        assert made(WHOLE | {"recipeCategory": value}, is_linked_data=True).class_name == "dessert"
    assert made(WHOLE | {"class": "Mac, cheese"}).class_name == "mac, cheese"


def test_half_of_a_surrogate_pair_is_no_class():
    assert made(WHOLE | {"class": "pie \ud800"}).class_name == "pie ?"
