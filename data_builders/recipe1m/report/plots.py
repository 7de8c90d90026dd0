"""Draws the report's figure of lengths and sizes, and the contact sheet of a sample of recipes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from adamine_jax.plots import style
from adamine_jax.plots.gallery_items import square_pixels
from adamine_jax.plots.page import DPI, Page
from data_builders.recipe1m.recipes import PARTITIONS
from data_builders.recipe1m.report.contents import MAX_WORDS
from data_builders.recipe1m.report.counters import Distribution
from data_builders.recipe1m.report.dataset_report import Report
from data_builders.recipe1m.report.sample import Sampled

_BINS = 40
_COLORS = dict(zip(PARTITIONS, (style.BLUE, style.ORANGE, style.GREEN), strict=True))
# The contact sheet, in inches; the caption is below its photo.
_COLUMNS = 6
_MARGIN, _GAP, _SIDE, _CAPTION = 0.15, 0.16, 1.9, 1.12


def draw(report: Report, folder: Path) -> list[Path]:
    """Draws histograms of lengths and photo sizes, and the class sizes; returns `report.png` and `report.svg`."""
    lengths = report.contents.lengths
    with style.styled():
        figure = Figure(figsize=(9.6, 5.2), layout="constrained")
        first, second, third, fourth, fifth, sixth = figure.subplots(2, 3).flat
        both = {"lines": lengths["ingredient lines per recipe"], "known names": lengths["known ingredients per recipe"]}
        _histogram(first, "Ingredients per recipe", "recipes", both)
        _histogram(second, "Instructions per recipe", "recipes", {"": lengths["instructions per recipe"]})
        _histogram(third, "Words per instruction", "instructions", {"": lengths["words per instruction"]})
        _limit(third, MAX_WORDS, "read by\nthe model")
        _histogram(fourth, "Words per recipe", "recipes", {"": lengths["words per recipe"]})
        sides = {"": report.contents.photo_sides["shorter side"]}
        _histogram(fifth, "Shorter side of a photo, pixels", "photos", sides)
        _limit(fifth, report.options.resize, "resized\nto this")
        _ranks(sixth, report)
        return [style.save(figure, folder / "report.png", dpi=150), style.save(figure, folder / "report.svg")]


def _histogram(axes: Axes, title: str, unit: str, distributions: dict[str, Distribution]) -> None:
    """Draws bars of equal width. Outliers beyond the 99th percentile are clipped and noted in a corner."""
    axes.set_title(title)
    axes.set_ylabel(unit)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.grid(axis="x", visible=False)
    values = {name: np.array(sorted(one.counts)) for name, one in distributions.items() if one.counts}
    if not values:
        _note(axes, "none")
        return
    weights = {name: np.array([distributions[name].counts[value] for value in values[name]]) for name in values}
    lowest = min(int(one[0]) for one in values.values())
    highest = max(int(one[-1]) for one in values.values())
    last = max(_quantile(values[name], weights[name], 0.99) for name in values)
    last = highest if highest - lowest < 1.4 * (last - lowest) else last
    width = max(1, -(-(last + 1 - lowest) // _BINS))
    edges = np.arange(lowest, last + width + 1, width) - 0.5
    for place, name in enumerate(values):
        heights, _ = np.histogram(values[name], edges, weights=weights[name])
        if place == 0:
            axes.stairs(heights, edges, fill=True, color=style.SKY, label=name)
        else:
            axes.stairs(heights, edges, color=style.VERMILION, linewidth=1.4, label=name)
    few = max(0, 6 - len(edges))  # a single bar must not fill the whole panel
    axes.set_xlim(edges[0] - few / 2, edges[-1] + few / 2)
    if highest > edges[-1]:
        note = f"up to {highest:,} →"
        axes.annotate(note, (1, 0.14), xycoords="axes fraction", ha="right", fontsize=7.5, color=style.GREY)
    if len(values) > 1:
        axes.set_ylim(top=axes.get_ylim()[1] * 1.15)  # room for the legend
        axes.legend(loc="upper right", ncols=2, handlelength=1.4, borderaxespad=0.1)


def _quantile(values: np.ndarray, weights: np.ndarray, part: float) -> int:
    return int(values[np.searchsorted(np.cumsum(weights), part * weights.sum())])


def _limit(axes: Axes, limit: int, meaning: str) -> None:
    """Draws a dashed line at a limit if it is within the axes."""
    if axes.get_xlim()[0] < limit < axes.get_xlim()[1]:
        axes.axvline(limit, color=style.GREY, linestyle=(0, (4, 3)), linewidth=1)
        axes.annotate(
            meaning,
            (limit, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-3, 0),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=7.5,
            color=style.GREY,
        )


def _ranks(axes: Axes, report: Report) -> None:
    """Draws the sizes of the classes, sorted separately for each partition."""
    axes.set_title("Classes by size")
    axes.set_ylabel("recipes")
    axes.set_xlabel("rank of the class")
    if len(report.classes) < 2:
        _note(axes, "no classes")
        return
    for name in PARTITIONS:
        sizes = np.array(sorted((sizes[name] for _, sizes in report.classes[1:]), reverse=True))
        if sizes.any():
            marker = "o" if len(sizes) <= 25 else None
            axes.plot(np.arange(1, len(sizes) + 1), sizes, color=_COLORS[name], label=name, marker=marker, markersize=3)
    axes.set_yscale("symlog", linthresh=1)
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axes.set_ylim(bottom=0)
    if axes.lines:
        axes.legend()


def _note(axes: Axes, text: str) -> None:
    """Writes the reason why a panel is empty."""
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color=style.GREY)


def write_contact_sheet(sample: Sequence[Sampled], path: Path) -> Path:
    """Draws a sample of at least one recipe: photos, titles, partitions, classes and ingredients. Returns `path`."""
    columns, rows = min(_COLUMNS, len(sample)), -(-len(sample) // _COLUMNS)
    with style.styled():
        page = Page(2 * _MARGIN + columns * (_SIDE + _GAP) - _GAP, 2 * _MARGIN + rows * (_SIDE + _CAPTION))
        for number, sampled in enumerate(sample):
            row, column = divmod(number, _COLUMNS)
            _draw_recipe(page, _MARGIN + column * (_SIDE + _GAP), _MARGIN + row * (_SIDE + _CAPTION), sampled)
        return page.save(path)


def _draw_recipe(page: Page, x: float, y: float, sampled: Sampled) -> None:
    item = sampled.item
    page.photo(x, y, _SIDE, _SIDE, square_pixels(item, round(_SIDE * DPI)))
    page.frame(x, y, _SIDE, _SIDE)
    y += _SIDE + 0.05
    y = page.text(x, y, item.title.strip() or "(untitled)", _SIDE, size=8.5, lines=2, weight="bold")
    y = page.text(x, y + 0.01, f"{sampled.partition} · {item.class_name}", _SIDE, size=7.5, color=style.BLUE)
    y = page.text(x, y, "; ".join(item.ingredients), _SIDE, size=7, lines=3, color=style.GREY)
    page.text(x, y, item.id, _SIDE, size=6, color=style.GREY)
