"""Rows of segments are those of a plain loop, and encoding them in groups changes nothing."""

import jax
import numpy as np

from adamine_jax.interop.huggingface import open_checkpoint
from adamine_jax.models.recipe import pretrained as text
from adamine_jax.models.recipe.segments import pad_segments
from adamine_jax.models.recipe.text_transformer import TextTransformer, encode_rows
from adamine_jax.models.recipe.text_weights import read_text
from adamine_jax.recipes.tokens import Tokens
from tests.pretrained import section_of, write_model


def test_recipes_of_any_length_are_encoded_as_alone(tmp_path):
    """The groups, their lengths and their order change nothing."""
    form = text._form(section_of(text.PretrainedText, write_model(tmp_path / "model", "bert")))
    params = {"params": read_text(open_checkpoint(tmp_path / "model"), form)}
    rng = np.random.default_rng(0)

    def recipe(_):
        lengths = rng.integers(1, 13, rng.integers(0, 9))
        return Tokens.of([(int(rng.integers(3)), rng.integers(0, 40, length).tolist()) for length in lengths])

    batch = pad_segments([recipe(number) for number in range(75)], [0, 1, 2], 100, 9)
    encoder = TextTransformer(form, 9)
    expected = np.asarray(encoder.apply(params, batch["segments"], batch["tokens"]))
    segments, tokens = (jax.numpy.asarray(batch[name]) for name in ("segments", "tokens"))
    ours = np.asarray(encode_rows(encoder.bind(params), segments, tokens))
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    filled = expected.any(axis=-1)
    np.testing.assert_array_equal(filled, batch["parts"] > 0)


def naive_rows(recipe, parts, max_tokens, max_segments):
    """The (token, segment) of each place of a row, and the part of each segment."""
    pieces = np.split(recipe.ids, np.cumsum(recipe.lengths)[:-1]) if len(recipe.lengths) else []
    taken = [(part, piece) for part, piece in zip(recipe.parts, pieces, strict=True) if part in parts][:max_segments]
    row = [(word, number) for number, (_, piece) in enumerate(taken, 1) for word in piece][:max_tokens]
    kept = max((number for _, number in row), default=0)
    return row, [part + 1 for part, _ in taken[:kept]]


def test_segments_are_padded_like_by_a_loop():
    rng = np.random.default_rng(0)
    for _ in range(300):
        recipes = [
            Tokens.of([(int(rng.integers(3)), rng.integers(1, 99, rng.integers(1, 7)).tolist()) for _ in range(count)])
            for count in rng.integers(0, 6, rng.integers(1, 6))
        ]
        parts, longest, slots = list(rng.choice(3, 2, replace=False)), int(rng.integers(1, 20)), int(rng.integers(1, 6))
        batch = pad_segments(recipes, parts, longest, slots)
        for number, recipe in enumerate(recipes):
            row, found = naive_rows(recipe, parts, longest, slots)
            padded = row + [(0, 0)] * (longest - len(row))
            assert list(zip(batch["tokens"][number], batch["segments"][number], strict=True)) == padded
            assert batch["parts"][number].tolist() == found + [0] * (slots - len(found))
