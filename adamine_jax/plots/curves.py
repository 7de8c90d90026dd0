"""A training run in four panels: losses, adaptive mining's curriculum, validation recall and median rank."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from adamine_jax.base.errors import UserError
from adamine_jax.plots import panels, style
from adamine_jax.runs.epochs import epoch_knots, epochs_trained, series
from adamine_jax.runs.metrics_log import read_metrics

# Instance strategies are solid, semantic ones dashed; a colour is shared by no two.
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
    """Draws the curves of one run, as PNG and as SVG.

    The horizontal axis counts epochs trained: the validation after epoch 0 stands at 1, and the unfreezing of the image
    tower, a dashed line, at the epoch that is the first to train it. Where there are more training lines than can be
    told apart, neighbours are averaged. Bands reach from one direction of retrieval to the other, lines are their mean.

    Args:
        metrics_path: the run's `metrics.jsonl`.
        out_png: where the PNG goes; the SVG goes beside it.
        unfreeze_epoch: first epoch that trains the image tower; None: no line.

    Returns:
        The two files.

    Raises:
        UserError: the metrics cannot be read, or hold no train and no val line.
    """
    records = read_metrics(Path(metrics_path))
    train = [record for record in records if record["split"] == "train"]
    val = [record for record in records if record["split"] == "val"]
    if not train and not val:
        raise UserError(f"{metrics_path} holds no train and no val line yet: nothing to draw")
    knots = epoch_knots(train, val)
    with style.styled():
        figure = Figure(figsize=(7.2, 5.0), layout="constrained")
        loss, mining, recall, medr = figure.subplots(2, 2, sharex=True).flat
        _draw_loss(loss, train, knots)
        _draw_mining(mining, train, knots)
        _draw_recall(recall, val, knots)
        _draw_medr(medr, val, knots)
        end = max(epochs_trained(records, knots))
        for axes in (loss, mining, recall, medr):
            axes.set_xlim(0, end * 1.01)
            panels.count_epochs(axes, end)
            if unfreeze_epoch is not None and 0 < unfreeze_epoch < end:
                _draw_unfreezing(axes, unfreeze_epoch, named=axes is recall)
        for axes in (recall, medr):
            axes.set_xlabel("epochs")
        return style.save_both(figure, out_png)


def _draw_loss(axes: Axes, train: list[dict], knots: np.ndarray) -> None:
    axes.set_title("Training loss")
    _draw_strategies(axes, train, "loss_", knots)
    axes.plot(*series(train, "loss", knots), color=style.BLACK, linewidth=1.2, label="total")
    axes.set_ylim(0, axes.get_ylim()[1] * 1.2)  # head-room for the legend
    _legend(axes, train)


def _draw_mining(axes: Axes, train: list[dict], knots: np.ndarray) -> None:
    """Shares of the triplets that cost nothing, to be read on the left, and that cost something, on the right."""
    what = "triplets"
    if not _draw_strategies(axes, train, "bad_pairs_", knots):  # pairwise losses have no strategies
        axes.plot(*series(train, "bad_pairs", knots), color=style.BLACK, label="pairs")
        what = "pairs"
    axes.set_title(f"{what.capitalize()} that cost nothing")
    axes.set_ylabel("fraction (bad_pairs)")
    axes.set_ylim(0, 1.02)
    remaining = axes.secondary_yaxis("right", functions=(_rest, _rest))
    remaining.set_ylabel("still cost something")
    remaining.spines["right"].set_visible(True)
    _legend(axes, train)


def _rest(share: ArrayLike) -> np.ndarray:
    return 1 - np.asarray(share)


def _draw_strategies(axes: Axes, train: list[dict], prefix: str, knots: np.ndarray) -> list[str]:
    """A line for each strategy that is measured; returns their names.

    The two directions of one kind often lie on each other: the second one is thin, so that both are seen.
    """
    names = _strategies(train, "bad_pairs_")
    dashes = set()
    for name in names:
        color, dash = _STRATEGIES.get(name, _OTHER)
        width = 1.2 if dash in dashes else 2.8
        dashes.add(dash)
        axes.plot(*series(train, f"{prefix}{name}", knots), color=color, linestyle=dash, linewidth=width, label=name)
    return names


def _draw_recall(axes: Axes, val: list[dict], knots: np.ndarray) -> None:
    axes.set_title("Validation recall, mean of directions")
    axes.set_ylabel("recall in %")
    for key, (color, label) in _RECALLS.items():
        _band(axes, val, key, knots, color, label)
    axes.set_ylim(bottom=0)
    _legend(axes, val)
    if not val:
        panels.note(axes, "no validation yet")


def _draw_medr(axes: Axes, val: list[dict], knots: np.ndarray) -> None:
    axes.set_title("Validation median rank, from 1")
    axes.set_ylabel("MedR")
    mean = _band(axes, val, "medr", knots, style.PURPLE, "MedR")
    if not val:
        panels.note(axes, "no validation yet")
    panels.from_zero_or_logarithmic(axes, mean)


def _band(axes: Axes, val: list[dict], key: str, knots: np.ndarray, color: str, label: str) -> np.ndarray:
    """A metric's mean over the two directions as a line, the two as the edges of a band; returns the mean."""
    x, one = series(val, f"{key}_image_to_recipe", knots, limit=None)
    _, other = series(val, f"{key}_recipe_to_image", knots, limit=None)
    mean = (one + other) / 2
    axes.fill_between(x, one, other, color=color, alpha=0.18, linewidth=0)
    axes.plot(x, mean, color=color, label=label, marker="o" if len(x) <= 25 else None, markersize=3)
    return mean


def _draw_unfreezing(axes: Axes, epoch: int, named: bool) -> None:
    axes.axvline(epoch, color=style.GREY, linestyle=(0, (4, 3)), linewidth=1)
    if named:
        axes.annotate(
            "image tower\nunfrozen",
            (epoch, 0.03),
            xycoords=("data", "axes fraction"),
            xytext=(4, 0),
            textcoords="offset points",
            fontsize=7.5,
            color=style.GREY,
        )


def _legend(axes: Axes, records: list[dict]) -> None:
    if records:
        axes.legend(ncols=3 if len(axes.lines) > 4 else 1, handlelength=1.8, columnspacing=1.0)


def _strategies(train: list[dict], prefix: str) -> list[str]:
    """Names behind `prefix` that occur in any line: the known ones in their usual order, then the others."""
    found = {key.removeprefix(prefix) for record in train for key in record if key.startswith(prefix)}
    return [name for name in _STRATEGIES if name in found] + sorted(found - _STRATEGIES.keys())
