import pytest

from adamine_jax.base.errors import UserError
from data_builders.recipe1m import filters
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.recipes import Recipe


def reason(instructions=3, ingredient_ids=5, images=1, removed=(), identity="00000000aa", **options):
    recipe = Recipe(identity, "t", "", "train", [], ["x"] * instructions, [], [], ["a.jpg"] * images)
    chosen = Options(**options)
    return filters.reason_to_drop(recipe, frozenset(removed), chosen) or filters.many_ingredients(
        list(range(ingredient_ids)), chosen
    )


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({}, None),
        ({"instructions": 19}, None),
        ({"instructions": 20}, "20 instructions or more"),
        ({"instructions": 20, "max_instructions": 20}, None),
        ({"instructions": 21, "max_instructions": 20}, "21 instructions or more"),
        ({"instructions": 500, "max_instructions": 0}, None),
        ({"instructions": 0}, None),
        ({"ingredient_ids": 19}, None),
        ({"ingredient_ids": 20}, "20 ingredient ids or more, including the end mark"),
        ({"ingredient_ids": 12, "max_ingredients": 10}, "12 ingredient ids or more, including the end mark"),
        ({"ingredient_ids": 11, "max_ingredients": 10}, None),
        ({"ingredient_ids": 500, "max_ingredients": 0}, None),
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


def test_the_list_is_read_whatever_its_letters_and_its_line_ends(tmp_path):
    (tmp_path / "remove1M.txt").write_bytes(b"\xef\xbb\xbf00000000AA\r\n 00000000ab \r\n")
    removed = filters.read_removed(tmp_path, published_split=False)
    assert removed == {"00000000aa", "00000000ab"}
    for identity in ("00000000aa", "00000000AA", "00000000Ab"):
        assert reason(removed=removed, identity=identity) == filters.REMOVED


@pytest.mark.parametrize(
    ("text", "line"),
    [(b"id\n00000000aa", 1), (b"00000000aa\n\n<html>\x1b[2J", 3), ("00000000aa\n".encode("utf-16"), 1), (b"0" * 11, 1)],
)
def test_a_list_of_something_else_is_refused(tmp_path, text, line):
    (tmp_path / "remove1M.txt").write_bytes(text)
    with pytest.raises(UserError, match=rf"remove1M.txt, line {line}: .* is not an id of 10 hex digits") as error:
        filters.read_removed(tmp_path, published_split=True)
    assert str(error.value).isprintable()


def test_without_the_list_nothing_is_removed(tmp_path):
    assert filters.read_removed(tmp_path, published_split=True) == frozenset()
