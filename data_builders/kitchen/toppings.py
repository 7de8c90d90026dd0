"""The toppings: one small drawing each, with a shape of its own, so that colour alone does not name it."""

import functools
from collections.abc import Callable

import numpy as np
from PIL import Image

from data_builders.kitchen import savoury_toppings, sweet_toppings
from data_builders.kitchen.canvas import Canvas

VARIANTS = 3  # drawings of each topping, told apart by small irregularities


@functools.cache
def sprite(name: str, variant: int, pixels: int) -> Image.Image:
    """One topping as an RGBA picture, `pixels` wide, filling its square; the same for the same arguments.

    Args:
        name: a key of `DRAWINGS`.
        variant: 0 … `VARIANTS` - 1.
        pixels: side of the square.
    """
    canvas = Canvas(pixels)
    DRAWINGS[name](canvas, np.random.default_rng([variant, *name.encode()]))
    return canvas.picture()


DRAWINGS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    "tomato": savoury_toppings.tomato,
    "pepperoni": savoury_toppings.pepperoni,
    "chili": savoury_toppings.chili,
    "olive": savoury_toppings.olive,
    "basil": savoury_toppings.basil,
    "mushroom": savoury_toppings.mushroom,
    "egg": savoury_toppings.egg,
    "mozzarella": savoury_toppings.mozzarella,
    "onion": savoury_toppings.onion,
    "shrimp": savoury_toppings.shrimp,
    "corn": savoury_toppings.corn,
    "broccoli": savoury_toppings.broccoli,
    "carrot": savoury_toppings.carrot,
    "bacon": savoury_toppings.bacon,
    "lemon": savoury_toppings.lemon,
    "almond": savoury_toppings.almond,
    "strawberry": sweet_toppings.strawberry,
    "blueberry": sweet_toppings.blueberry,
    "cherry": sweet_toppings.cherry,
    "banana": sweet_toppings.banana,
    "kiwi": sweet_toppings.kiwi,
    "chocolate": sweet_toppings.chocolate,
    "raisin": sweet_toppings.raisin,
    "orange": sweet_toppings.orange,
    "pineapple": sweet_toppings.pineapple,
    "marshmallow": sweet_toppings.marshmallow,
}
