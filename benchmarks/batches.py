"""Batches like Recipe1M's, made up: what the benchmarks of towers and steps run on."""

import numpy as np

TABLE_ROWS = 30_000  # about Recipe1M's words
SIZE = 224


def recipes(size: int, max_words: int = 48) -> dict[str, np.ndarray]:
    """Texts as long as Recipe1M's: on average 8 sentences of 13 words and 9 ingredients, at most 20 of 48, and 20."""
    rng = np.random.default_rng(0)

    def lengths(mean, most, *shape):
        return np.clip(rng.gamma(3, mean / 3, shape).round(), 1, most).astype(np.int32)

    def ids(lengths, most):
        drawn = rng.integers(2, TABLE_ROWS, (*lengths.shape, most), dtype=np.int32)
        return np.where(np.arange(most) < lengths[..., None], drawn, 0)

    num_sentences = lengths(8, 20, size)
    num_words = np.where(np.arange(20) < num_sentences[:, None], lengths(13, max_words, size, 20), 0)
    return {
        "ingredients": ids(lengths(9, 20, size), 20),
        "words": ids(num_words, max_words),
        "num_sentences": num_sentences,
    }


def pairs(size: int) -> dict[str, np.ndarray]:
    """A batch of pairs: random photos, `recipes`, and half of them in same-class pairs."""
    rng = np.random.default_rng(1)
    class_id = np.zeros(size, np.int32)
    class_id[: size // 4 * 2] = np.repeat(1 + np.arange(size // 4), 2)
    photos = rng.integers(0, 256, (size, SIZE, SIZE, 3), dtype=np.uint8)
    others = {"class_id": class_id, "image_class_id": class_id, "match": np.ones(size, np.int32)}
    return {"image": photos, **recipes(size), **others}
