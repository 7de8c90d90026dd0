"""The drawings of dishes and toppings by name, and their cached images."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np
from PIL import Image

from data_builders.kitchen import savoury_bases, savoury_toppings, sweet_bases, sweet_toppings
from data_builders.kitchen.canvas import Canvas
from data_builders.kitchen.dishes import EITHER, SAVOURY, SWEET
from data_builders.kitchen.places import CAKE, MAKI, OMELETTE, POTATOES, SMOOTHIE, STICKS, grid, in_disc

BASE_VARIANTS, TOPPING_VARIANTS = 6, 3
"""Numbers of drawings of each dish (different vessels and fillings) and of each topping (small irregularities)."""


@dataclasses.dataclass(frozen=True)
class Base:
    """A dish without its toppings.

    Attributes:
        draw: Function `draw(canvas, rng, variant)` that draws the vessel and its content.
        slots: (n, 2) positions for toppings in canvas units.
        turn: Maximum rotation of the dish in the photo, in degrees in either direction.
        topping: Width of a topping in canvas units.
    """

    draw: Callable[[Canvas, np.random.Generator, int], None]
    slots: np.ndarray
    turn: float = 180.0
    topping: float = 0.48


@functools.cache
def base_image(name: str, variant: int, pixels: int) -> Image.Image:
    """Returns a dish without toppings as an RGBA image, `pixels` wide."""
    canvas = Canvas(pixels)
    BASES[name].draw(canvas, np.random.default_rng([variant, *name.encode()]), variant)
    return canvas.image()


@functools.cache
def topping_image(name: str, variant: int, pixels: int) -> Image.Image:
    """Returns a topping as an RGBA image, `pixels` wide, that fills its square."""
    canvas = Canvas(pixels)
    TOPPINGS[name](canvas, np.random.default_rng([variant, *name.encode()]))
    return canvas.image()


BASES: dict[str, Base] = {
    "soup": Base(savoury_bases.soup, in_disc(0.78)),
    "salad": Base(savoury_bases.salad, in_disc(0.78)),
    "pizza": Base(savoury_bases.pizza, in_disc(0.78)),
    "taco": Base(savoury_bases.taco, grid((-0.58, 0.0, 0.58), (-0.6, -0.2, 0.2, 0.6)), 20, 0.44),
    "maki": Base(savoury_bases.maki, MAKI, 20, 0.42),
    "burger": Base(savoury_bases.burger, in_disc(0.64, -0.18, 0.17, 0.36), 30, 0.44),
    "cake": Base(sweet_bases.cake, CAKE, 15, 0.4),
    "pancakes": Base(sweet_bases.pancakes, in_disc(0.64, -0.1, -0.1, 0.36), 30, 0.44),
    "pie": Base(sweet_bases.pie, in_disc(0.78)),
    "noodles": Base(savoury_bases.noodles, in_disc(0.78), 60),
    "smoothie": Base(sweet_bases.smoothie, SMOOTHIE, 10, 0.44),
    "curry": Base(savoury_bases.curry, in_disc(0.78), 60),
    "omelette": Base(savoury_bases.omelette, OMELETTE, 25, 0.42),
    "cookies": Base(sweet_bases.cookies, grid((-0.58, 0.0, 0.58), (-0.58, 0.0, 0.58)), 20),
    "skewers": Base(savoury_bases.skewers, grid((-0.57, -0.19, 0.19, 0.57), STICKS), 35, 0.44),
    "ice cream": Base(sweet_bases.ice_cream, in_disc(0.78), 40),
    "waffle": Base(sweet_bases.waffle, in_disc(0.78), 40),
    "sandwich": Base(savoury_bases.sandwich, grid((-0.66, -0.28, 0.28, 0.66), (-0.5, -0.1, 0.3, 0.68)), 25, 0.42),
    "potato": Base(savoury_bases.potato, POTATOES, 25, 0.42),
    "bento": Base(savoury_bases.bento, grid((-0.64, -0.26, 0.26, 0.64), (-0.66, -0.24, 0.2, 0.6)), 15, 0.42),
}
TOPPINGS: dict[str, Callable[[Canvas, np.random.Generator], None]] = {
    name: getattr(module, name)
    for module, names in ((savoury_toppings, SAVOURY | EITHER), (sweet_toppings, SWEET))
    for name in names
}
