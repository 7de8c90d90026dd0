"""Positions of toppings in the unit square of a dish, slightly closer together than a topping is wide."""

import math
from collections.abc import Callable

import numpy as np


def inside(shape: Callable[[float, float], bool], spacing: float) -> np.ndarray:
    """Returns the (n, 2) points of a hexagonal grid with `shape(x, y)`."""
    rows = [
        (x + (row % 2) * spacing / 2, y)
        for row, y in enumerate(np.arange(-6, 7) * spacing * 0.866)
        for x in np.arange(-6, 7) * spacing
    ]
    return np.array([(x, y) for x, y in rows if shape(x, y)])


def in_disc(radius: float, x0: float = 0.0, y0: float = 0.0, spacing: float = 0.44) -> np.ndarray:
    """Returns the (n, 2) points of a hexagonal grid in a disc around (x0, y0)."""
    return inside(lambda x, y: math.hypot(x, y) <= radius, spacing) + np.array((x0, y0))


def grid(xs: tuple[float, ...], ys: tuple[float, ...]) -> np.ndarray:
    """Returns the (n, 2) combinations of `xs` and `ys`."""
    return np.array([(x, y) for x in xs for y in ys])


POTATOES = inside(lambda x, y: math.hypot((abs(x) - 0.45) / 0.3, y / 0.66) < 1, 0.34)
CAKE = np.array(
    [
        *((0.52, -0.52), (0.52, -0.16), (0.52, 0.2), (0.34, -0.04), (0.16, -0.34), (0.16, 0.02)),
        *((-0.14, -0.1), (-0.18, 0.14), (-0.48, 0.06)),
    ]
)
SMOOTHIE = np.array(
    [
        *((-0.4, -0.36), (0.0, -0.36), (0.4, -0.36), (-0.2, 0.0), (0.2, 0.0)),
        *((-0.3, 0.34), (0.0, 0.34), (0.3, 0.34), (-0.17, 0.68), (0.17, 0.68)),
    ]
)
OMELETTE = np.array(
    [
        *((-0.6, -0.16), (-0.2, -0.16), (0.2, -0.16), (0.6, -0.16)),
        *((-0.46, 0.18), (0.0, 0.18), (0.46, 0.18), (-0.2, 0.46), (0.22, 0.46)),
    ]
)
STICKS = (-0.56, 0.0, 0.56)
"""Vertical positions of the three skewers."""
MAKI = grid((-0.69, -0.23, 0.23, 0.69), (-0.58, 0.0, 0.58))
"""Centres of the twelve rolls."""
