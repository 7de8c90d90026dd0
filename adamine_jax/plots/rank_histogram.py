"""How far down the right answers stand: the distribution of their ranks in both directions, chance beside it."""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from adamine_jax.plots import style
from adamine_jax.retrieval.protocols import RECALLS
from adamine_jax.retrieval.ranks import pair_ranks
from adamine_jax.retrieval.text_tables import ARROWS

_FIRST_EDGES = (1, 2, 3, 4, 6, 8, 11)  # whose bars up to a K add up to R@K
_GROWTH = 1.36  # of later edges, as of those
_DASHES = (0, (3, 1.5))
_WHITE = [withStroke(linewidth=2.5, foreground="white")]


def rank_histogram(image: np.ndarray, recipe: np.ndarray, out_png: Path) -> list[Path]:
    """Draws the ranks of N pairs in both directions, as shares of the queries in bins of equal width on the axis.

    The bars up to the one that ends behind K add up to R@K; so a rank that ends in a half, as those of ties do, counts
    as the next whole one. A dashed line is what a random order would have, a vertical one the median.

    Args:
        image: (N, D) image embeddings.
        recipe: (N, D) recipe embeddings; row i belongs to image i.
        out_png: where the PNG goes; the SVG goes beside it. Equal arguments give equal bytes.

    Returns:
        The two files.

    Raises:
        UserError: see `pair_ranks`.
    """
    both = pair_ranks(image, recipe)
    with style.styled():
        figure = Figure(figsize=(7.1, 2.7), layout="constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, title, ranks in zip(panels, ARROWS.values(), both, strict=True):
            _draw(axes, title, ranks)
        panels[0].set_ylabel("queries in %")
        top = max(bar.get_height() for axes in panels for bar in axes.containers[0])
        for axes, ranks in zip(panels, both, strict=True):
            axes.set_ylim(0, top * 1.58)
            axes.set_yticks([tick for tick in MaxNLocator(5).tick_values(0, top) if tick <= 1.05 * top])
            _mark(axes, ranks, top)
        return style.save_both(figure, out_png)


def bin_edges(count: int) -> np.ndarray:
    """Edges of the bins for ranks from 1 to `count`: whole numbers, log-spaced, the last one `count` + 1."""
    edges = [edge for edge in _FIRST_EDGES if edge <= count]
    while edges[-1] * _GROWTH < count:
        edges.append(max(edges[-1] + 1, round(edges[-1] * _GROWTH)))
    # What is left is no bin of its own if it is narrow.
    if len(edges) > len(_FIRST_EDGES) and (count + 1) / edges[-1] < _GROWTH**0.5:
        edges.pop()
    return np.array([*edges, count + 1])


def _draw(axes: Axes, title: str, ranks: np.ndarray) -> None:
    edges = bin_edges(len(ranks))
    shares = 100 * np.histogram(np.ceil(ranks), edges)[0] / len(ranks)
    axes.set_title(title)
    axes.set_xscale("log")
    axes.bar(edges[:-1], shares, np.diff(edges), align="edge", color=style.SKY, edgecolor="white", linewidth=0.6)
    chance = 100 * np.diff(edges) / len(ranks)
    axes.stairs(chance, edges, baseline=None, color=style.BLACK, linestyle=_DASHES, linewidth=1.2)
    axes.set(xlim=(1, edges[-1]), xlabel=f"rank of the right answer, of {len(ranks):,}")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", visible=False)


def _mark(axes: Axes, ranks: np.ndarray, top: float) -> None:
    """Writes the median and the recalls above the bars, whose highest reaches `top`."""
    medr = float(np.median(ranks))
    axes.vlines(medr, 0, top * 1.1, color=style.VERMILION, linewidth=1.4, label="MedR", clip_on=False)
    near: dict[str, Any] = {"textcoords": "offset points", "fontsize": 7.5, "va": "center", "path_effects": _WHITE}
    left = medr > len(ranks) ** 0.7
    sides: dict[str, Any] = {"ha": "right", "xytext": (-3, 0)} if left else {"ha": "left", "xytext": (3, 0)}
    axes.annotate(f"MedR {medr:g}", (medr, top * 1.05), color=style.VERMILION, **sides, **near)
    edges = bin_edges(len(ranks))
    chance = 100 * np.diff(edges) / len(ranks)
    if (below := np.flatnonzero(chance < 0.8 * top)).size:
        place = int(below[np.argmax(chance[below])])
        at = (edges[place], chance[place])
        axes.annotate("chance", at, xytext=(-4, 3), ha="right", color=style.BLACK, **near)
    for number, k in enumerate(k for k in RECALLS if k <= len(ranks)):
        recall, y = 100 * np.mean(ranks <= k), top * (1.2 + 0.13 * number)
        axes.plot([1, k + 1], [y, y], color=style.GREEN, linewidth=2.5, solid_capstyle="butt", label=f"R@{k}")
        axes.annotate(f"R@{k} {recall:.1f} %", (k + 1, y), xytext=(3, 0), color=style.GREEN, **near)
