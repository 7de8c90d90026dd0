"""Curves of synthetic runs: plotted values and written files."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from adamine_jax.base.errors import UserError
from adamine_jax.plots import style
from adamine_jax.plots.curves import curves

STRATEGIES = ("IRR", "RII", "SIRR", "SRII")


def train_line(step, epoch, strategies=STRATEGIES):
    values = {f"loss_{name}": 0.3 - 0.01 * i - step / 1e4 for i, name in enumerate(strategies)}
    values |= {f"bad_pairs_{name}": step / 1e3 for name in strategies}
    return {"step": step, "epoch": epoch, "split": "train", "loss": 0.2 - step / 1e4, "grad_norm": 1.0, **values}


def val_line(step, epoch, medr=10.0):
    one = {f"{key}_image_to_recipe": value for key, value in (("r1", 10), ("r5", 30), ("r10", 50), ("medr", medr))}
    other = {f"{key}_recipe_to_image": value for key, value in (("r1", 20), ("r5", 40), ("r10", 60), ("medr", medr))}
    return {"step": step, "epoch": epoch, "split": "val", **one, **other, "r1": 15}


def written(folder, lines):
    path = folder / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def run(tmp_path):
    """Four epochs of ten steps with two train records each, and the beginning of a fifth."""
    lines = []
    for epoch in range(4):
        lines += [
            train_line(10 * epoch + 5, epoch),
            train_line(10 * epoch + 10, epoch),
            val_line(10 * epoch + 10, epoch),
        ]
    return written(tmp_path, [*lines, train_line(45, 4)])


@pytest.fixture
def drawn(monkeypatch):
    """Draws a run and returns its panels instead of saving them."""

    def draw(path, **options):
        figures = []
        with monkeypatch.context() as patch:
            patch.setattr(style, "save", lambda figure, path, dpi=150: figures.append(figure))
            curves(path, path.parent / "curves.png", **options)
        return {axes.get_title(loc="left"): axes for axes in figures[0].axes}

    return draw


def line_of(axes, label):
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return line.get_xdata(), line.get_ydata()


def test_every_strategy_is_plotted_against_epochs_trained(run, drawn):
    panels = drawn(run)
    x, y = line_of(panels["Training loss"], "SIRR")
    np.testing.assert_allclose(x, [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5])
    np.testing.assert_allclose(y, [0.28 - step / 1e4 for step in range(5, 46, 5)])
    x, y = line_of(panels["Triplets with zero loss"], "RII")
    np.testing.assert_allclose(x, [0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5])
    np.testing.assert_allclose(y, [step / 1e3 for step in range(5, 46, 5)])
    labels = [text.get_text() for text in panels["Training loss"].get_legend().get_texts()]
    assert labels == [*STRATEGIES, "total"]


def test_the_right_axis_shows_the_active_fraction(run, drawn):
    axes = drawn(run)["Triplets with zero loss"]
    (right,) = axes.child_axes
    right.figure.draw_without_rendering()
    assert "still active" in right.get_ylabel()
    for share in (0.0, 0.25, 0.9):
        left_at, right_at = axes.transData.transform((0, share))[1], right.transData.transform((0, 1 - share))[1]
        assert left_at == pytest.approx(right_at)


def test_coinciding_lines_are_both_visible(run, drawn):
    lines = {line.get_label(): line for line in drawn(run)["Triplets with zero loss"].lines}
    for below, above in (("IRR", "RII"), ("SIRR", "SRII")):
        np.testing.assert_array_equal(lines[below].get_ydata(), lines[above].get_ydata())
        assert lines[below].get_linewidth() > 2 * lines[above].get_linewidth()
        assert lines[below].get_zorder() <= lines[above].get_zorder()


def test_validation_is_at_the_end_of_its_epoch(run, drawn):
    panels = drawn(run)
    x, y = line_of(panels["Validation recall, mean of directions"], "R@5")
    assert x.tolist() == [1, 2, 3, 4]
    assert y.tolist() == [35] * 4
    assert line_of(panels["Validation median rank (1 is best)"], "MedR")[1].tolist() == [10] * 4


def test_a_line_marks_the_unfreezing(run, drawn):
    def dashed_at(panels):
        return [
            line.get_xdata()[0]
            for axes in panels.values()
            for line in axes.lines
            if len(line.get_xdata()) == 2 and line.get_xdata()[0] == line.get_xdata()[1]
        ]

    assert dashed_at(drawn(run, unfreeze_epoch=2)) == [2] * 4
    assert dashed_at(drawn(run)) == []
    assert dashed_at(drawn(run, unfreeze_epoch=20)) == [], "the run has not reached this epoch"


def test_many_records_are_averaged(tmp_path, drawn):
    lines = [train_line(step, 0) for step in range(1, 2401)]
    x, y = line_of(drawn(written(tmp_path, lines))["Training loss"], "total")
    assert len(x) == 240
    np.testing.assert_allclose(y[0], np.mean([0.2 - step / 1e4 for step in range(1, 11)]))
    np.testing.assert_allclose(y[-1], np.mean([0.2 - step / 1e4 for step in range(2391, 2401)]))


def test_a_loss_without_triplets_and_a_run_without_validation(tmp_path, drawn):
    panels = drawn(written(tmp_path, [train_line(5, 0, ()), train_line(10, 0, ())]))
    assert len(line_of(panels["Pairs with zero loss"], "pairs")[0]) == 2
    assert [text.get_text() for text in panels["Validation median rank (1 is best)"].texts] == ["no validation yet"]
    assert line_of(panels["Training loss"], "total")[0].tolist() == [0.5, 1]


def test_an_unfinished_epoch_counts_in_part(tmp_path, drawn):
    lines = [train_line(step, (step - 1) // 10) for step in (5, 10, 15, 20, 25)]
    assert line_of(drawn(written(tmp_path, lines))["Training loss"], "total")[0].tolist() == [0.5, 1, 1.5, 2, 2.5]


def test_a_wide_range_of_median_ranks_gets_a_logarithmic_axis(tmp_path, drawn):
    for first in (62.0, 500.0):
        panels = drawn(written(tmp_path, [val_line(10, 0, first), val_line(20, 1, 3.0)]))
        axes = panels["Validation median rank (1 is best)"]
        assert axes.get_yscale() == "log"
        labels = [text.get_text() for minor in (False, True) for text in axes.get_yticklabels(minor=minor)]
        assert "10" in labels
        assert not [label for label in labels if "$" in label]


def test_a_missing_number_is_a_gap(tmp_path, drawn):
    odd = [float("nan"), None, "0.3", [1]]
    lines = [train_line(5, 0), *(train_line(5 * i + 10, i) | {"loss": value} for i, value in enumerate(odd))]
    y = line_of(drawn(written(tmp_path, lines))["Training loss"], "total")[1]
    assert np.isnan(y).tolist() == [False, True, True, True, True]


def test_files_are_complete_and_reproducible(run, tmp_path):
    first = curves(run, tmp_path / "one" / "curves.png", 2)
    second = curves(run, tmp_path / "two" / "curves.png", 2)
    assert [path.name for path in first] == ["curves.png", "curves.svg"]
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["curves.png", "curves.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    with Image.open(first[0]) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    assert pixels.shape == (1000, 1440, 3)
    for color in (style.BLUE, style.VERMILION, style.SKY, style.ORANGE, style.BLACK):
        wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.sum(np.all(pixels == wanted, axis=-1)) > 100, color
    assert ElementTree.parse(first[1]).getroot().tag.endswith("svg")


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(UserError, match="the run has no train or val records yet"):
        curves(written(tmp_path, []), tmp_path / "curves.png")
