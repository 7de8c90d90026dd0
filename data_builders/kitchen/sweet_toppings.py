"""Draws the toppings of sweet dishes, each filling the unit square."""

import math

import numpy as np

from data_builders.kitchen.canvas import (
    CLEAR,
    Canvas,
    blob_points,
    darker,
    ellipse_points,
    lighter,
    scalloped_points,
    varied,
)


def strawberry(c: Canvas, rng: np.random.Generator) -> None:
    """A strawberry with leaves."""
    heart = [(0, 0.95), (-0.5, 0.45), (-0.78, -0.1), (-0.7, -0.45), (-0.35, -0.6), (0.35, -0.6), (0.7, -0.45)]
    heart += [(0.78, -0.1), (0.5, 0.45)]
    c.polygon(heart, varied(rng, (206, 38, 30), 8))
    c.glow(-0.3, -0.1, 0.3, 0.5, (255, 120, 110), 0.6)
    for x, y in ((-0.4, -0.2), (0, -0.25), (0.4, -0.2), (-0.22, 0.12), (0.22, 0.12), (0, 0.45)):
        c.ellipse(x, y, 0.055, 0.09, (252, 216, 110))
    for angle in np.linspace(math.pi + 0.2, 2 * math.pi - 0.2, 5):
        tip = (0.62 * math.cos(angle), -0.55 + 0.42 * math.sin(angle))
        c.polygon([(-0.16, -0.5), tip, (0.16, -0.5)], (66, 140, 46))
    c.ellipse(0, -0.52, 0.5, 0.13, (66, 140, 46))


def blueberry(c: Canvas, rng: np.random.Generator) -> None:
    """Three berries."""
    for k in range(3):
        angle = k * 2 * math.pi / 3 + rng.uniform(-0.2, 0.2)
        x, y = 0.5 * math.cos(angle), 0.5 * math.sin(angle)
        c.disc(x, y, 0.45, (38, 46, 108))
        c.disc(x - 0.03, y - 0.03, 0.39, (70, 86, 160))
        c.polygon(_star(x, y, 0.22, 5), (24, 28, 70))
        c.glow(x - 0.2, y - 0.2, 0.16, 0.14, (210, 220, 250), 0.8)


def cherry(c: Canvas, rng: np.random.Generator) -> None:
    """Two cherries on stems."""
    top = (rng.uniform(-0.1, 0.1), -0.9)
    for x, y in ((-0.46, 0.42), (0.48, 0.5)):
        c.line([top, (x * 0.6, -0.2), (x, y - 0.3)], 0.09, (92, 112, 40))
        c.disc(x, y, 0.44, (140, 10, 30))
        c.disc(x - 0.03, y - 0.04, 0.37, (196, 20, 44))
        c.glow(x - 0.15, y - 0.17, 0.17, 0.15, (255, 210, 210), 0.9)
    c.ellipse(top[0] + 0.24, top[1] + 0.1, 0.3, 0.13, (84, 150, 52), 0.3)


def banana(c: Canvas, rng: np.random.Generator) -> None:
    """A whole banana."""
    outer = ellipse_points(0, -0.55, 0.96, 1.2 + 0.1 * rng.uniform(), start=0.05, end=math.pi - 0.05)
    inner = ellipse_points(0, -0.62, 0.84, 0.68, start=math.pi - 0.05, end=0.05)
    c.polygon(outer + inner, (224, 176, 30))
    middle = ellipse_points(0, -0.56, 0.88, 0.98, start=0.1, end=math.pi - 0.1)
    c.polygon(middle + inner, (252, 224, 92))
    for x in (-0.88, 0.88):
        c.disc(x, -0.52, 0.1, (96, 72, 30))


def kiwi(c: Canvas, rng: np.random.Generator) -> None:
    """A slice."""
    c.polygon(blob_points(rng, 0, 0, 0.94, 0.05), (110, 86, 44))
    c.disc(0, 0, 0.82, (124, 178, 48))
    c.disc(0, 0, 0.42, (168, 206, 92))
    c.ellipse(0, 0, 0.26, 0.22, (244, 244, 214))
    for angle in np.linspace(0, 2 * math.pi, 12, endpoint=False) + rng.uniform(0, 1):
        c.ellipse(0.48 * math.cos(angle), 0.48 * math.sin(angle), 0.11, 0.055, (26, 24, 18), angle)


def chocolate(c: Canvas, rng: np.random.Generator) -> None:
    """Four squares of a bar."""
    c.box(0, 0, 0.84, 0.84, (54, 28, 16), 0.08)
    for x in (-0.41, 0.41):
        for y in (-0.41, 0.41):
            c.box(x, y, 0.36, 0.36, (104, 62, 38), 0.05)
            c.box(x + 0.03, y + 0.03, 0.26, 0.26, varied(rng, (76, 42, 24), 5), 0.04)


def raisin(c: Canvas, rng: np.random.Generator) -> None:
    """Five raisins."""
    for x, y in ((-0.5, -0.45), (0.4, -0.55), (0.0, 0.02), (-0.48, 0.55), (0.52, 0.45)):
        turn = rng.uniform(0, 3)
        c.ellipse(x, y, 0.36, 0.25, (52, 26, 34), turn)
        c.ellipse(x - 0.03, y - 0.03, 0.28, 0.17, (92, 50, 56), turn)
        c.line([(x - 0.15, y), (x + 0.15, y + 0.03)], 0.04, (44, 20, 28))


def orange(c: Canvas, rng: np.random.Generator) -> None:
    """A slice."""
    for radius, colour in ((0.95, (232, 112, 8)), (0.82, (254, 236, 200)), (0.75, (250, 152, 30))):
        c.disc(0, 0, radius, colour)
    start = rng.uniform(0, 1)
    for k in range(8):
        angle = start + k * math.pi / 4
        c.line([(0, 0), (0.74 * math.cos(angle), 0.74 * math.sin(angle))], 0.07, (254, 236, 200))


def pineapple(c: Canvas, rng: np.random.Generator) -> None:
    """A ring."""
    c.polygon(scalloped_points(0, 0, 0.96, 11, 0.16), (206, 150, 20))
    c.polygon(scalloped_points(0, 0, 0.85, 11, 0.14), (250, 214, 84))
    for angle in np.linspace(0, 2 * math.pi, 11, endpoint=False) + rng.uniform(0, 0.5):
        cos, sin = math.cos(angle), math.sin(angle)
        c.line([(0.45 * cos, 0.45 * sin), (0.7 * cos, 0.7 * sin)], 0.04, (226, 172, 40))
    c.disc(0, 0, 0.34, (214, 160, 30))
    c.disc(0, 0, 0.28, CLEAR)


def marshmallow(c: Canvas, rng: np.random.Generator) -> None:
    """Two marshmallows."""
    for x, y in ((-0.4, -0.38), (0.42, 0.4)):
        shade = varied(rng, (250, 214, 222), 4) if x < 0 else (250, 247, 238)
        c.box(x, y + 0.05, 0.44, 0.46, darker(shade, 0.2), 0.16)
        c.box(x - 0.02, y, 0.42, 0.4, shade, 0.16)
        c.ellipse(x - 0.02, y - 0.22, 0.36, 0.16, lighter(shade, 0.6))


def _star(x: float, y: float, radius: float, tips: int) -> list:
    angles = np.linspace(0, 2 * math.pi, 2 * tips, endpoint=False)
    radii = [radius if k % 2 == 0 else radius * 0.45 for k in range(2 * tips)]
    return [(x + r * math.cos(a), y + r * math.sin(a)) for a, r in zip(angles, radii, strict=True)]
