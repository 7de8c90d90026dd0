"""Synthetic batches with the shape of Recipe1M's, and the number of operations of the towers on them."""

import numpy as np

from adamine_jax.models.image.resnet import LAYOUTS

TABLE_ROWS = 30_000  # about the size of Recipe1M's vocabulary
SIZE = 224


def recipes(size: int, max_words: int = 48) -> dict[str, np.ndarray]:
    """Returns recipes with Recipe1M's average lengths: 8 sentences of 13 words, and 9 ingredients.

    A recipe has at most 20 sentences of `max_words` words, and 20 ingredients.
    """
    rng = np.random.default_rng(0)

    def lengths(mean, maximum, *shape):
        return np.clip(rng.gamma(3, mean / 3, shape).round(), 1, maximum).astype(np.int32)

    def ids(lengths, maximum):
        drawn = rng.integers(2, TABLE_ROWS, (*lengths.shape, maximum), dtype=np.int32)
        return np.where(np.arange(maximum) < lengths[..., None], drawn, 0)

    num_sentences = lengths(8, 20, size)
    num_words = np.where(np.arange(20) < num_sentences[:, None], lengths(13, max_words, size, 20), 0)
    return {
        "ingredients": ids(lengths(9, 20, size), 20),
        "words": ids(num_words, max_words),
        "num_sentences": num_sentences,
    }


def pairs(size: int) -> dict[str, np.ndarray]:
    """Returns a batch of pairs with random images; half of them share their class with another pair."""
    rng = np.random.default_rng(1)
    class_id = np.zeros(size, np.int32)
    class_id[: size // 4 * 2] = np.repeat(1 + np.arange(size // 4), 2)
    images = rng.integers(0, 256, (size, SIZE, SIZE, 3), dtype=np.uint8)
    labels = {"class_id": class_id, "image_class_id": class_id, "match": np.ones(size, np.int32)}
    return {"image": images, **recipes(size), **labels}


def resnet_flops(depth: int) -> int:
    """Returns the FLOP of the convolutions of a bottleneck ResNet for one image, forward."""
    side, channels = SIZE // 4, 64
    total = (SIZE // 2) ** 2 * 64 * 7 * 7 * 3
    for stage, blocks in enumerate(LAYOUTS[depth].blocks):
        features = 64 * 2**stage
        for block in range(blocks):
            out = side // 2 if stage and not block else side
            total += side**2 * channels * features + out**2 * features * (9 * features + 4 * features)
            total += out**2 * channels * 4 * features if not block else 0
            side, channels = out, 4 * features
    return 2 * total


def text_flops(config, batch: dict[str, np.ndarray]) -> float:
    """Returns the FLOP of the recipe tower's matrix products, forward and backward, without padding.

    Args:
        config: `config.model`. Precomputed sentence vectors are not counted.
        batch: `ingredients` (B, 20), `words` (B, 20, W), `num_sentences` (B,).
    """

    def lstm(steps, inputs, hidden, trained_inputs=True):
        """Forward, gradient of the weights and, if the inputs are trained, gradient of the inputs."""
        return float(steps) * 2 * ((3 if trained_inputs else 2) * inputs + 3 * hidden) * 4 * hidden

    recipe, from_words = config.recipe, config.recipe.instructions == "words"
    sentence_dim = recipe.sentence_hidden if from_words else recipe.sentence_dim
    features = 2 * recipe.ingredient_hidden + recipe.instruction_hidden
    flops = 2 * lstm((batch["ingredients"] != 0).sum(), recipe.word_dim, recipe.ingredient_hidden)
    flops += lstm(batch["num_sentences"].sum(), sentence_dim, recipe.instruction_hidden, trained_inputs=from_words)
    if from_words:
        flops += lstm((batch["words"] != 0).sum(), recipe.word_dim, recipe.sentence_hidden)
    return flops + 3 * 2 * len(batch["words"]) * features * config.embedding_dim
