"""Draws the toppings of savoury dishes and the two of any dish, each filling the unit square."""

import math

import numpy as np

from data_builders.kitchen.canvas import (
    CLEAR,
    Canvas,
    blob_points,
    darker,
    ellipse_points,
    lighter,
    mix,
    turned,
    varied,
)

_GREEN = (58, 132, 44)


def tomato(c: Canvas, rng: np.random.Generator) -> None:
    """A slice with five chambers."""
    c.polygon(blob_points(rng, 0, 0, 0.93, 0.05), (188, 26, 20))
    c.disc(0, 0, 0.82, (228, 66, 48))
    start = rng.uniform(0, 1)
    for k in range(5):
        angle = start + k * 2 * math.pi / 5
        x, y = 0.46 * math.cos(angle), 0.46 * math.sin(angle)
        c.ellipse(x, y, 0.27, 0.2, (160, 18, 14), angle)
        for side in (-0.09, 0.09):
            c.ellipse(x - side * math.sin(angle), y + side * math.cos(angle), 0.08, 0.05, (250, 222, 120), angle)
    c.disc(0, 0, 0.13, (245, 150, 120))


def pepperoni(c: Canvas, rng: np.random.Generator) -> None:
    """A slice of sausage with spots of fat."""
    c.polygon(blob_points(rng, 0, 0, 0.93, 0.1), (108, 14, 14))
    c.disc(0, 0, 0.76, (170, 34, 28))
    for _ in range(9):
        angle, radius = rng.uniform(0, 2 * math.pi), 0.6 * math.sqrt(rng.uniform())
        c.disc(radius * math.cos(angle), radius * math.sin(angle), rng.uniform(0.06, 0.12), (232, 150, 120))


def chili(c: Canvas, rng: np.random.Generator) -> None:
    """A bent pod with a stem."""
    bend = rng.uniform(0.5, 0.7)
    spine = [(-0.72 + 1.55 * t, bend * (math.sin(t * math.pi) - 0.55) * 1.1) for t in np.linspace(0, 1, 24)]
    for k, (x, y) in enumerate(spine):
        c.disc(x, y, 0.3 * (1 - k / 24) ** 0.6 + 0.03, (196, 22, 16))
    for x, y in spine[2:16]:
        c.disc(x, y - 0.07, 0.045, (240, 110, 90))
    c.line([(-0.72, spine[0][1]), (-0.95, spine[0][1] - 0.2)], 0.14, (70, 120, 30))
    c.disc(-0.74, spine[0][1], 0.2, (80, 140, 40))


def olive(c: Canvas, rng: np.random.Generator) -> None:
    """A sliced olive, a dark ring."""
    c.polygon(blob_points(rng, 0, 0, 0.9, 0.05), (34, 28, 34))
    c.disc(0, 0, 0.76, (62, 52, 60))
    c.glow(-0.4, -0.45, 0.4, 0.4, (220, 220, 230), 0.5)
    c.disc(0, 0, 0.46, (24, 20, 24))
    c.disc(0, 0, 0.4, CLEAR)


def basil(c: Canvas, rng: np.random.Generator) -> None:
    """Two leaves."""
    for side, turn in ((-1, 0.35), (1, -0.35)):
        cx = side * 0.44
        green = varied(rng, _GREEN, 10)
        leaf = [(cx + x * 0.52, y * 0.48) for x, y in ((-1, 0), (-0.55, -0.85), (0, -1), (0.6, -0.7), (1, 0))]
        leaf += [(cx + x * 0.52, y * 0.48) for x, y in ((0.6, 0.7), (0, 1), (-0.55, 0.85))]
        leaf = turned(leaf, turn, (0, 0.1))
        c.polygon(leaf, green)
        c.line(turned([(cx - 0.45, 0), (cx + 0.45, 0)], turn, (0, 0.1)), 0.06, lighter(green, 0.4))
        for k in (-0.2, 0.05, 0.3):
            vein = [(cx + k * side, 0), (cx + (k + 0.16) * side, -0.2)]
            c.line(turned(vein, turn, (0, 0.1)), 0.035, lighter(green, 0.25))
    c.disc(0, 0.1, 0.1, darker(_GREEN))


