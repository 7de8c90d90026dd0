"""What the panels of training curves have in common: their axes, and what stands in one that is empty."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from adamine_jax.plots import style

_WIDE = 20
"""Ratio of the largest to the smallest value from which on an axis is logarithmic."""


def count_epochs(axes: Axes, end: float) -> None:
    """Marks a few round numbers of epochs, up to `end`, on the horizontal axis."""
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10], integer=end >= 2))


def from_zero_or_logarithmic(axes: Axes, values: np.ndarray) -> None:
    """Begins the vertical axis at 0, or makes it logarithmic where positive values lie far apart."""
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > _WIDE * finite.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())  # its own would write TeX, which is switched off
    else:
        axes.set_ylim(bottom=0)


def note(axes: Axes, text: str) -> None:
    """Says why a panel is empty."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color=style.GREY)
