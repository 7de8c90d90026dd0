"""Several training runs in one picture: loss, mining's curriculum and validation, one line a run."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from adamine_jax.plots import panels, style
from adamine_jax.plots.text import squeeze, wrap
from adamine_jax.retrieval.protocols import DIRECTIONS
from adamine_jax.runs.epochs import epoch_knots, epochs_trained, series

# Seven colours that any common colour vision deficiency leaves apart; with dashes they do once more.
_COLORS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.SKY, style.ORANGE, style.BLACK)
_DASHES = ("-", (0, (4, 1.6)))
MOST_RUNS = len(_COLORS) * len(_DASHES)
"""Runs that one picture can tell apart."""

_POINTS = 80  # of a training curve: noise of several runs would hide where they lie
_SIZE = (10.2, 6.2)  # inches
_FEW = 8  # runs up to which the key has room for a second line about each
_LETTER, _LETTER_WIDTH = 8.0, 6.0  # points


@dataclasses.dataclass(frozen=True)
class Curves:
    """What is drawn of a run.

    Attributes:
        letter: stands at the ends of its lines.
        name: for the key.
        note: more about it for the key.
        train: lines of metrics.
        val: lines of metrics.
        best_step: of the val line of its best epoch; None: there is none.
    """

    letter: str
    name: str
    note: str
    train: list[dict]
    val: list[dict]
    best_step: int | None


def overlay(runs: Sequence[Curves], out: Path) -> Path:
    """Draws runs over each other: training loss, bad pairs, validation R@1, R@10 and median rank over epochs trained.

    Validation values are the mean of both directions. Of training lines neighbours are averaged, to 80 points a run.

    Args:
        runs: at most `MOST_RUNS`, each with a train or val line at least.
        out: .png or .svg; equal arguments give equal bytes.

    Returns:
        `out`.
    """
    with style.styled():
        figure = Figure(figsize=_SIZE, layout="constrained")
        loss, mining, key, *validation = figure.subplots(2, 3).flat
        values = _draw(loss, "Training loss", runs, lambda run: _train_series(run, "loss"))
        panels.from_zero_or_logarithmic(loss, values)
        values = _draw(mining, "Costs that are zero (bad pairs)", runs, lambda run: _train_series(run, "bad_pairs"))
        mining.set_ylim(0, min(1.05 * np.nanmax(values, initial=0.1), 1.02))
        for axes, title, metric in zip(validation, _TITLES, ("r1", "r10", "medr"), strict=True):
            values = _draw(axes, title, runs, lambda run, metric=metric: _val_series(run, metric), rings=metric == "r1")
            if metric == "medr":
                panels.from_zero_or_logarithmic(axes, values)
            else:
                axes.set_ylim(bottom=0)
            if not values.size:
                panels.note(axes, "no validation yet")
        end = max(epochs_trained([*run.train, *run.val], _knots(run)).max() for run in runs)
        for axes in (loss, mining, *validation):
            axes.set_xlim(0, end * 1.06)  # room for a letter
            panels.count_epochs(axes, end)
        for axes in validation:
            axes.set_xlabel("epochs")
        key.set_axis_off()
        figure.draw_without_rendering()  # now all places are known
        for axes in (loss, mining, *validation):
            _write_letters(axes, figure.dpi)
        _draw_key(key, runs, figure.dpi)
        return style.save(figure, out, dpi=200)


_TITLES = ("Validation R@1 in %", "Validation R@10 in %", "Validation median rank, from 1")


def _draw(axes: Axes, title: str, runs: Sequence[Curves], series_of, rings: bool = False) -> np.ndarray:
    """Draws a line for each run that has a value, the first one on top, with rings at best epochs if asked.

    Returns:
        All values.
    """
    axes.set_title(title)
    values = []
    for number, (run, look) in enumerate(zip(runs, _looks(), strict=False)):
        x, y = series_of(run)
        if not np.isfinite(y).any():
            continue
        above = 3 - 0.01 * number
        # What lies on an axis is not cut in half by it.
        axes.plot(x, y, label=run.letter, zorder=above, clip_on=False, **look)
        marked = [len(x) - 1] if len(x) == 1 else []
        axes.plot(x[marked], y[marked], "o", color=look["color"], markersize=3, zorder=above)
        best = [line["step"] == run.best_step for line in run.val] if rings else []
        ring = {"markersize": 6, "markerfacecolor": "none", "clip_on": False}
        axes.plot(x[best], y[best], "o", color=look["color"], zorder=above, **ring)
        values.append(y)
    for line in axes.lines:
        line.set_in_layout(False)
    return np.concatenate(values) if values else np.zeros(0)


def _looks() -> list[dict]:
    """Colour and dashes of each run."""
    return [{"color": color, "linestyle": dash, "linewidth": 1.5} for dash in _DASHES for color in _COLORS]


def _knots(run: Curves) -> np.ndarray:
    return epoch_knots(run.train, run.val)


def _train_series(run: Curves, field: str) -> tuple[np.ndarray, np.ndarray]:
    return series(run.train, field, _knots(run), _POINTS)


def _val_series(run: Curves, metric: str) -> tuple[np.ndarray, np.ndarray]:
    x, one = series(run.val, f"{metric}_{DIRECTIONS[0]}", _knots(run), limit=None)
    return x, (one + series(run.val, f"{metric}_{DIRECTIONS[1]}", _knots(run), limit=None)[1]) / 2


def _write_letters(axes: Axes, dpi: float) -> None:
    """Writes each run's letter at the end of its line; where ends lie together the letters are moved apart."""
    lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    if not lines:
        return
    ends = []
    for line in lines:
        x, y = (np.asarray(values, float) for values in line.get_data())
        last = np.flatnonzero(np.isfinite(y))[-1]
        ends.append(axes.transData.transform((x[last], y[last])) * 72 / dpi)  # in points
    box = axes.get_window_extent()
    low, high = box.y0 * 72 / dpi + _LETTER / 2, box.y1 * 72 / dpi - _LETTER / 2
    for line, (x, y), place in zip(lines, ends, _spread(ends, low, high), strict=True):
        axes.annotate(
            str(line.get_label()),
            (x, y),
            xycoords="figure points",
            xytext=(4, place - y),
            textcoords="offset points",
            va="center_baseline",
            fontsize=_LETTER,
            fontweight="bold",
            color=line.get_color(),
            annotation_clip=False,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        ).set_in_layout(False)


