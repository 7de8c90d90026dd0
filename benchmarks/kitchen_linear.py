"""How far colours and words alone go on the kitchen: two linear maps, a colour histogram against a bag of ingredients.

    python -m benchmarks.kitchen_linear --data DIR

The claim behind it: a model that sees neither shapes nor instructions finds at most half as many recipes among its
first ten answers as AdaMine does. Both maps are trained with the adaptive-mining instance loss (Carvalho et al. 2018),
the epoch is chosen by validation, and the test pairs are ranked against each other in both directions.
"""

import argparse
import dataclasses
import json
import sys
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from PIL import Image

from adamine_jax.base.errors import UserError, one_line_errors
from adamine_jax.base.progress import format_seconds, track

_MARGIN, _BATCH, _DIMENSIONS, _LEARNING_RATE = 0.3, 100, 256, 1e-3
_MOST_INSTRUCTIONS = 19  # a data set drops longer recipes


@dataclasses.dataclass(frozen=True)
class Split:
    """The pairs of one partition.

    Attributes:
        photos: (N, P) float32, colour histograms.
        recipes: (N, W) float32, which ingredient names a recipe has.
    """

    photos: np.ndarray
    recipes: np.ndarray


@one_line_errors
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a download in Recipe1M's official layout")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args(arguments)
    start = time.monotonic()
    train, val, test = load(flags.data)
    epoch, weights = fit(train, val, flags.epochs, flags.seed)
    print(f"{len(train.photos)} train, {len(val.photos)} val, {len(test.photos)} test pairs; best epoch {epoch}")
    print(f"{'direction':<16}{'R@1':>7}{'R@5':>7}{'R@10':>7}{'MedR':>7}")
    for direction, numbers in retrieval(*embed(weights, test)).items():
        print(f"{direction:<16}" + "".join(f"{number:7.1f}" for number in numbers))
    print(f"{format_seconds(time.monotonic() - start)} in all")


def load(download: Path) -> tuple[Split, Split, Split]:
    """Reads the usable pairs of a download: first readable photo, detected ingredient names.

    Returns:
        Train, val and test; histograms are standardised with train's mean and deviation, and the bag's words are
        those of train.

    Raises:
        UserError: a file is missing or broken, or a partition has no pair.
    """
    images = {record["id"]: record["images"] for record in _records(download / "layer2.json")}
    names = {record["id"]: record["ingredients"] for record in _records(download / "det_ingrs.json")}
    pairs: dict[str, list[tuple[np.ndarray, set[str]]]] = {"train": [], "val": [], "test": []}
    recipes = _records(download / "layer1.json")
    for recipe in track(recipes, "histograms", len(recipes), "recipe"):
        if len(recipe["instructions"]) > _MOST_INSTRUCTIONS:
            continue
        histogram = _first_histogram(download / "images" / recipe["partition"], images.get(recipe["id"], []))
        if histogram is not None:
            bag = {name["text"] for name in names.get(recipe["id"], [])}
            pairs[recipe["partition"]].append((histogram, bag))
    for partition, found in pairs.items():
        if not found:
            raise UserError(f"{download}: partition {partition} has no usable pair; make a download with more recipes")
    words = {word: column for column, word in enumerate(sorted(set().union(*(bag for _, bag in pairs["train"]))))}
    mean, deviation = (f(np.stack([h for h, _ in pairs["train"]]), axis=0) for f in (np.mean, np.std))
    return tuple(
        Split(
            ((np.stack([h for h, _ in found]) - mean) / (deviation + 1e-6)).astype(np.float32),
            np.stack([_bag(bag, words) for _, bag in found]),
        )
        for found in pairs.values()
    )


def colour_histogram(picture: Image.Image) -> np.ndarray:
    """Square roots of colour shares: 8 × 8 × 8 joint RGB, then 16 bins each of hue, saturation, value: (560,)."""
    picture = picture.convert("RGB").reduce(2)
    rgb = np.asarray(picture).reshape(-1, 3) >> 5
    joint = np.bincount(rgb @ np.array((64, 8, 1)), minlength=512)
    hsv = np.asarray(picture.convert("HSV")).reshape(-1, 3) >> 4
    channels = [np.bincount(hsv[:, channel], minlength=16) for channel in range(3)]
    return np.sqrt(np.concatenate([joint, *channels]) / len(rgb)).astype(np.float32)


