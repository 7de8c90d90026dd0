"""Photos are reproducible, and each choice of a scene is visible in them."""

import dataclasses
import inspect
import io

import numpy as np
import pytest
from PIL import Image

from data_builders.kitchen import dishes, drawings, savoury_toppings, sweet_toppings
from data_builders.kitchen.photo import Scene, photo, photo_jpeg

SCENE = Scene("pizza", ("tomato", "olive", "basil"), "pale", "bare", "scattered")
SIZE = 96


def test_photos_are_reproducible():
    first, second = (photo_jpeg(SCENE, np.random.default_rng([1, 2]), SIZE) for _ in range(2))
    assert first == second
    assert photo_jpeg(SCENE, np.random.default_rng([1, 3]), SIZE) != first


@pytest.mark.parametrize("size", [64, 96, 192])
def test_the_shorter_side_has_the_requested_length(size):
    for seed in range(6):
        with Image.open(io.BytesIO(photo_jpeg(SCENE, np.random.default_rng(seed), size))) as picture:
            assert picture.format == "JPEG"
            assert picture.mode == "RGB"
            assert min(picture.size) == size
            assert max(picture.size) <= 1.5 * size


@pytest.mark.parametrize("base", list(drawings.BASES))
def test_every_dish_supports_every_choice(base):
    dish = next(dish for dish in dishes.DISHES if dish.base == base)
    for k in range(4):
        scene = Scene(
            base,
            dishes.toppings_of(dish)[4 * k : 4 * k + 4] or ("lemon",),
            dishes.BROWNING[k % 3],
            dishes.FINISH[k],
            dishes.ARRANGEMENT[k % 3],
        )
        assert np.asarray(photo(scene, np.random.default_rng(k), SIZE)).std() > 8


def test_every_topping_has_a_drawing_and_every_drawing_a_topping():
    functions = [
        f for module in (savoury_toppings, sweet_toppings) for f in vars(module).values() if inspect.isfunction(f)
    ]
    drawn = {f.__name__ for f in functions if f.__module__.endswith("_toppings") and not f.__name__.startswith("_")}
    assert set(dishes.GOODS) == set(drawings.TOPPINGS) == drawn
    assert {dish.base for dish in dishes.DISHES} == set(drawings.BASES)


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("browning", dishes.BROWNING),
        ("finish", dishes.FINISH),
        ("arrangement", dishes.ARRANGEMENT),
        ("toppings", (("tomato",), ("egg",), ("corn",))),
        ("base", ("pizza", "soup", "waffle")),
    ],
)
def test_each_choice_is_visible(field, options):
    """The mean photos of two options differ more than two mean photos of one option."""
    means = []
    for option in options:
        scene = dataclasses.replace(SCENE, **{field: option})
        for half in range(2):
            stack = [_small(photo(scene, np.random.default_rng([half, k]), SIZE)) for k in range(24)]
            means.append((option, half, np.mean(stack, axis=0)))
    same = [np.abs(a - b).mean() for o, h, a in means for p, g, b in means if o == p and h < g]
    other = [np.abs(a - b).mean() for o, h, a in means for p, g, b in means if o != p and h == g]
    assert min(other) > 0.5, f"{field}: two options give the same photos"
    assert len(same) == len(options)


def test_toppings_fill_their_squares_and_differ():
    pictures = {}
    for name in drawings.TOPPINGS:
        image = drawings.topping_image(name, 0, 32)
        alpha = np.asarray(image.getchannel("A"))
        assert alpha.shape == (32, 32)
        assert 0.25 < (alpha > 128).mean() < 0.95, name
        pictures[name] = np.asarray(image, np.float32)
    names = list(pictures)
    for i, first in enumerate(names):
        for second in names[:i]:
            assert np.abs(pictures[first] - pictures[second]).mean() > 12, (first, second)


def test_slots_leave_room_for_the_dish():
    for name, base in drawings.BASES.items():
        assert 9 <= len(base.slots) <= 24, name
        assert np.abs(base.slots).max() + base.topping / 2 < 1.02, name


def _small(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.resize((24, 24), Image.Resampling.BOX), np.float32)
