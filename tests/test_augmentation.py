"""Changed photos and recipes in training: compared with Pillow, and the same on any number of devices."""

import dataclasses
import functools
import io

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from adamine_jax.base.errors import UserError
from adamine_jax.config import checks
from adamine_jax.distributed.mesh import make_mesh
from adamine_jax.recipes.crops import random_crops
from adamine_jax.recipes.text_augmentation import LINE_OPTIONS, TextAugmentation
from adamine_jax.recipes.texts import PARTS, EncodedRecipe, RecipeText
from adamine_jax.recipes.tokens import Tokens
from adamine_jax.runs.metrics_log import read_metrics
from adamine_jax.train import train
from adamine_jax.training.photo_augmentation import augment, erased, jittered
from tests import tiny


def photo(seed, height=60, width=80):
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("factors", [(1.0, 1.0, 1.0), (0.6, 1.3, 0.7), (1.4, 0.6, 1.4)])
def test_colours_change_as_in_pillow(factors):
    image = photo(0)
    expected = image
    for kind, factor in zip((ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color), factors, strict=True):
        expected = kind(expected).enhance(factor)
    found = jittered(np.asarray(image, np.float32), np.array(factors, np.float32))
    assert np.abs(np.asarray(found) - np.asarray(expected)).max() <= 3  # Pillow rounds after each step


def test_rectangles_are_erased():
    image, rng = np.asarray(photo(1, 64, 64), np.float32), np.random.default_rng(0)
    areas, erase = [], jax.jit(lambda draws: erased(image, draws, 0.4))
    for draws in rng.random((300, 5)).astype(np.float32):
        changed = np.any(np.asarray(erase(draws)) != image, axis=-1)
        areas.append(changed.mean())
        if changed.any():
            rows, columns = np.flatnonzero(changed.any(1)), np.flatnonzero(changed.any(0))
            assert changed[np.ix_(rows, columns)].all()
    assert np.mean(np.array(areas) > 0) == pytest.approx(0.4, abs=0.1)
    assert max(areas) < 0.36
    assert min(area for area in areas if area) > 0.01


def test_rows_have_changes_of_their_own():
    images = np.stack([np.asarray(photo(2, 32, 32))] * 4)
    change, keys = jax.jit(functools.partial(augment, jitter=0.4, erase=0.5)), jax.random.split(jax.random.key(0), 4)
    changed = np.asarray(change(images, keys))
    assert len({row.tobytes() for row in changed}) == 4
    again = change(images[1:2], keys[1:2])
    np.testing.assert_allclose(again[0], changed[1], atol=1e-3)


@pytest.mark.parametrize("size", [24, 48])
def test_random_windows_are_those_of_pillow(size):
    image, file = photo(3, 120, 160), io.BytesIO()
    image.save(file, "JPEG", quality=95)
    whole = Image.open(io.BytesIO(file.getvalue())).convert("RGB")
    crops, rng, shares = random_crops(64, size, flip=True, area=0.3), np.random.default_rng(0), []
    for draw in rng.random((60, 5)).astype(np.float32):
        crop = np.empty((size, size, 3), np.uint8)
        assert crops.cut(file.getvalue(), draw, crop)
        area, ratio = (0.3 + 0.7 * draw[3]) * 120 * 160, (4 / 3) ** (2 * draw[4] - 1)
        ratio = np.clip(ratio, area / 120**2, 160**2 / area)  # within the photo
        height, width = min((area / ratio) ** 0.5, 120), min((area * ratio) ** 0.5, 160)
        top, left = draw[0] * (120 - height), draw[1] * (160 - width)
        box = (left, top, left + width, top + height)
        expected = np.asarray(whole.resize((size, size), Image.Resampling.BILINEAR, box))
        expected = expected[:, ::-1] if draw[2] >= 0.5 else expected
        assert np.abs(crop.astype(int) - expected).mean() < 4  # a photo may be decoded at half its size
        shares.append(height * width / (120 * 160))
    assert 0.29 < min(shares) < 0.5
    assert max(shares) > 0.8


def recipe(ingredients, sentences, title="Tea"):
    """A recipe whose word ids, tokens and text have the same lines."""
    lengths = [1 + number % 3 for number in range(sentences)]
    segments = [(0, [5])] * bool(title)
    segments += [(1, [100 + number]) for number in range(ingredients)]
    segments += [(2, [200 + number]) for number in range(sentences)]
    text = RecipeText(
        title, tuple(f"i{n}" for n in range(ingredients)), tuple(f"s{n}" for n in range(sentences)), id="x"
    )
    return EncodedRecipe(
        ingredient_ids=np.array([*range(100, 100 + ingredients), 1]),
        word_ids=np.concatenate([np.full(length, 200 + n) for n, length in enumerate(lengths)] or [np.zeros(0, int)]),
        sentence_lengths=np.array(lengths, int),
        sentence_vectors=np.arange(sentences, dtype=np.float32)[:, None],
        tokens=Tokens.of(segments),
        text=lambda: text,
    )