def mushroom(c: Canvas, rng: np.random.Generator) -> None:
    """A slice through cap and stem."""
    c.box(0, 0.42, 0.24, 0.5, (232, 218, 190), 0.12)
    cap = ellipse_points(0, 0.1, 0.94, 0.95, start=math.pi, end=2 * math.pi)
    c.polygon(cap, (150, 112, 78))
    c.polygon(ellipse_points(0, 0.12, 0.78, 0.76, start=math.pi, end=2 * math.pi), (238, 226, 202))
    c.ellipse(0, 0.12, 0.94, 0.16, (150, 112, 78))
    c.ellipse(0, 0.08, 0.8, 0.13, (196, 166, 130))
    c.box(0, 0.36, 0.2, 0.44, (240, 230, 208), 0.1)
    c.line([(-0.2, -0.45), (0.25 + 0.1 * rng.uniform(), -0.5)], 0.04, (214, 196, 164))


def egg(c: Canvas, rng: np.random.Generator) -> None:
    """A fried egg, sunny side up."""
    c.polygon(blob_points(rng, 0, 0, 0.9, 0.18, 0.92), (222, 218, 208))
    c.polygon(blob_points(rng, 0, 0, 0.82, 0.12, 0.92), (252, 250, 244))
    x, y = rng.uniform(-0.12, 0.12, 2)
    c.disc(x, y, 0.44, (238, 160, 20))
    c.disc(x - 0.03, y - 0.03, 0.38, (252, 190, 40))
    c.glow(x - 0.14, y - 0.16, 0.22, 0.18, (255, 255, 240), 0.9)


def mozzarella(c: Canvas, rng: np.random.Generator) -> None:
    """A soft lump."""
    c.polygon(blob_points(rng, 0, 0, 0.88, 0.1, 0.86), (214, 206, 186))
    c.polygon(blob_points(rng, -0.03, -0.04, 0.8, 0.1, 0.86), (246, 242, 230))
    for _ in range(4):
        x, y = rng.uniform(-0.45, 0.45, 2)
        c.ellipse(x, y, 0.16, 0.06, (226, 218, 200), rng.uniform(0, 3))
    c.glow(-0.25, -0.3, 0.5, 0.4, (255, 255, 255), 0.9)


def onion(c: Canvas, rng: np.random.Generator) -> None:
    """Concentric rings."""
    squash = rng.uniform(0.86, 1.0)
    for radius, colour in (
        (0.94, (128, 46, 104)),
        (0.82, (244, 226, 238)),
        (0.68, (176, 96, 150)),
        (0.6, (246, 232, 240)),
        (0.44, (176, 96, 150)),
        (0.36, (248, 238, 244)),
    ):
        c.ellipse(0, 0, radius, radius * squash, colour)
    c.polygon(ellipse_points(0, 0, 0.24, 0.24 * squash), CLEAR)


