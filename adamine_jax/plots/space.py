"""Maps the embedding space: photos and recipes of a gallery, projected to two dimensions by t-SNE."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.items import BACKGROUND, Item
from adamine_jax.plots import style
from adamine_jax.plots.text import squeeze
from adamine_jax.retrieval.ranks import checked_embeddings

_COLORS = (style.BLUE, style.VERMILION, style.GREEN, style.ORANGE, style.SKY, style.PURPLE, style.BLACK)
MAX_CLASSES = len(_COLORS)
"""Maximum number of classes with a colour of their own."""
MIN_PAIRS = 4
"""Minimum number of pairs in a map."""
_OTHER = "#bdbdbd"
_PERPLEXITY = 30
_SIZE = (7.1, 4.6)


def draw_map(
    items: Sequence[Item], image: np.ndarray, recipe: np.ndarray, pairs: int, seed: int, out_png: Path
) -> list[Path]:
    """Draws pairs as a dot for the photo, a hollow triangle for the recipe and a thin line between them.

    The seven most frequent classes are coloured; other classes and the background are grey. `choose_pairs` selects
    the pairs, and `project` places them. Returns the paths of the PNG and the SVG.

    Args:
        items: The N items of the gallery.
        image: (N, D) embeddings of the photos.
        recipe: (N, D) embeddings of the recipes.
        pairs: Maximum number of pairs.
        seed: Seed of the selection and of t-SNE.
        out_png: Path of the PNG; the SVG is written beside it. Equal arguments give equal bytes on one machine.

    Raises:
        UserError: There are fewer than four pairs, all embeddings are equal, or an embedding is not finite.
    """
    if len(items) < MIN_PAIRS:
        raise UserError(f"{len(items)} pairs are too few for a map; at least {MIN_PAIRS} are needed")
    ids = [item.id for item in items]
    image, recipe = checked_embeddings(image, "image", ids), checked_embeddings(recipe, "recipe", ids)
    classes = colored_classes(items)
    rows = choose_pairs(items, classes, pairs, seed)
    points = project(np.concatenate([image[rows], recipe[rows]]), seed)
    photos, recipes = points[: len(rows)], points[len(rows) :]
    names = [items[row].class_name for row in rows]
    with style.styled():
        figure = Figure(figsize=_SIZE)
        axes = figure.add_axes((0.005, 0.01, 0.755, 0.98))
        _draw_points(axes, photos, recipes, names, classes)
        _draw_key(figure, names, classes, len(items))
        return style.save_both(figure, out_png)


def colored_classes(items: Sequence[Item]) -> list[str]:
    """Returns up to `MAX_CLASSES` most frequent classes, largest first, without the background."""
    counts = Counter(item.class_name for item in items if item.class_name not in ("", BACKGROUND))
    return sorted(counts, key=lambda name: (-counts[name], name))[:MAX_CLASSES]


def choose_pairs(items: Sequence[Item], classes: Sequence[str], pairs: int, seed: int) -> np.ndarray:
    """Returns up to `pairs` rows to draw: those of `classes` first, then of other classes, then of the background.

    Each of these groups is shuffled, starting from the items sorted by id.
    """
    by_id = np.array(sorted(range(len(items)), key=lambda row: items[row].id))
    shuffled = np.random.default_rng(seed).permutation(by_id)
    names = [items[row].class_name for row in shuffled]
    priority = [0 if name in classes else 2 if name in ("", BACKGROUND) else 1 for name in names]
    return shuffled[np.argsort(priority, kind="stable")[:pairs]]


def project(embeddings: np.ndarray, seed: int) -> np.ndarray:
    """Projects (M, D) embeddings to (M, 2) points by scikit-learn's t-SNE (van der Maaten and Hinton, 2008).

    Starts from the first two principal components and runs on a single thread: with several, the order of summation
    varies, and t-SNE amplifies the rounding differences.
    """
    from sklearn.manifold import TSNE  # a slow import that other figures do not need
    from threadpoolctl import threadpool_limits

    if np.ptp(embeddings, axis=0).max() < 1e-6:
        raise UserError("all embeddings are equal (the model has collapsed), so there is nothing to map")
    perplexity = min(_PERPLEXITY, (len(embeddings) - 1) / 3)
    with threadpool_limits(limits=1):
        return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(np.float32(embeddings))


def _draw_points(
    axes: Axes, photos: np.ndarray, recipes: np.ndarray, names: Sequence[str], classes: Sequence[str]
) -> None:
    colors: dict[str | None, str] = dict(zip(classes, _COLORS, strict=False))
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")
    for name in [None, *classes]:  # the grey points are drawn first, below the others
        chosen = np.array([(name is None and n not in colors) or n == name for n in names])
        if not chosen.any():
            continue
        color = colors.get(name, _OTHER)
        lines = np.stack([photos[chosen], recipes[chosen]], axis=1)
        axes.add_collection(LineCollection(list(lines), colors=color, linewidths=0.5, alpha=0.45, zorder=1))
        # Triangles are hollow so that a close pair shows both markers.
        axes.scatter(*photos[chosen].T, s=11, marker="o", color=color, linewidths=0, label=f"photos {name or ''}")
        hollow = {"facecolors": "none", "edgecolors": color, "linewidths": 0.8, "label": f"recipes {name or ''}"}
        axes.scatter(*recipes[chosen].T, s=24, marker="^", **hollow)
    axes.margins(0.02)


def _draw_key(figure: Figure, names: Sequence[str], classes: Sequence[str], available: int) -> None:
    counts = Counter(names)

    def handle(marker: str, color: str, label: str, markersize: float = 5.5, **look: Any) -> Line2D:
        look |= {"marker": marker, "markersize": markersize, "markeredgewidth": 0.8, "color": color}
        return Line2D([], [], linestyle="none", label=squeeze(label, 98, 7.5), **look)

    handles = [handle("s", color, f"{name} ({counts[name]})") for name, color in zip(classes, _COLORS, strict=False)]
    if others := sum(count for name, count in counts.items() if name not in classes):
        handles.append(handle("s", _OTHER, f"other or none ({others})"))
    options: dict[str, Any] = {
        "fontsize": 7.5,
        "alignment": "left",
        "title_fontproperties": {"size": 8, "weight": "bold"},
        "borderaxespad": 0,
        "handletextpad": 0.5,
        "handlelength": 1.2,
        "borderpad": 0.2,
    }
    figure.legend(handles=handles, title="class (pairs)", loc="upper left", bbox_to_anchor=(0.77, 0.98), **options)
    pair = [
        handle("o", style.GREY, "photo", markersize=4),
        handle("^", style.GREY, "recipe", markerfacecolor="none"),
        Line2D([], [], color=style.GREY, linewidth=0.8, label="a pair"),
    ]
    figure.legend(handles=pair, loc="lower left", bbox_to_anchor=(0.77, 0.12), **options)
    note = f"{len(names):,} of {available:,} pairs, by t-SNE:\nneighbours are near, other\ndistances mean little"
    figure.text(0.775, 0.02, note, fontsize=6.5, color=style.GREY)