def fit(train: Split, val: Split, epochs: int, seed: int) -> tuple[int, dict[str, jax.Array]]:
    """Trains both maps with Adam.

    Returns:
        The epoch, from 1, with the best validation R@10 (mean of both directions), and its weights.
    """
    rng = np.random.default_rng(seed)
    weights = {
        side: jnp.asarray(rng.normal(0, width**-0.5, (width + 1, _DIMENSIONS)), jnp.float32)
        for side, width in (("photos", train.photos.shape[1]), ("recipes", train.recipes.shape[1]))
    }
    optimiser = optax.adam(_LEARNING_RATE)
    state = optimiser.init(weights)
    batch = min(_BATCH, len(train.photos))
    best_score, best_epoch, best_weights = -1.0, 0, weights
    for epoch in track(range(1, epochs + 1), "training", epochs, "epoch"):
        order = rng.permutation(len(train.photos))
        for first in range(0, len(order) - batch + 1, batch):
            rows = order[first : first + batch]
            weights, state = _step(optimiser, weights, state, train.photos[rows], train.recipes[rows])
        score = np.mean([numbers[2] for numbers in retrieval(*embed(weights, val)).values()])
        if score > best_score:
            best_score, best_epoch, best_weights = float(score), epoch, weights
    return best_epoch, best_weights


def instance_loss(photos: jax.Array, recipes: jax.Array) -> jax.Array:
    """Adaptive mining: the mean of the costs that are not zero, IRR + RII over two (paper, Section 3.3).

    Args:
        photos, recipes: (N, D) float32 unit rows, row i of one matching row i of the other.
    """
    similarity = photos @ recipes.T
    positive = jnp.diag(similarity)
    negatives = 1 - jnp.eye(len(positive))

    def mean_of_active(costs: jax.Array) -> jax.Array:
        costs = jax.nn.relu(costs) * negatives
        return costs.sum() / jnp.maximum((costs > 0).sum(), 1)

    photo_anchors = mean_of_active(similarity - positive[:, None] + _MARGIN)
    recipe_anchors = mean_of_active(similarity - positive[None, :] + _MARGIN)
    return (photo_anchors + recipe_anchors) / 2


def retrieval(photos: np.ndarray, recipes: np.ndarray) -> dict[str, tuple[float, float, float, float]]:
    """R@1, R@5, R@10 in percent and the median rank from 1, ties by halves, for each direction.

    Args:
        photos, recipes: (N, D) unit rows, row i of one matching row i of the other.
    """
    similarity = photos @ recipes.T
    found = {}
    for direction, scores in (("photo→recipe", similarity), ("recipe→photo", similarity.T)):
        positive = np.diag(scores)[:, None]
        rank = 1 + (scores > positive).sum(axis=1) + 0.5 * ((scores == positive).sum(axis=1) - 1)
        found[direction] = (*(100 * float(np.mean(rank <= k)) for k in (1, 5, 10)), float(np.median(rank)))
    return found


def embed(weights: dict[str, jax.Array], split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows of a split: (N, D) photos, (N, D) recipes."""
    return tuple(np.asarray(_project(weights[side], getattr(split, side))) for side in ("photos", "recipes"))


@partial(jax.jit, static_argnums=0)
def _step(optimiser, weights, state, photos, recipes):
    def loss(weights):
        return instance_loss(_project(weights["photos"], photos), _project(weights["recipes"], recipes))

    updates, state = optimiser.update(jax.grad(loss)(weights), state)
    return optax.apply_updates(weights, updates), state


def _project(matrix: jax.Array, rows: jax.Array) -> jax.Array:
    """Linear map, the matrix's last row being the bias, then L2 normalisation."""
    embedding = jnp.matmul(rows, matrix[:-1], precision="highest") + matrix[-1]
    return embedding / (jnp.linalg.norm(embedding, axis=-1, keepdims=True) + 1e-12)


def _bag(names: set[str], words: dict[str, int]) -> np.ndarray:
    bag = np.zeros(len(words), np.float32)
    bag[[words[name] for name in names if name in words]] = 1
    return bag


def _first_histogram(folder: Path, images: list[dict]) -> np.ndarray | None:
    """The histogram of a recipe's first readable photo, or None where there is none."""
    for image in images:
        name = image["id"]
        try:
            with Image.open(folder / Path(*name[:4]) / name) as picture:
                return colour_histogram(picture)
        except OSError:  # missing, truncated or no picture at all: planted by the kitchen
            continue
    return None


def _records(path: Path) -> list[dict]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; --data must name a download in Recipe1M's layout") from error
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); write the download again") from error


if __name__ == "__main__":
    sys.exit(main())