def shrimp(c: Canvas, rng: np.random.Generator) -> None:
    """A curled shrimp with a tail."""
    start = rng.uniform(-0.2, 0.1)
    for k, angle in enumerate(np.linspace(start, start + 4.3, 30)):
        width = 0.32 * (1 - k / 30) ** 0.5 + 0.08
        colour = (246, 140, 96) if (k // 3) % 2 else (252, 196, 162)
        c.disc(0.56 * math.cos(angle), 0.56 * math.sin(angle), width, colour)
    angle = start + 4.3
    x, y = 0.56 * math.cos(angle), 0.56 * math.sin(angle)
    for fan in (-0.5, 0.5):
        tip = angle + math.pi / 2 + fan
        c.line([(x, y), (x + 0.4 * math.cos(tip), y + 0.4 * math.sin(tip))], 0.16, (214, 70, 40))


def corn(c: Canvas, rng: np.random.Generator) -> None:
    """A slice of the cob: a wheel of kernels."""
    start = rng.uniform(0, 1)
    for k in range(9):
        angle = start + k * 2 * math.pi / 9
        c.ellipse(0.66 * math.cos(angle), 0.66 * math.sin(angle), 0.29, 0.24, (214, 150, 16), angle)
        c.ellipse(0.64 * math.cos(angle), 0.64 * math.sin(angle), 0.24, 0.18, (250, 208, 50), angle)
    c.disc(0, 0, 0.46, (236, 220, 160))
    c.disc(0, 0, 0.24, (206, 184, 120))


def broccoli(c: Canvas, rng: np.random.Generator) -> None:
    """A floret."""
    c.polygon([(-0.2, 0), (0.2, 0), (0.3, 0.95), (-0.3, 0.95)], (150, 186, 96))
    for x in (-0.42, 0.42):
        c.line([(0, 0.5), (x, 0.0)], 0.24, (136, 176, 86))
    for _ in range(26):
        angle, radius = rng.uniform(0, 2 * math.pi), math.sqrt(rng.uniform())
        shade = mix((24, 84, 30), (92, 158, 62), rng.uniform())
        c.disc(0.62 * radius * math.cos(angle), -0.3 + 0.4 * radius * math.sin(angle), 0.22, shade)


def carrot(c: Canvas, rng: np.random.Generator) -> None:
    """Three sticks."""
    for y, shift in ((-0.38, 0.1), (0.05, -0.08), (0.46, 0.04)):
        x = shift + rng.uniform(-0.06, 0.06)
        c.box(x, y, 0.84, 0.18, (204, 94, 10), 0.04)
        c.box(x, y - 0.04, 0.82, 0.12, (246, 140, 36), 0.04)


def bacon(c: Canvas, rng: np.random.Generator) -> None:
    """A wavy rasher."""
    phase = rng.uniform(0, 6)
    xs = np.linspace(-0.92, 0.92, 24)
    for offset, width, colour in (
        (0.0, 0.66, (140, 42, 32)),
        (-0.16, 0.14, (244, 206, 178)),
        (0.14, 0.1, (244, 206, 178)),
        (0.0, 0.12, (188, 70, 52)),
    ):
        c.line([(x, offset + 0.2 * math.sin(5.2 * x + phase)) for x in xs], width, colour)


def lemon(c: Canvas, rng: np.random.Generator) -> None:
    """Half a slice, the flat side up."""
    for radius, colour in ((0.96, (236, 190, 20)), (0.82, (252, 246, 214)), (0.74, (248, 220, 74))):
        c.polygon(ellipse_points(0, -0.4, radius, radius * 1.2, start=0, end=math.pi), colour)
    for angle in np.linspace(0.15, math.pi - 0.15, 5)[1:-1]:
        c.line([(0, -0.4), (0.72 * math.cos(angle), -0.4 + 0.86 * math.sin(angle))], 0.07, (252, 246, 214))
    c.line([(-0.9, -0.4), (0.9, -0.4)], 0.09, (252, 246, 214))


def almond(c: Canvas, rng: np.random.Generator) -> None:
    """Three flakes."""
    for x, y, turn in ((-0.42, -0.35, 0.5), (0.42, -0.2, -0.7), (-0.05, 0.48, 1.4)):
        turn += rng.uniform(-0.3, 0.3)
        tear = [(-0.5, 0), (-0.1, -0.27), (0.25, -0.28), (0.46, -0.14)]
        tear += [(0.5, 0), (0.46, 0.14), (0.25, 0.28), (-0.1, 0.27)]
        for scale, colour in ((1.0, (150, 92, 44)), (0.8, (246, 226, 186))):
            c.polygon([(x + px * scale, y + py * scale) for px, py in turned(tear, turn)], colour)
