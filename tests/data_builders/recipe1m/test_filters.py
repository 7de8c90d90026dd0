import pytest

from data_builders.recipe1m import filters
from data_builders.recipe1m.layers import Recipe


def reason(instructions=3, ingredient_ids=5, images=1, removed=(), identity="00000000aa"):
    recipe = Recipe(identity, "t", "", "train", [], ["x"] * instructions, [], [], ["a.jpg"] * images)
    return filters.reason_to_drop(recipe, list(range(ingredient_ids)), frozenset(removed))


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({}, None),
        ({"instructions": 19}, None),
        ({"instructions": 20}, filters.MANY_INSTRUCTIONS),
        ({"instructions": 0}, None),
        ({"ingredient_ids": 19}, None),
        ({"ingredient_ids": 20}, filters.MANY_INGREDIENTS),
        ({"images": 0}, filters.NO_PHOTO_LISTED),
        ({"removed": ["00000000aa"]}, filters.REMOVED),
        ({"removed": ["00000000ab"]}, None),
    ],
)
def test_both_sides_of_each_rule(case, expected):
    assert reason(**case) == expected


def test_the_published_split_keeps_the_first_id_of_the_list(tmp_path):
    (tmp_path / "remove1M.txt").write_text("00000000aa\n00000000ab\n\n00000000ac\n")
    assert filters.read_removed(tmp_path, published_split=True) == {"00000000ab", "00000000ac"}
    assert filters.read_removed(tmp_path, published_split=False) == {"00000000aa", "00000000ab", "00000000ac"}


def test_without_the_list_nothing_is_removed(tmp_path):
    assert filters.read_removed(tmp_path, published_split=True) == frozenset()
