"""A linear baseline for the kitchen: two linear maps, one of a colour histogram and one of a bag of ingredients.

    python -m benchmarks.kitchen_linear --data DIR

The claim: a model that sees neither shapes nor instructions reaches at most half the R@10 of AdaMine. Both maps are
trained with the instance loss with adaptive mining (Carvalho et al. 2018), the epoch is selected on the validation
split, and the test pairs are ranked against each other in both directions.
"""

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from PIL import Image

from adamine_jax.base.errors import UserError, one_line_errors
from adamine_jax.base.progress import format_seconds, track
from adamine_jax.retrieval.ranks import pair_ranks

_MARGIN, _BATCH, _DIMENSIONS, _LEARNING_RATE = 0.3, 100, 256, 1e-3
_MAX_INSTRUCTIONS = 19  # the converter drops longer recipes


class Split(NamedTuple):
    """The pairs of a split.

    Attributes:
        image: (N, P) float32 colour histograms.
        recipe: (N, W) float32 indicators of ingredient names.
    """

    image: np.ndarray
    recipe: np.ndarray


@one_line_errors
def main(arguments: list[str] | None = None) -> None:
    """Trains, evaluates and prints the scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="download in Recipe1M's official layout")
    parser.add_argument("--epochs", type=int, default=40, help="default: 40")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    flags = parser.parse_args(arguments)
    start = time.monotonic()
    train, val, test = load(flags.data)
    epoch, weights = fit(train, val, flags.epochs, flags.seed)
    print(f"{len(train.image)} train, {len(val.image)} val, {len(test.image)} test pairs; best epoch {epoch}")
    print(f"{'direction':<16}{'R@1':>7}{'R@5':>7}{'R@10':>7}{'MedR':>7}")
    for direction, scores in retrieval(*embed(weights, test)).items():
        print(f"{direction:<16}" + "".join(f"{score:7.1f}" for score in scores))
    print(f"total time: {format_seconds(time.monotonic() - start)}")


def load(download: Path) -> tuple[Split, Split, Split]:
    """Reads the usable pairs of a download: the first readable photo and the detected ingredient names of a recipe.

    Returns:
        Train, val and test. Histograms are standardised with the mean and the standard deviation of train, and the
        vocabulary of ingredient names is that of train.

    Raises:
        UserError: A file is missing or malformed, or a split has no pair.
    """
    images = {record["id"]: record["images"] for record in _records(download / "layer2.json")}
    names = {record["id"]: record["ingredients"] for record in _records(download / "det_ingrs.json")}
    pairs: dict[str, list[tuple[np.ndarray, set[str]]]] = {"train": [], "val": [], "test": []}
    recipes = _records(download / "layer1.json")
    for recipe in track(recipes, "histograms", len(recipes), "recipe"):
        if len(recipe["instructions"]) > _MAX_INSTRUCTIONS:
            continue
        histogram = _first_histogram(download / "images" / recipe["partition"], images.get(recipe["id"], []))
        if histogram is not None:
            bag = {name["text"] for name in names.get(recipe["id"], [])}
            pairs[recipe["partition"]].append((histogram, bag))
    for partition, found in pairs.items():
        if not found:
            raise UserError(f"{download}: the {partition} split has no usable pair; use a download with more recipes")
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
    """Returns (560,) square roots of bin frequencies: 8 × 8 × 8 bins of RGB, and 16 each of hue, saturation, value."""
    picture = picture.convert("RGB").reduce(2)
    rgb = np.asarray(picture).reshape(-1, 3) >> 5
    joint = np.bincount(rgb @ np.array((64, 8, 1)), minlength=512)
    hsv = np.asarray(picture.convert("HSV")).reshape(-1, 3) >> 4
    channels = [np.bincount(hsv[:, channel], minlength=16) for channel in range(3)]
    return np.sqrt(np.concatenate([joint, *channels]) / len(rgb)).astype(np.float32)


def fit(train: Split, val: Split, epochs: int, seed: int) -> tuple[int, dict[str, jax.Array]]:
    """Trains both maps with Adam.

    Returns:
        The epoch, counted from 1, with the best mean R@10 of both directions on val, and its weights.
    """
    rng = np.random.default_rng(seed)
    weights = {
        modality: jnp.asarray(rng.normal(0, width**-0.5, (width + 1, _DIMENSIONS)), jnp.float32)
        for modality, width in ((name, rows.shape[1]) for name, rows in train._asdict().items())
    }
    optimiser = optax.adam(_LEARNING_RATE)
    state = optimiser.init(weights)
    batch = min(_BATCH, len(train.image))
    best_score, best_epoch, best_weights = -1.0, 0, weights
    for epoch in track(range(1, epochs + 1), "training", epochs, "epoch"):
        order = rng.permutation(len(train.image))
        for first in range(0, len(order) - batch + 1, batch):
            rows = order[first : first + batch]
            weights, state = _step(optimiser, weights, state, train.image[rows], train.recipe[rows])
        score = np.mean([scores[2] for scores in retrieval(*embed(weights, val)).values()])
        if score > best_score:
            best_score, best_epoch, best_weights = float(score), epoch, weights
    return best_epoch, best_weights


def instance_loss(image: jax.Array, recipe: jax.Array) -> jax.Array:
    """Returns the mean of the IRR and the RII loss, each the mean of its positive costs (paper, Section 3.3).

    Args:
        image, recipe: (N, D) float32 unit rows; row i of one matches row i of the other.
    """
    similarity = image @ recipe.T
    positive = jnp.diag(similarity)
    negatives = 1 - jnp.eye(len(positive))

    def mean_of_active(costs: jax.Array) -> jax.Array:
        costs = jax.nn.relu(costs) * negatives
        return costs.sum() / jnp.maximum((costs > 0).sum(), 1)

    irr = mean_of_active(similarity - positive[:, None] + _MARGIN)
    rii = mean_of_active(similarity - positive[None, :] + _MARGIN)
    return (irr + rii) / 2


def retrieval(image: np.ndarray, recipe: np.ndarray) -> dict[str, tuple[float, float, float, float]]:
    """Returns R@1, R@5 and R@10 in percent and the median rank for each direction; a tie counts as half a rank.

    Args:
        image, recipe: (N, D) unit rows; row i of one matches row i of the other.
    """
    return {
        direction: (*(100 * float(np.mean(ranks <= k)) for k in (1, 5, 10)), float(np.median(ranks)))
        for direction, ranks in zip(("image-to-recipe", "recipe-to-image"), pair_ranks(image, recipe), strict=True)
    }


def embed(weights: dict[str, jax.Array], split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Returns the embeddings of a split: (N, D) unit rows of images and of recipes."""
    return tuple(np.asarray(_project(weights[name], rows)) for name, rows in split._asdict().items())