def _spread(ends: Sequence[np.ndarray], low: float, high: float) -> np.ndarray:
    """Heights for letters at these (x, y) ends, in points, within bounds.

    Of letters beside each other none lies over another, they keep the order of their ends, and the squares of their
    distances from these add up to as little as possible.
    """
    places = np.asarray(ends)
    heights = np.empty(len(ends))
    for group in _beside(places[:, 0]):
        upwards = group[np.argsort(places[group, 1], kind="stable")]
        below = _LETTER * np.arange(len(group))  # the room that those below need
        heights[upwards] = np.clip(_rising(places[upwards, 1] - below), low, high - below[-1]) + below
    return heights


def _beside(x: np.ndarray) -> list[np.ndarray]:
    """Groups of letters at these x that would touch if they had one height."""
    groups: list[list[int]] = []
    for number in np.argsort(x, kind="stable"):
        if groups and x[number] - x[groups[-1][0]] < _LETTER_WIDTH:
            groups[-1].append(number)
        else:
            groups.append([number])
    return [np.array(group) for group in groups]


def _rising(values: np.ndarray) -> np.ndarray:
    """The numbers nearest to `values`, in the sum of squares, of which none is less than the one before it."""
    pools: list[list[float]] = []
    for value in values:
        pools.append([value])
        while len(pools) > 1 and np.mean(pools[-2]) >= np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    return np.concatenate([np.full(len(pool), np.mean(pool)) for pool in pools])


def _draw_key(axes: Axes, runs: Sequence[Curves], dpi: float) -> None:
    """Says which run a letter, a colour and a dash stand for."""
    box = axes.get_window_extent()
    width, height = box.width * 72 / dpi, box.height * 72 / dpi
    axes.set(xlim=(0, width), ylim=(height, 0))
    text = 40.0  # where names begin
    step = min(26.0 if len(runs) <= _FEW else 14.0, (height - 16) / len(runs))
    for number, (run, look) in enumerate(zip(runs, _looks(), strict=False)):
        y = 6 + number * step
        axes.add_line(Line2D([0, 22], [y, y], **look))
        axes.text(27, y, run.letter, fontsize=_LETTER, fontweight="bold", color=look["color"], va="center_baseline")
        axes.text(text, y, squeeze(run.name, width - text, 8), fontsize=8, va="center_baseline")
        if len(runs) <= _FEW:
            note = "".join(wrap(run.note, width - text, 6.8, lines=1))
            axes.text(text, y + 9.5, note, fontsize=6.8, color=style.GREY, va="center_baseline")
    caption = "Validation: mean of both directions; ring: best epoch."
    y = min(6 + len(runs) * step + 6, height - 2)
    axes.text(0, y, squeeze(caption, width, 7), fontsize=7, color=style.GREY, va="baseline")
