"""The common style of all figures, helpers for their axes, and reproducible saving."""

import contextlib
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from adamine_jax.base.files import atomic_write

# Okabe and Ito's palette, distinguishable under the common colour vision deficiencies.
BLACK, GREY, LIGHT_GREY = "#222222", "#6b6b6b", "#d9d9d9"
BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
SKY, PURPLE, YELLOW = "#56b4e9", "#cc79a7", "#b8a800"

FONT = "DejaVu Sans"
"""Ships with matplotlib, so text looks the same on every machine."""
_LOG_SCALE_RATIO = 20  # ratio of the largest to the smallest value above which an axis becomes logarithmic
_RC = {
    "font.family": FONT,
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "text.usetex": False,
    "text.parse_math": False,  # a "$" in a title is a currency sign
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "adamine",  # makes the ids inside an SVG reproducible
    "svg.fonttype": "path",
}


def styled() -> contextlib.AbstractContextManager:
    """Returns a context for creating and saving figures in this style, whatever the user's matplotlibrc."""
    return matplotlib.rc_context(_RC)


def save(figure: Figure, path: Path, dpi: int = 150) -> Path:
    """Writes `figure` atomically, in the format given by the suffix.

    The file contains neither a date nor a version, so equal figures give equal bytes.

    Args:
        figure: Figure created without pyplot.
        path: File ending in .png, .svg or .jpg; its folder is created if missing.
        dpi: Pixels per inch of a PNG or JPEG and of the images in an SVG.

    Returns:
        `path`.
    """
    kind = path.suffix[1:].lower()
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}, "jpg": None}[kind]
    encoder: dict[str, Any] = {"pil_kwargs": {"quality": 90}} if kind == "jpg" else {}
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format=kind, dpi=dpi, metadata=metadata, **encoder)
    return path


def save_both(figure: Figure, out_png: Path, dpi: int = 200) -> list[Path]:
    """Writes `figure` as a PNG and as an SVG beside it, and returns the two paths."""
    return [save(figure, out_png, dpi), save(figure, out_png.with_suffix(".svg"), dpi)]


def epoch_ticks(axes: Axes, end: float) -> None:
    """Puts a few ticks at round numbers of epochs up to `end` on the horizontal axis."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=end >= 2))


def log_ticks(axis: Axis) -> None:
    """Labels a logarithmic axis at 1, 2, 5, 10, … in plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())  # the default writes TeX, which is disabled


def scale_y(axes: Axes, values: np.ndarray) -> None:
    """Starts the vertical axis at 0, or makes it logarithmic if `values` are positive and span a wide range."""
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > _LOG_SCALE_RATIO * finite.min():
        axes.set_yscale("log")
        log_ticks(axes.yaxis)
    else:
        axes.set_ylim(bottom=0)


def note(axes: Axes, text: str) -> None:
    """Writes a message in the middle of an empty panel."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color=GREY)
