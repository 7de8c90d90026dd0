"""Draws the vessels of the dishes, seen from above: plates, bowls, boards, trays."""

import math

import numpy as np

from data_builders.kitchen.canvas import Canvas, Colour, darker, lighter, mix, varied

CERAMICS: tuple[Colour, ...] = (
    (240, 238, 232),
    (92, 126, 168),
    (64, 66, 74),
    (196, 108, 72),
    (122, 152, 120),
    (226, 204, 158),
)
WOODS: tuple[Colour, ...] = ((176, 122, 72), (206, 164, 112), (120, 78, 48))


def plate(c: Canvas, colour: Colour, radius: float = 0.98) -> None:
    """A flat plate with a rim."""
    c.disc(0, 0, radius, darker(colour, 0.18))
    c.disc(0, 0, radius - 0.02, lighter(colour, 0.2))
    c.radial(0, 0, radius - 0.04, radius * 0.76, colour, darker(colour, 0.06))
    c.ring(0, 0, radius * 0.76, 0.025, darker(colour, 0.2))
    c.disc(0, 0, radius * 0.74, lighter(colour, 0.1))
    c.glow(-0.4, -0.5, 0.7, 0.6, (255, 255, 255), 0.3)


def bowl(c: Canvas, colour: Colour, radius: float = 0.98, opening: float = 0.86) -> None:
    """A deep bowl with a bright rim and a wall that darkens inwards."""
    c.disc(0, 0, radius, darker(colour, 0.3))
    c.disc(0, 0, radius - 0.02, lighter(colour, 0.3))
    c.radial(0, 0, radius - 0.06, opening, colour, darker(colour, 0.45))


def board(c: Canvas, colour: Colour, rx: float = 0.97, ry: float = 0.97) -> None:
    """A wooden board with grain."""
    c.box(0, 0, rx, ry, darker(colour, 0.35), 0.12)
    c.box(0, -0.01, rx - 0.02, ry - 0.02, colour, 0.1)
    for k, y in enumerate(np.linspace(-ry + 0.08, ry - 0.08, 9)):
        wave = [(x, y + 0.03 * math.sin(3 * x + 1.7 * k)) for x in np.linspace(-rx + 0.06, rx - 0.06, 12)]
        c.line(wave, 0.012, darker(colour, 0.12 + 0.05 * (k % 3)))


def tray(c: Canvas, colour: Colour, rx: float = 0.98, ry: float = 0.98) -> None:
    """A rectangular tray with a raised edge."""
    c.box(0, 0, rx, ry, darker(colour, 0.45), 0.16)
    c.box(0, 0, rx - 0.02, ry - 0.02, lighter(colour, 0.2), 0.15)
    c.box(0, 0, rx - 0.07, ry - 0.07, darker(colour, 0.25), 0.12)
    c.box(0, 0.015, rx - 0.1, ry - 0.1, colour, 0.1)


def oval_plate(c: Canvas, colour: Colour, rx: float = 0.98, ry: float = 0.8) -> None:
    """An oval serving plate."""
    for inset, shade in ((0, darker(colour, 0.18)), (0.02, lighter(colour, 0.2)), (0.05, colour)):
        c.ellipse(0, 0, rx - inset, ry - inset, shade)
    c.ellipse(0, 0, rx * 0.82, ry * 0.8, darker(colour, 0.16))
    c.ellipse(0, 0.01, rx * 0.8, ry * 0.78, lighter(colour, 0.1))


def grate(c: Canvas, rng: np.random.Generator) -> None:
    """A dark grill grate above glowing embers."""
    c.box(0, 0, 0.98, 0.98, (38, 36, 38), 0.1)
    for _ in range(30):
        x, y = rng.uniform(-0.85, 0.85, 2)
        c.disc(x, y, rng.uniform(0.05, 0.1), mix((70, 34, 26), (150, 62, 26), rng.uniform()))
    for x in np.linspace(-0.84, 0.84, 11):
        c.line([(x, -0.92), (x, 0.92)], 0.05, varied(rng, (74, 76, 80), 6))


def chopsticks(c: Canvas, colour: Colour) -> None:
    """A pair of chopsticks at the upper right."""
    for offset in (0.0, 0.1):
        c.line([(0.25 + offset, -0.98), (0.98, -0.2 - offset)], 0.05, colour)
