"""Draws the sweet dishes without their toppings, each on the unit square."""

import math

import numpy as np

from data_builders.kitchen.canvas import Canvas, blob_points, darker, lighter, mix, scalloped_points, varied
from data_builders.kitchen.vessels import CERAMICS, bowl, plate, tray


def cake(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """A wedge of layer cake."""
    plate(c, CERAMICS[(variant + 1) % 6])
    icing = ((246, 232, 210), (226, 160, 176), (112, 68, 46), (172, 206, 170), (238, 214, 130), (190, 170, 214))[
        variant
    ]
    sponge = ((232, 196, 122), (120, 72, 44), (212, 150, 90))[variant % 3]
    top, side = [(-0.92, 0.1), (0.66, -0.84), (0.82, 0.44)], 0.34
    for k, colour in enumerate((sponge, icing, sponge, icing, sponge)):
        low, high = side * (5 - k) / 5, side * (4 - k) / 5
        c.polygon(
            [(-0.92, 0.1 + low), (0.82, 0.44 + low), (0.82, 0.44 + high), (-0.92, 0.1 + high)], darker(colour, 0.1)
        )
    c.polygon(top, icing)
    c.line([top[0], top[2]], 0.035, lighter(icing, 0.5))
    c.line([top[0], top[1]], 0.03, lighter(icing, 0.3))
    for share in np.linspace(0.03, 0.97, 9):
        x, y = top[1][0] + (top[2][0] - top[1][0]) * share, top[1][1] + (top[2][1] - top[1][1]) * share
        c.disc(x, y, 0.085, darker(icing, 0.12))
        c.disc(x - 0.01, y - 0.015, 0.07, lighter(icing, 0.35))


def pancakes(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """A stack of pancakes with butter and syrup."""
    plate(c, CERAMICS[variant])
    brown = varied(rng, (198, 128, 58), 16)
    for k in range(5):
        x, y = 0.1 - 0.05 * k, 0.18 - 0.07 * k
        c.disc(x, y + 0.02, 0.715, darker(brown, 0.45))
        c.disc(x, y, 0.71, (244, 212, 146))
        c.disc(x, y - 0.015, 0.69, darker(brown, 0.12))
    c.radial(x, y - 0.02, 0.66, 0.2, brown, lighter(brown, 0.22))
    c.polygon(blob_points(rng, x, y, 0.4, 0.3), mix(brown, (250, 200, 90), 0.35))
    c.box(x, y, 0.13, 0.13, (252, 232, 140), 0.03)


def pie(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """A pie with a lattice crust."""
    c.disc(0, 0, 0.99, darker(CERAMICS[variant], 0.2))
    c.disc(0, 0, 0.97, CERAMICS[variant])
    crust = varied(rng, (222, 168, 92), 14)
    c.polygon(scalloped_points(0, 0, 0.95, 26, 0.1), darker(crust, 0.3))
    c.polygon(scalloped_points(0, -0.01, 0.92, 26, 0.1), crust)
    filling = ((120, 24, 54), (208, 112, 34), (176, 30, 30), (226, 176, 60), (84, 44, 96), (150, 96, 48))[variant]
    c.radial(0, 0, 0.78, 0.6, darker(filling, 0.35), filling)
    for axis in (0, 1):
        for offset in (-0.48, -0.16, 0.16, 0.48):
            reach = math.sqrt(0.8**2 - offset**2)
            ends = [(offset, -reach), (offset, reach)] if axis else [(-reach, offset), (reach, offset)]
            c.line(ends, 0.13, darker(crust, 0.3))
            c.line(ends, 0.1, lighter(crust, 0.12))


def smoothie(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """A tall glass with a straw, seen from the side."""
    drink = ((224, 110, 140), (150, 84, 150), (240, 190, 90), (150, 190, 90), (236, 226, 206), (206, 70, 80))[variant]
    glass = (206, 222, 228)
    c.line([(0.2, -0.3), (0.55, -0.99)], 0.09, ((220, 60, 60), (60, 120, 190), (70, 150, 90))[variant % 3])
    c.polygon([(-0.74, -0.8), (0.74, -0.8), (0.5, 0.98), (-0.5, 0.98)], darker(glass, 0.3))
    c.polygon([(-0.71, -0.8), (0.71, -0.8), (0.475, 0.96), (-0.475, 0.96)], glass)
    c.polygon([(-0.65, -0.6), (0.65, -0.6), (0.44, 0.9), (-0.44, 0.9)], drink)
    c.polygon([(-0.65, -0.6), (-0.5, -0.6), (-0.33, 0.9), (-0.44, 0.9)], lighter(drink, 0.35))
    c.polygon([(0.55, -0.6), (0.65, -0.6), (0.44, 0.9), (0.36, 0.9)], darker(drink, 0.2))
    c.ellipse(0, -0.6, 0.65, 0.1, lighter(drink, 0.5))
    for _ in range(24):
        c.disc(rng.uniform(-0.58, 0.58), -0.6 + rng.uniform(-0.07, 0.07), 0.04, lighter(drink, rng.uniform(0.4, 0.8)))
    c.ellipse(0, -0.8, 0.73, 0.06, darker(glass, 0.15))
    c.ellipse(0, -0.8, 0.69, 0.045, lighter(glass, 0.5))


def cookies(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """Nine cookies on a tray."""
    tray(c, ((120, 124, 130), (70, 72, 78), (196, 190, 176))[variant % 3])
    dough = ((214, 160, 92), (136, 84, 50), (232, 196, 138))[variant // 2]
    for x in (-0.58, 0.0, 0.58):
        for y in (-0.58, 0.0, 0.58):
            c.polygon(blob_points(rng, x + 0.02, y + 0.03, 0.3, 0.06), (50, 46, 44))
            c.polygon(blob_points(rng, x, y, 0.29, 0.06), darker(dough, 0.25))
            c.polygon(blob_points(rng, x - 0.01, y - 0.01, 0.25, 0.06), dough)
            for _ in range(8):
                dx, dy = rng.uniform(-0.17, 0.17, 2)
                c.disc(x + dx, y + dy, 0.022, darker(dough, 0.3))


def ice_cream(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """Three scoops and a wafer."""
    bowl(c, CERAMICS[variant], opening=0.9)
    flavours = ((246, 226, 184), (236, 158, 178), (112, 70, 50), (176, 214, 170), (250, 206, 130), (190, 160, 210))
    c.disc(0, 0, 0.88, darker(CERAMICS[variant], 0.3))
    c.polygon([(0.3, -0.3), (0.9, -0.86), (0.98, -0.66)], (214, 160, 84))
    for k in range(3):
        angle = -math.pi / 2 + k * 2 * math.pi / 3
        x, y = 0.42 * math.cos(angle), 0.42 * math.sin(angle)
        flavour = flavours[(variant + 2 * k + (k == 2)) % 6]
        c.polygon(scalloped_points(x, y, 0.48, 15, 0.08), darker(flavour, 0.35))
        c.polygon(scalloped_points(x, y, 0.46, 15, 0.08), darker(flavour, 0.1))
        c.radial(x - 0.03, y - 0.04, 0.41, 0.1, darker(flavour, 0.04), lighter(flavour, 0.3))
        c.glow(x - 0.14, y - 0.16, 0.2, 0.16, (255, 255, 255), 0.6)


def waffle(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """A square waffle."""
    plate(c, CERAMICS[variant])
    brown = varied(rng, (216, 154, 72), 14)
    c.box(0, 0.03, 0.8, 0.8, darker(brown, 0.5), 0.14)
    c.box(0, 0, 0.8, 0.8, brown, 0.14)
    for x in np.linspace(-0.6, 0.6, 5):
        for y in np.linspace(-0.6, 0.6, 5):
            c.box(x, y, 0.115, 0.115, darker(brown, 0.42), 0.02)
            c.box(x + 0.02, y + 0.02, 0.095, 0.095, darker(brown, 0.22), 0.02)
