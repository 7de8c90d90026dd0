"""Draws histograms of the ranks of the correct candidates in both directions, compared with chance."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from adamine_jax.plots import style
from adamine_jax.retrieval.protocols import RECALLS
from adamine_jax.retrieval.ranks import pair_ranks
from adamine_jax.retrieval.text_tables import ARROWS

_FIRST_EDGES = (1, 2, 3, 4, 6, 8, 11)  # the bars up to each K add up to R@K
_GROWTH = 1.36  # ratio of the later edges
_WHITE = [withStroke(linewidth=2.5, foreground="white")]


def rank_histogram(image: np.ndarray, recipe: np.ndarray, out_png: Path) -> list[Path]:
    """Draws the share of queries in each rank bin, in both directions; returns the paths of the PNG and the SVG.

    The bars up to K add up to R@K; for that, a half-integer rank of a tie counts as the next integer. A dashed line
    shows a random ranking, a vertical line the median.

    Args:
        image: (N, D) image embeddings.
        recipe: (N, D) recipe embeddings; row i is the match of image i.
        out_png: Path of the PNG; the SVG is written beside it. Equal arguments give equal bytes.

    Raises:
        UserError: See `pair_ranks`.
    """
    directions = pair_ranks(image, recipe)
    with style.styled():
        figure = Figure(figsize=(7.1, 2.7), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, title, ranks in zip(panels, ARROWS.values(), directions, strict=True):
            _draw(axes, title, ranks)
        panels[0].set_ylabel("queries (%)")
        top = max(bar.get_height() for axes in panels for bar in axes.containers[0])
        for axes, ranks in zip(panels, directions, strict=True):
            axes.set_ylim(0, top * 1.58)
            axes.set_yticks([tick for tick in MaxNLocator(5).tick_values(0, top) if tick <= 1.05 * top])
            _annotate(axes, ranks, top)
        return style.save_both(figure, out_png)


def bin_edges(count: int) -> np.ndarray:
    """Returns integer, log-spaced edges of the bins for ranks from 1 to `count`; the last edge is `count` + 1."""
    edges = [edge for edge in _FIRST_EDGES if edge <= count]
    while edges[-1] * _GROWTH < count:
        edges.append(max(edges[-1] + 1, round(edges[-1] * _GROWTH)))
    # A narrow last bin is merged into the one before it.
    if len(edges) > len(_FIRST_EDGES) and (count + 1) / edges[-1] < _GROWTH**0.5:
        edges.pop()
    return np.array([*edges, count + 1])


def _chance(edges: np.ndarray) -> np.ndarray:
    """Returns the percentage of the ranks in each bin under a random ranking."""
    return 100 * np.diff(edges) / (edges[-1] - 1)


def _draw(axes: Axes, title: str, ranks: np.ndarray) -> None:
    edges = bin_edges(len(ranks))
    shares = 100 * np.histogram(np.ceil(ranks), edges)[0] / len(ranks)
    axes.set_title(title)
    axes.set_xscale("log")
    axes.bar(edges[:-1], shares, np.diff(edges), align="edge", color=style.SKY, edgecolor="white", linewidth=0.6)
    axes.stairs(_chance(edges), edges, baseline=None, color=style.BLACK, linestyle=(0, (3, 1.5)), linewidth=1.2)
    axes.set(xlim=(1, edges[-1]), xlabel=f"rank of the correct match among {len(ranks):,}")
    style.log_ticks(axes.xaxis)
    axes.grid(axis="x", visible=False)


def _annotate(axes: Axes, ranks: np.ndarray, top: float) -> None:
    """Writes the median and the recalls above the bars, the highest of which reaches `top`."""
    medr = float(np.median(ranks))
    axes.vlines(medr, 0, top * 1.1, color=style.VERMILION, linewidth=1.4, label="MedR", clip_on=False)
    label: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7.5, "va": "center", "path_effects": _WHITE}
    left = medr > len(ranks) ** 0.7
    side: dict[str, Any] = {"ha": "right", "xytext": (-3, 0)} if left else {"ha": "left", "xytext": (3, 0)}
    axes.annotate(f"MedR {medr:g}", (medr, top * 1.05), color=style.VERMILION, **side, **label)
    edges = bin_edges(len(ranks))
    chance = _chance(edges)
    if (below := np.flatnonzero(chance < 0.8 * top)).size:
        place = int(below[np.argmax(chance[below])])
        point = (edges[place], chance[place])
        axes.annotate("chance", point, xytext=(-4, 3), ha="right", color=style.BLACK, **label)
    for number, k in enumerate(k for k in RECALLS if k <= len(ranks)):
        recall, y = 100 * np.mean(ranks <= k), top * (1.2 + 0.13 * number)
        axes.plot([1, k + 1], [y, y], color=style.GREEN, linewidth=2.5, solid_capstyle="butt", label=f"R@{k}")
        axes.annotate(f"R@{k} {recall:.1f} %", (k + 1, y), xytext=(3, 0), color=style.GREEN, **label)