@settings(max_examples=200, deadline=None)
@given(
    ingredients=st.integers(0, 6),
    sentences=st.integers(0, 6),
    title=st.sampled_from(["", "Tea"]),
    seed=st.integers(0, 2**64 - 1),
    chances=st.tuples(*[st.sampled_from([0.0, 0.5, 1.0])] * 3),
    shuffle=st.booleans(),
)
def test_what_is_left_is_a_part_of_the_recipe(ingredients, sentences, title, seed, chances, shuffle):
    options, given_recipe = TextAugmentation(PARTS, *chances, shuffle), recipe(ingredients, sentences, title)
    changed = options(given_recipe, seed)
    text = changed.text()
    kept = [int(line[1:]) for line in text.ingredients], [int(line[1:]) for line in text.instructions]
    present = [bool(title), bool(ingredients), bool(sentences)]
    left = [bool(text.title), bool(text.ingredients), bool(text.instructions)]
    assert sum(present) - sum(left) <= (chances[0] > 0)
    assert not any(present) or any(left)
    assert set(kept[0]) <= set(range(ingredients))
    assert len(set(kept[0])) == len(kept[0])
    assert kept[1] == sorted(kept[1])
    if not shuffle:
        assert kept[0] == sorted(kept[0])
    tokens = [int(token) for token in changed.tokens.ids]
    assert tokens == [5] * left[0] + [100 + n for n in kept[0]] + [200 + n for n in kept[1]]
    assert [n - 100 for n in changed.ingredient_ids if n != 1] == kept[0]
    assert [int(value) for value in changed.sentence_vectors[:, 0]] == kept[1]
    assert changed.word_ids.tolist() == [200 + n for n in kept[1] for _ in range(1 + n % 3)]
    assert changed.sentence_lengths.sum() == len(changed.word_ids)
    again = options(given_recipe, seed)
    assert again.word_ids.tolist() == changed.word_ids.tolist()
    assert again.text() == text


def test_without_options_nothing_changes():
    assert not TextAugmentation()
    assert all(TextAugmentation(**{name: 1}) for name in ("drop_part", *LINE_OPTIONS))


def test_the_only_part_that_a_tower_reads_is_kept():
    options = TextAugmentation(("ingredients",), drop_part=1.0)
    changed = [options(recipe(3, 2), seed) for seed in range(20)]
    assert all(len(each.ingredient_ids) == 4 for each in changed)
    vectors = dataclasses.replace(recipe(3, 2), sentence_vectors=np.ones((8, 1), np.float32))
    assert len(TextAugmentation(drop_ingredients=0.5)(vectors, 0).sentence_vectors) == 8


@pytest.mark.slow
def test_a_run_does_not_depend_on_the_number_of_devices(tiny_data, tmp_path):
    fields = {"crop_area": 0.4, "jitter": 0.3, "erase": 0.5, "drop_part": 0.5, "drop_ingredients": 0.3}
    fields |= {"drop_sentences": 0.3, "shuffle_ingredients": True, "flip": True}
    losses = {}
    with jax.enable_x64(True):
        for name, devices, more in (("one", 1, fields), ("eight", 8, fields), ("plain", 1, {})):
            config = tiny.small_config(tiny_data, epochs=1, train__log_every_steps=1, model__dtype="float64")
            config.data.update(more)
            train(config, tmp_path / name, make_mesh(jax.devices()[:devices]))
            lines = read_metrics(tmp_path / name / "metrics.jsonl")
            losses[name] = [line["loss"] for line in lines if line["split"] == "train"]
    np.testing.assert_allclose(losses["one"], losses["eight"], rtol=1e-6)  # colours are computed in float32
    assert not np.allclose(losses["one"], losses["plain"], rtol=1e-3)


def test_changes_of_photos_that_are_not_read_are_refused(tiny_data):
    config = tiny.small_config(tiny_data)
    config.cache_frozen_features, config.data.jitter = 2, 0.3
    message = r"config\.data\.jitter = 0\.3: has no effect with config\.cache_frozen_features; set it to 0"
    with pytest.raises(UserError, match=message):
        checks.check(config)
