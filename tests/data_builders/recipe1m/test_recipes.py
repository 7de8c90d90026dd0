import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_builders.recipe1m.recipes import NO_ID, RECIPE_ID, id_numbers

IDS = st.text(st.sampled_from("0129afAF"), min_size=10, max_size=10)
OTHERS = (
    st.text(max_size=12) | st.integers() | st.none() | st.lists(IDS) | st.sampled_from(["0" * 9, "0" * 11, "٠" * 10])
)


@given(st.lists(IDS) | st.lists(IDS | OTHERS))
def test_ids_are_read_as_the_numbers_that_they_are(ids):
    numbers = id_numbers(ids)
    assert numbers.dtype == np.uint64
    usable = [isinstance(identity, str) and RECIPE_ID.fullmatch(identity) for identity in ids]
    assert numbers.tolist() == [int(one, 16) if is_id else NO_ID for one, is_id in zip(ids, usable, strict=True)]


@pytest.mark.parametrize("text", ["0 1 2 3 4 ", "00 11 22 3", "-123456789", "0x12345678", "1_23456789", "\n123456789"])
def test_what_other_functions_would_read_as_digits_is_no_id(text):
    assert id_numbers(["0123456789", text]).tolist() == [0x0123456789, NO_ID]
