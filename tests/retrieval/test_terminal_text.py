"""Text is fitted to an exact number of columns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamine_jax.base.terminal_text import fitted, width


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("soup", "soup    "),
        ("cre\u0300me", "cre\u0300me   "),
        ("麻婆豆腐", "麻婆豆腐"),
        ("麻婆豆腐!", "麻婆豆… "),
        ("goulash with beef", "goulash…"),
        ("🍕 night", "🍕 night"),
    ],
)
def test_texts_are_fitted(text, expected):
    assert fitted(text, 8) == expected


@given(st.text(), st.integers(1, 60))
def test_fitted_text_has_the_requested_width(text, size):
    assert width(fitted(text, size)) == size
