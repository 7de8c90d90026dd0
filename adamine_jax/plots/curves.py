"""Draws a training run in four panels: losses, fraction of inactive triplets, validation recall and median rank."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from adamine_jax.base.errors import UserError
from adamine_jax.plots import style
from adamine_jax.runs.epochs import epoch_knots, epochs_trained, series
from adamine_jax.runs.metrics_log import read_metrics

# Instance strategies are solid, semantic ones dashed; no two strategies of one loss share a colour.
_STRATEGIES = {
    "IRR": (style.BLUE, "-"),
    "RII": (style.VERMILION, "-"),
    "SIRR": (style.SKY, "--"),
    "SRII": (style.ORANGE, "--"),
    "IRI": (style.GREEN, "-"),
    "RIR": (style.PURPLE, "-"),
    "SIII": (style.YELLOW, "--"),
    "SRRR": (style.GREY, "--"),
    "LIFT": (style.VERMILION, "-"),
}
_OTHER = (style.GREEN, "-.")
_RECALLS = {"r1": (style.BLUE, "R@1"), "r5": (style.VERMILION, "R@5"), "r10": (style.GREEN, "R@10")}


def curves(metrics_path: Path, out_png: Path, unfreeze_epoch: int | None = None) -> list[Path]:
    """Draws the curves of one run as a PNG and an SVG, and returns their paths.

    The horizontal axis is the number of epochs trained: the validation after epoch 0 is at 1. A dashed line marks
    `unfreeze_epoch`, the first epoch that trains the image tower. Dense training curves are averaged over neighbouring
    points. Validation lines are the mean of the two retrieval directions, which bound the band around them.

    Raises:
        UserError: The metrics cannot be read or contain no train or val records.
    """
    records = read_metrics(metrics_path)
    train = [record for record in records if record["split"] == "train"]
    val = [record for record in records if record["split"] == "val"]
    if not train and not val:
        raise UserError(f"{metrics_path}: nothing to draw, the run has no train or val records yet")
    knots = epoch_knots(train, val)
    with style.styled():
        figure = Figure(figsize=(7.2, 5.0), layout="constrained")
        loss, inactive, recall, medr = figure.subplots(2, 2, sharex=True).flat
        _draw_loss(loss, train, knots)
        _draw_inactive(inactive, train, knots)
        _draw_recall(recall, val, knots)
        _draw_medr(medr, val, knots)
        end = max(epochs_trained(records, knots))
        for axes in (loss, inactive, recall, medr):
            axes.set_xlim(0, end * 1.01)
            style.epoch_ticks(axes, end)
            if unfreeze_epoch is not None and 0 < unfreeze_epoch < end:
                axes.axvline(unfreeze_epoch, color=style.GREY, linestyle=(0, (4, 3)), linewidth=1)
                if axes is recall:
                    position = {"xycoords": ("data", "axes fraction"), "xytext": (4, 0), "textcoords": "offset points"}
                    look = {"fontsize": 7.5, "color": style.GREY}
                    axes.annotate("image tower\nunfrozen", (unfreeze_epoch, 0.03), **position, **look)
        for axes in (recall, medr):
            axes.set_xlabel("epochs")
        return style.save_both(figure, out_png)


def _draw_loss(axes: Axes, train: list[dict], knots: np.ndarray) -> None:
    axes.set_title("Training loss")
    _draw_strategies(axes, train, "loss_", knots)
    axes.plot(*series(train, "loss", knots), color=style.BLACK, linewidth=1.2, label="total")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.2)  # room for the legend
    _add_legend(axes, train)


def _draw_inactive(axes: Axes, train: list[dict], knots: np.ndarray) -> None:
    """Draws the fraction of triplets (or pairs) with zero loss; the right axis shows the rest."""
    kind = "Triplets"
    if not _draw_strategies(axes, train, "bad_pairs_", knots):  # pairwise losses have no strategies
        axes.plot(*series(train, "bad_pairs", knots), color=style.BLACK, label="pairs")
        kind = "Pairs"
    axes.set_title(f"{kind} with zero loss")
    axes.set_ylabel("fraction (bad_pairs)")
    axes.set_ylim(0, 1.02)
    active = axes.secondary_yaxis("right", functions=(_complement, _complement))
    active.set_ylabel("fraction still active")
    active.spines["right"].set_visible(True)
    _add_legend(axes, train)


def _complement(share: ArrayLike) -> np.ndarray:
    return 1 - np.asarray(share)


def _draw_strategies(axes: Axes, train: list[dict], prefix: str, knots: np.ndarray) -> list[str]:
    """Draws a line for each strategy in the metrics and returns the strategies.

    The two directions of a strategy often coincide, so the second line is thin and leaves the first visible.
    """
    names = _strategies(train)
    dashes = set()
    for name in names:
        color, dash = _STRATEGIES.get(name, _OTHER)
        width = 1.2 if dash in dashes else 2.8
        dashes.add(dash)
        axes.plot(*series(train, f"{prefix}{name}", knots), color=color, linestyle=dash, linewidth=width, label=name)
    return names


def _draw_recall(axes: Axes, val: list[dict], knots: np.ndarray) -> None:
    axes.set_title("Validation recall, mean of directions")
    axes.set_ylabel("recall (%)")
    for key, (color, label) in _RECALLS.items():
        _draw_band(axes, val, key, knots, color, label)
    axes.set_ylim(bottom=0)
    _add_legend(axes, val)
    if not val:
        style.note(axes, "no validation yet")


def _draw_medr(axes: Axes, val: list[dict], knots: np.ndarray) -> None:
    axes.set_title("Validation median rank (1 is best)")
    axes.set_ylabel("MedR")
    mean = _draw_band(axes, val, "medr", knots, style.PURPLE, "MedR")
    if not val:
        style.note(axes, "no validation yet")
    style.scale_y(axes, mean)


def _draw_band(axes: Axes, val: list[dict], key: str, knots: np.ndarray, color: str, label: str) -> np.ndarray:
    """Draws the mean of a metric over the two directions, in a band bounded by them, and returns the mean."""
    x, to_recipe = series(val, f"{key}_image_to_recipe", knots, limit=None)
    _, to_image = series(val, f"{key}_recipe_to_image", knots, limit=None)
    mean = (to_recipe + to_image) / 2
    axes.fill_between(x, to_recipe, to_image, color=color, alpha=0.18, linewidth=0)
    axes.plot(x, mean, color=color, label=label, marker="o" if len(x) <= 25 else None, markersize=3)
    return mean


def _add_legend(axes: Axes, records: list[dict]) -> None:
    if records:
        axes.legend(ncols=3 if len(axes.lines) > 4 else 1, handlelength=1.8, columnspacing=1.0)


def _strategies(train: list[dict]) -> list[str]:
    """Returns the strategies in the metrics: known ones in the order of the table, then the others."""
    prefix = "bad_pairs_"
    found = {key.removeprefix(prefix) for record in train for key in record if key.startswith(prefix)}
    return [name for name in _STRATEGIES if name in found] + sorted(found - _STRATEGIES.keys())
