"""Arbitrary recipe text in figures."""

import hypothesis
import hypothesis.strategies as st
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

from adamine_jax.plots.style import FONT
from adamine_jax.plots.text import printable, squeeze, wrap


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Crème brûlée", "Crème brûlée"),
        ("Cre\u0300me", "Crème"),
        ("two\n lines\tand\u00a0more ", "two lines and more"),
        ("pizza 🍕🍕!", "pizza □!"),
        ("family 👨\u200d👩\u200d👧 dinner", "family □ dinner"),
        ("heart ❤\ufe0f", "heart ❤"),
        ("麻婆豆腐 tofu", "□ tofu"),
        ("$5 $x^2$", "$5 $x^2$"),
        ("bell\x07\x00", "bell"),
        ("half a pair \ud83c", "half a pair □"),
        ("", ""),
    ],
)
def test_printable(text, shown):
    assert printable(text) == shown


@hypothesis.given(st.text(max_size=60))
def test_printable_is_idempotent(text):
    once = printable(text)
    assert printable(once) == once
    assert "\n" not in once


def test_wrapping_keeps_every_word_when_there_is_room():
    text = "Bake the potatoes at 450° for about an hour, then leave them to cool for ten minutes."
    lines = wrap(text, width=120, size=8, lines=20)
    assert len(lines) > 3
    assert " ".join(lines) == text


def test_an_ellipsis_replaces_the_end():
    lines = wrap("one two three four five six seven eight", width=60, size=8, lines=2)
    assert len(lines) == 2
    assert lines[0].startswith("one two")
    assert lines[1].endswith("…")
    assert wrap("short", width=60, size=8, lines=1) == ["short"]
    assert wrap("", width=60, size=8, lines=3) == []


def test_a_word_wider_than_the_line_is_broken():
    word = "Donaudampfschifffahrtsgesellschaftskuchen"
    lines = wrap(word, width=50, size=8, lines=20)
    assert len(lines) > 2
    assert "".join(lines) == word


@hypothesis.given(st.text(max_size=80), st.floats(20, 200), st.integers(1, 4), st.sampled_from(["normal", "bold"]))
@hypothesis.settings(deadline=None, max_examples=60)
def test_lines_fit_their_width_as_agg_draws_them(text, width, count, weight):
    lines = wrap(text, width, 8, count, weight)
    assert len(lines) <= count
    renderer = FigureCanvasAgg(Figure(dpi=150)).get_renderer()
    font = FontProperties(family=FONT, size=8, weight=weight)
    for line in lines:
        assert line
        if len(line) > 2:  # one letter and an ellipsis are always shown
            points = renderer.get_text_width_height_descent(line, font, ismath=False)[0] * 72 / 150
            assert points <= width + 1


@pytest.mark.parametrize("piece", ["x", "x ", " ", "\u0301", "é\n"])
def test_only_the_beginning_of_a_very_long_text_is_measured(piece, monkeypatch):
    measured = 0
    original = text_to_path.get_text_width_height_descent

    def counted(line, *args, **kwargs):
        nonlocal measured
        measured += len(line)
        return original(line, *args, **kwargs)

    monkeypatch.setattr(text_to_path, "get_text_width_height_descent", counted)
    assert len(wrap(piece * 2_000_000 + "end", 100, 8, 3)) <= 3
    assert measured < 100_000


def test_a_name_loses_its_middle():
    assert squeeze("runs/a", 100, 8) == "runs/a"
    name = "runs/adamine_with_a_larger_batch_and_a_higher_learning_rate/seed_1"
    shown = squeeze(name, 150, 8)
    begin, end = shown.split("…")
    assert name.startswith(begin)
    assert name.endswith(end)
    assert min(len(begin), len(end)) >= 10
    font = FontProperties(family=FONT, size=8)
    widths = [text_to_path.get_text_width_height_descent(text, font, ismath=False)[0] for text in (shown, name)]
    assert 130 < widths[0] <= 150 < widths[1]
    assert squeeze("x" * 100_000 + "end", 60, 8).endswith("end")
    assert squeeze("麻婆豆腐 $x$", 100, 8) == "□ $x$"
