"""The arithmetic that the towers cannot do without: multiplications and additions of their products."""

import numpy as np

from adamine_jax.models.image.resnet import LAYOUTS
from benchmarks.batches import SIZE


def resnet_flops(depth: int) -> int:
    """Multiplications and additions of one photo's convolutions, forward, in a ResNet of bottlenecks."""
    layout, side, channels = LAYOUTS[depth], SIZE // 4, 64
    total = (SIZE // 2) ** 2 * 64 * 7 * 7 * 3
    for stage, blocks in enumerate(layout.blocks):
        features = 64 * 2**stage
        for block in range(blocks):
            out = side // 2 if stage and not block else side
            total += side**2 * channels * features + out**2 * features * (9 * features + 4 * features)
            total += out**2 * channels * 4 * features if not block else 0
            side, channels = out, 4 * features
    return 2 * total


def text_flops(config, batch: dict[str, np.ndarray]) -> float:
    """Of the text tower's real steps, both gradients included; given sentence vectors have none.

    Args:
        config: of the model.
        batch: `ingredients` (B, 20), `words` (B, 20, W), `num_sentences` (B,).
    """

    def lstm(steps, inputs, hidden, gradients=2):
        """`gradients` 2: of the weights and of what goes in; 1: of the weights and of the state alone."""
        products = (1 + gradients) * inputs + 3 * hidden
        return float(steps) * 2 * products * 4 * hidden

    from_words = config.recipe.instructions == "words"
    sentences = config.recipe.sentence_hidden if from_words else config.sentence_dim
    return (
        2 * lstm((batch["ingredients"] != 0).sum(), config.recipe.word_dim, config.recipe.ingredient_hidden)
        + from_words * lstm((batch["words"] != 0).sum(), config.recipe.word_dim, config.recipe.sentence_hidden)
        + lstm(batch["num_sentences"].sum(), sentences, config.recipe.instruction_hidden, gradients=1 + from_words)
        + 3
        * len(batch["words"])
        * 2
        * (2 * config.recipe.ingredient_hidden + config.recipe.instruction_hidden)
        * config.embedding_dim
    )
