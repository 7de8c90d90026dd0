"""How every figure looks and how it reaches the disk: one palette, one set of sizes, the same bytes each time."""

import contextlib
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from adamine_jax.base.files import atomic_write

# Okabe & Ito's palette: told apart with any common colour vision deficiency.
BLACK, GREY, LIGHT_GREY = "#222222", "#6b6b6b", "#d9d9d9"
BLUE, ORANGE, GREEN, VERMILION = "#0072b2", "#e69f00", "#009e73", "#d55e00"
SKY, PURPLE, YELLOW = "#56b4e9", "#cc79a7", "#b8a800"

_RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
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
    "text.parse_math": False,  # a "$" in a title is money
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "adamine",  # fixes the ids inside an SVG
    "svg.fonttype": "path",
}


def styled() -> contextlib.AbstractContextManager:
    """A context in which figures are made and saved in the project's style, whatever the user's matplotlibrc says."""
    return matplotlib.rc_context(_RC)


def save(figure: Figure, path: Path, dpi: int = 150) -> Path:
    """Writes `figure` in the format of the path's suffix, under a temporary name until it is complete.

    The file holds no date and no version, so that equal figures are equal bytes.

    Args:
        figure: made without pyplot.
        path: ends in .png, .svg or .jpg; its folder is made when absent.
        dpi: pixels per inch of a PNG, and of the pictures in an SVG.

    Returns:
        `path`.
    """
    path = Path(path)
    kind = path.suffix[1:].lower()
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"png": {"Software": None}, "svg": {"Date": None, "Creator": None}, "jpg": None}[kind]
    encoder: dict[str, Any] = {"pil_kwargs": {"quality": 90}} if kind == "jpg" else {}
    with atomic_write(path) as unfinished:
        figure.savefig(unfinished, format=kind, dpi=dpi, metadata=metadata, **encoder)
    return path


def save_both(figure: Figure, out_png: Path, dpi: int = 200) -> list[Path]:
    """Writes `figure` as PNG, and as SVG beside it; see `save`.

    Returns:
        The two files.
    """
    return [save(figure, Path(out_png), dpi), save(figure, Path(out_png).with_suffix(".svg"), dpi)]