@partial(jax.jit, static_argnums=0)
def _step(optimiser, weights, state, image, recipe):
    def loss(weights):
        return instance_loss(_project(weights["image"], image), _project(weights["recipe"], recipe))

    updates, state = optimiser.update(jax.grad(loss)(weights), state)
    return optax.apply_updates(weights, updates), state


def _project(matrix: jax.Array, rows: jax.Array) -> jax.Array:
    """Applies a linear map, whose bias is the last row of the matrix, and L2 normalisation."""
    embedding = jnp.matmul(rows, matrix[:-1], precision="highest") + matrix[-1]
    return embedding / (jnp.linalg.norm(embedding, axis=-1, keepdims=True) + 1e-12)


def _bag(names: set[str], words: dict[str, int]) -> np.ndarray:
    bag = np.zeros(len(words), np.float32)
    bag[[words[name] for name in names if name in words]] = 1
    return bag


def _first_histogram(folder: Path, images: list[dict]) -> np.ndarray | None:
    """Returns the histogram of a recipe's first readable photo; None if it has no such photo."""
    for image in images:
        name = image["id"]
        try:
            with Image.open(folder / Path(*name[:4]) / name) as picture:
                return colour_histogram(picture)
        except OSError:  # the kitchen includes missing, truncated and malformed files
            continue
    return None


def _records(path: Path) -> list[dict]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; set --data to a download in Recipe1M's layout") from error
    except ValueError as error:
        raise UserError(f"{path}: malformed JSON ({error}); download the file again") from error


if __name__ == "__main__":
    sys.exit(main())
