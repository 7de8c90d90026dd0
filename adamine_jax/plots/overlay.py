"""Draws several training runs in one figure: loss, inactive triplets and validation, with one line per run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from adamine_jax.plots import style
from adamine_jax.plots.text import squeeze, wrap
from adamine_jax.retrieval.protocols import DIRECTIONS
from adamine_jax.runs.epochs import epoch_knots, epochs_trained, series
from adamine_jax.runs.history import Run

# Seven colours that are distinguishable under the common colour vision deficiencies, each solid and dashed.
_COLORS = (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.SKY, style.ORANGE, style.BLACK)
_DASHES = ("-", (0, (4, 1.6)))
_LOOKS: list[dict[str, Any]] = [
    {"color": color, "linestyle": dash, "linewidth": 1.5} for dash in _DASHES for color in _COLORS
]
MAX_RUNS = len(_LOOKS)
"""Maximum number of runs in one figure."""

_POINTS = 80  # per training curve; more would show the noise of the runs rather than their order
_SIZE = (10.2, 6.2)  # inches
_MAX_NOTED_RUNS = 8  # largest number of runs for which the key has room for a second line each
_LETTER, _LETTER_WIDTH = 8.0, 6.0  # points
_VALIDATION = {
    "Validation R@1 (%)": "r1",
    "Validation R@10 (%)": "r10",
    "Validation median rank (1 is best)": "medr",
}


class Curves(NamedTuple):
    """A run with the letter at the ends of its lines and the note below its name in the key."""

    run: Run
    letter: str
    note: str

    @property
    def knots(self) -> np.ndarray:
        """See `epoch_knots`."""
        return epoch_knots(self.run.train, self.run.validations)

    def train_series(self, field: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns (epochs, values) of a training metric, averaged over neighbouring points."""
        return series(self.run.train, field, self.knots, _POINTS)

    def val_series(self, metric: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns (epochs, values) of a validation metric, the mean of both directions."""
        fields = (f"{metric}_{direction}" for direction in DIRECTIONS)
        (x, first), (_, second) = (series(self.run.validations, field, self.knots, limit=None) for field in fields)
        return x, (first + second) / 2


def overlay(runs: Sequence[Curves], out: Path) -> Path:
    """Draws training loss, bad pairs, and validation R@1, R@10 and median rank against the number of epochs trained.

    Args:
        runs: At most `MAX_RUNS` runs, each with at least one train or val record.
        out: Path ending in .png or .svg. Equal arguments give equal bytes.

    Returns:
        `out`.
    """
    with style.styled():
        figure = Figure(figsize=_SIZE, layout="constrained")
        loss, inactive, key, *validation = figure.subplots(2, 3).flat
        values = _draw(loss, "Training loss", runs, lambda curves: curves.train_series("loss"))
        style.scale_y(loss, values)
        title = "Zero-loss fraction (bad pairs)"
        values = _draw(inactive, title, runs, lambda curves: curves.train_series("bad_pairs"))
        inactive.set_ylim(0, min(1.05 * np.nanmax(values, initial=0.1), 1.02))
        for axes, (title, metric) in zip(validation, _VALIDATION.items(), strict=True):
            values = _draw(axes, title, runs, lambda curves, m=metric: curves.val_series(m), rings=metric == "r1")
            if metric == "medr":
                style.scale_y(axes, values)
            else:
                axes.set_ylim(bottom=0)
            if not values.size:
                style.note(axes, "no validation yet")
        end = max(epochs_trained([*c.run.train, *c.run.validations], c.knots).max() for c in runs)
        for axes in (loss, inactive, *validation):
            axes.set_xlim(0, end * 1.06)  # room for a letter
            style.epoch_ticks(axes, end)
        for axes in validation:
            axes.set_xlabel("epochs")
        key.set_axis_off()
        figure.draw_without_rendering()  # computes the layout
        for axes in (loss, inactive, *validation):
            _label_lines(axes, figure.dpi)
        _draw_key(key, runs, figure.dpi)
        return style.save(figure, out, dpi=200)


def _draw(
    axes: Axes,
    title: str,
    runs: Sequence[Curves],
    series_of: Callable[[Curves], tuple[np.ndarray, np.ndarray]],
    rings: bool = False,
) -> np.ndarray:
    """Draws a line for each run with values, the first run on top, and rings at the best epochs if asked.

    Returns:
        All values.
    """
    axes.set_title(title)
    values = []
    for number, (curves, look) in enumerate(zip(runs, _LOOKS, strict=False)):
        x, y = series_of(curves)
        if not np.isfinite(y).any():
            continue
        layer = 3 - 0.01 * number
        # Not clipped, so that a line on the edge of the panel keeps its full width.
        axes.plot(x, y, label=curves.letter, zorder=layer, clip_on=False, **look)
        if len(x) == 1:
            axes.plot(x, y, "o", color=look["color"], markersize=3, zorder=layer)
        best = curves.run.best if rings else None
        at_best = [record is best for record in curves.run.validations] if rings else []
        ring = {"markersize": 6, "markerfacecolor": "none", "clip_on": False}
        axes.plot(x[at_best], y[at_best], "o", color=look["color"], zorder=layer, **ring)
        values.append(y)
    for line in axes.lines:
        line.set_in_layout(False)
    return np.concatenate(values) if values else np.zeros(0)


def _label_lines(axes: Axes, dpi: float) -> None:
    """Writes each run's letter at the end of its line, moving letters apart where lines end close together."""
    lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    if not lines:
        return
    ends = []  # in points
    for line in lines:
        x, y = (np.asarray(values, float) for values in line.get_data())
        last = np.flatnonzero(np.isfinite(y))[-1]
        ends.append(axes.transData.transform((x[last], y[last])) * 72 / dpi)
    box = axes.get_window_extent()
    low, high = box.y0 * 72 / dpi + _LETTER / 2, box.y1 * 72 / dpi - _LETTER / 2
    for line, (x, y), height in zip(lines, ends, _spread(np.array(ends), low, high), strict=True):
        axes.annotate(
            str(line.get_label()),
            (x, y),
            xycoords="figure points",
            xytext=(4, height - y),
            textcoords="offset points",
            va="center_baseline",
            fontsize=_LETTER,
            fontweight="bold",
            color=line.get_color(),
            annotation_clip=False,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        ).set_in_layout(False)


def _spread(ends: np.ndarray, low: float, high: float) -> np.ndarray:
    """Returns heights within bounds for letters at the (x, y) `ends` of lines, in points.

    Letters beside each other do not overlap, keep the order of the line ends, and are moved as little as possible in
    the least-squares sense.
    """
    from sklearn.isotonic import isotonic_regression  # a slow import that other figures do not need

    heights = np.empty(len(ends))
    by_x = np.argsort(ends[:, 0], kind="stable")
    gaps = np.flatnonzero(np.diff(ends[by_x, 0]) >= _LETTER_WIDTH) + 1
    for group in np.split(by_x, gaps):
        upwards = group[np.argsort(ends[group, 1], kind="stable")]
        offsets = _LETTER * np.arange(len(group))
        heights[upwards] = np.clip(isotonic_regression(ends[upwards, 1] - offsets), low, high - offsets[-1]) + offsets
    return heights


def _draw_key(axes: Axes, runs: Sequence[Curves], dpi: float) -> None:
    """Lists the letter, the line style and the name of each run."""
    box = axes.get_window_extent()
    width, height = box.width * 72 / dpi, box.height * 72 / dpi
    axes.set(xlim=(0, width), ylim=(height, 0))
    name_x = 40.0
    step = min(26.0 if len(runs) <= _MAX_NOTED_RUNS else 14.0, (height - 16) / len(runs))
    for number, (curves, look) in enumerate(zip(runs, _LOOKS, strict=False)):
        y = 6 + number * step
        axes.add_line(Line2D([0, 22], [y, y], **look))
        axes.text(27, y, curves.letter, fontsize=_LETTER, fontweight="bold", color=look["color"], va="center_baseline")
        axes.text(name_x, y, squeeze(curves.run.name, width - name_x, 8), fontsize=8, va="center_baseline")
        if len(runs) <= _MAX_NOTED_RUNS:
            note = "".join(wrap(curves.note, width - name_x, 6.8, lines=1))
            axes.text(name_x, y + 9.5, note, fontsize=6.8, color=style.GREY, va="center_baseline")
    caption = "Validation: mean of both directions; ring: best epoch."
    y = min(6 + len(runs) * step + 6, height - 2)
    axes.text(0, y, squeeze(caption, width, 7), fontsize=7, color=style.GREY, va="baseline")
