"""Draws the savoury dishes without their toppings, each on the unit square."""

import math

import numpy as np

from data_builders.kitchen.canvas import (
    Canvas,
    blob_points,
    darker,
    ellipse_points,
    lighter,
    mix,
    scalloped_points,
    varied,
)
from data_builders.kitchen.places import MAKI, STICKS
from data_builders.kitchen.vessels import CERAMICS, WOODS, board, bowl, chopsticks, grate, oval_plate, tray


def soup(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """A bowl of smooth soup with a swirl."""
    bowl(c, CERAMICS[variant])
    liquid = ((206, 72, 36), (226, 150, 50), (128, 150, 62), (236, 214, 164), (170, 92, 40), (214, 104, 58))[variant]
    c.radial(0, 0, 0.86, 0.74, darker(liquid, 0.3), liquid)
    for k in range(5):
        arc = ellipse_points(0.05, 0.02, 0.66 - 0.13 * k, 0.66 - 0.13 * k, 0, k, k + 2.4)
        c.line(arc, 0.03, lighter(liquid, 0.22))
    c.glow(-0.35, -0.4, 0.4, 0.25, (255, 255, 255), 0.4)


def salad(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """A bowl of leaves."""
    bowl(c, WOODS[variant // 2] if variant % 2 else CERAMICS[variant], opening=0.84)
    greens = ((70, 140, 46), (110, 168, 60), (44, 104, 44), (134, 176, 78), (96, 60, 84), (80, 150, 80))
    c.disc(0, 0, 0.84, (36, 80, 32))
    for _ in range(70):
        angle, radius = rng.uniform(0, 2 * math.pi), 0.78 * math.sqrt(rng.uniform())
        x, y = radius * math.cos(angle), radius * math.sin(angle)
        green = varied(rng, greens[(variant + int(rng.integers(3))) % 6], 16)
        size = rng.uniform(0.13, 0.22)
        c.polygon(scalloped_points(x, y, size, 7, 0.25), darker(green, 0.35))
        c.polygon(scalloped_points(x - 0.01, y - 0.015, size * 0.9, 7, 0.25), green)
        turn = rng.uniform(0, math.pi)
        dx, dy = 0.7 * size * math.cos(turn), 0.7 * size * math.sin(turn)
        c.line([(x - dx, y - dy), (x + dx, y + dy)], 0.015, lighter(green, 0.35))


def pizza(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """A round pizza with crust, sauce and cheese, cut into eight slices."""
    crust = varied(rng, (214, 158, 88), 14)
    c.polygon(blob_points(rng, 0, 0, 0.98, 0.03), darker(crust, 0.35))
    c.polygon(blob_points(rng, 0, 0, 0.96, 0.03), crust)
    for _ in range(26):
        angle = rng.uniform(0, 2 * math.pi)
        c.glow(0.9 * math.cos(angle), 0.9 * math.sin(angle), 0.12, 0.1, darker(crust, 0.45), 0.7)
    sauce = ((190, 52, 30), (206, 80, 40), (236, 224, 196), (176, 44, 34), (120, 140, 60), (214, 96, 50))[variant]
    c.polygon(blob_points(rng, 0, 0, 0.82, 0.04), darker(sauce, 0.15))
    c.polygon(blob_points(rng, 0, 0, 0.8, 0.04), sauce)
    for _ in range(34):
        angle, radius = rng.uniform(0, 2 * math.pi), 0.74 * math.sqrt(rng.uniform())
        cheese = varied(rng, (246, 214, 132), 14)
        c.polygon(blob_points(rng, radius * math.cos(angle), radius * math.sin(angle), 0.12, 0.3), cheese)
    for k in range(4):
        angle = k * math.pi / 4
        dx, dy = 0.95 * math.cos(angle), 0.95 * math.sin(angle)
        c.line([(-dx, -dy), (dx, dy)], 0.018, darker(crust, 0.5))


def taco(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """Three filled tacos on a tray."""
    tray(c, CERAMICS[variant])
    shell = varied(rng, (232, 180, 76), 12)
    for x in (-0.58, 0.0, 0.58):
        c.ellipse(x + 0.02, 0.04, 0.28, 0.88, darker(CERAMICS[variant], 0.5))
        c.ellipse(x, 0, 0.28, 0.88, darker(shell, 0.3))
        c.ellipse(x, 0, 0.265, 0.86, shell)
        for _ in range(9):
            y = rng.uniform(-0.7, 0.7)
            c.disc(x + rng.choice((-0.21, 0.21)), y, 0.02, darker(shell, 0.25))
        c.ellipse(x, 0, 0.17, 0.8, darker(shell, 0.5))
        for _ in range(34):
            y = rng.uniform(-0.72, 0.72)
            leaf = varied(rng, ((110, 160, 60), (150, 90, 50), (130, 176, 84))[int(rng.integers(3))], 16)
            reach = 0.14 * math.sqrt(max(0.0, 1 - (y / 0.8) ** 2))
            c.ellipse(x + rng.uniform(-1, 1) * reach, y, 0.08, 0.035, leaf, rng.uniform(0, 3))


def maki(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """Twelve pieces of maki on a board or a tray."""
    if variant % 2:
        board(c, WOODS[variant // 2])
    else:
        tray(c, CERAMICS[variant])
    for x, y in MAKI:
        c.disc(x + 0.03, y + 0.04, 0.265, darker(CERAMICS[2], 0.5))
        c.disc(x, y, 0.26, (22, 34, 28))
        c.disc(x, y, 0.225, (236, 234, 224))
        for _ in range(26):
            angle, radius = rng.uniform(0, 2 * math.pi), 0.2 * math.sqrt(rng.uniform())
            grain = varied(rng, (246, 244, 236), 8)
            c.ellipse(x + radius * math.cos(angle), y + radius * math.sin(angle), 0.035, 0.016, grain, angle * 3)


def burger(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """An open burger with the upper half of the bun beside it."""
    board(c, WOODS[variant % 3])
    bun = varied(rng, (206, 138, 66), 12)
    c.disc(0.5, -0.5, 0.47, darker(bun, 0.45))
    c.radial(0.5, -0.52, 0.45, 0.1, bun, lighter(bun, 0.3))
    for _ in range(26):
        angle, radius = rng.uniform(0, 2 * math.pi), 0.36 * math.sqrt(rng.uniform())
        x, y = 0.5 + radius * math.cos(angle), -0.52 + radius * math.sin(angle)
        c.ellipse(x, y, 0.04, 0.02, (250, 236, 200), angle * 5)
    c.disc(-0.18, 0.18, 0.79, darker(bun, 0.4))
    c.disc(-0.18, 0.17, 0.77, lighter(bun, 0.35))
    c.polygon(scalloped_points(-0.18, 0.17, 0.78, 17, 0.1), varied(rng, (116, 172, 66), 14))
    c.polygon(blob_points(rng, -0.18, 0.17, 0.66, 0.05), (74, 40, 24))
    for _ in range(50):
        angle, radius = rng.uniform(0, 2 * math.pi), 0.58 * math.sqrt(rng.uniform())
        spot = mix((96, 54, 32), (132, 80, 50), rng.uniform())
        c.disc(-0.18 + radius * math.cos(angle), 0.17 + radius * math.sin(angle), 0.05, spot)


def noodles(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """A bowl of noodles with chopsticks."""
    bowl(c, CERAMICS[(variant + 2) % 6], opening=0.86)
    broth = ((150, 96, 50), (196, 150, 84), (120, 64, 36))[variant % 3]
    c.radial(0, 0, 0.86, 0.6, darker(broth, 0.3), broth)
    noodle = varied(rng, (244, 214, 140), 12)
    for _ in range(34):
        x, y, turn = *rng.uniform(-0.5, 0.5, 2), rng.uniform(0, math.pi)
        t = np.linspace(-0.55, 0.55, 14)
        wave = 0.08 * np.sin(9 * t + rng.uniform(0, 6))
        xs = x + t * math.cos(turn) - wave * math.sin(turn)
        ys = y + t * math.sin(turn) + wave * math.cos(turn)
        inside = [(px, py) for px, py in zip(xs.tolist(), ys.tolist(), strict=True) if px * px + py * py < 0.66]
        if len(inside) > 3:
            c.line(inside, 0.075, darker(noodle, 0.35))
            c.line(inside, 0.05, noodle)
    chopsticks(c, ((150, 40, 34), (60, 44, 36), (206, 164, 112))[variant % 3])


def curry(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """Rice on one side and sauce on the other."""
    bowl(c, CERAMICS[variant], opening=0.9)
    sauce = ((206, 132, 36), (176, 78, 30), (116, 140, 56), (226, 168, 76), (140, 66, 34), (214, 104, 48))[variant]
    c.radial(0, 0, 0.9, 0.7, darker(sauce, 0.3), sauce)
    for _ in range(12):
        x, y = rng.uniform(0.1, 0.6), rng.uniform(-0.6, 0.6)
        c.glow(x, y, 0.12, 0.06, lighter(sauce, 0.5), 0.6)
    edge = [(0.06 * math.sin(5 * t) - 0.02, t) for t in np.linspace(0.88, -0.88, 14)]
    c.polygon(ellipse_points(0, 0, 0.88, 0.88, 0, math.pi / 2, 1.5 * math.pi) + edge[::-1], (206, 200, 186))
    c.polygon(ellipse_points(-0.02, 0, 0.86, 0.86, 0, math.pi / 2, 1.5 * math.pi) + edge[::-1], (244, 242, 232))
    for _ in range(130):
        angle, radius = rng.uniform(math.pi / 2, 1.5 * math.pi), 0.84 * math.sqrt(rng.uniform())
        grain = varied(rng, (226, 220, 206), 14)
        c.ellipse(radius * math.cos(angle), radius * math.sin(angle), 0.045, 0.018, grain, rng.uniform(0, 3))


def omelette(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """A folded omelette on an oval plate."""
    oval_plate(c, CERAMICS[variant], ry=0.86)
    yellow = varied(rng, (248, 206, 84), 10)
    fold = ellipse_points(0, -0.42, 0.86, 1.06, start=0, end=math.pi)
    c.polygon([(x, y + 0.05) for x, y in fold], darker(yellow, 0.4))
    c.polygon(fold, darker(yellow, 0.12))
    c.polygon(ellipse_points(0, -0.42, 0.8, 0.98, start=0, end=math.pi), yellow)
    c.line([(-0.84, -0.42), (0.84, -0.42)], 0.12, lighter(yellow, 0.3))
    c.line([(-0.8, -0.34), (0.8, -0.34)], 0.025, darker(yellow, 0.35))
    for _ in range(16):
        x, y = rng.uniform(-0.6, 0.6), rng.uniform(-0.3, 0.35)
        c.glow(x, y, 0.14, 0.08, darker(yellow, 0.25), 0.5)


def skewers(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """Three skewers on a plate or over embers."""
    if variant % 2:
        grate(c, rng)
    else:
        oval_plate(c, CERAMICS[variant], ry=0.95)
    for y in STICKS:
        c.line([(-0.97, y), (0.97, y)], 0.045, (206, 168, 112))
        for x in np.linspace(-0.76, 0.76, 6):
            meat = varied(rng, ((150, 88, 52), (176, 120, 76), (120, 66, 42))[variant % 3], 12)
            c.box(x, y + 0.015, 0.115, 0.15, darker(meat, 0.4), 0.05)
            c.box(x, y - 0.01, 0.105, 0.13, meat, 0.05)


def sandwich(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """Two slices of bread with a spread."""
    board(c, WOODS[variant % 3])
    crust = varied(rng, (168, 104, 52), 12)
    spread = ((246, 236, 206), (206, 190, 110), (236, 200, 120), (222, 150, 120), (244, 240, 230), (190, 206, 140))[
        variant
    ]
    for x in (-0.47, 0.47):
        for inset, colour in ((0.0, darker(crust, 0.3)), (0.015, crust), (0.06, (240, 212, 160)), (0.1, spread)):
            c.box(x, 0.14, 0.42 - inset, 0.72 - inset, colour, 0.08)
            c.ellipse(x, -0.5, 0.45 - inset, 0.34 - inset, colour)


def potato(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """The two halves of a baked potato."""
    oval_plate(c, CERAMICS[variant], ry=0.98)
    skin = varied(rng, (140, 94, 56), 12)
    for x, turn in ((-0.45, 0.12), (0.45, -0.12)):
        c.ellipse(x + 0.02, 0.04, 0.41, 0.82, darker(CERAMICS[variant], 0.45), turn)
        c.ellipse(x, 0, 0.41, 0.8, darker(skin, 0.3), turn)
        c.ellipse(x, 0, 0.39, 0.78, skin, turn)
        c.ellipse(x, 0, 0.33, 0.71, (246, 218, 132), turn)
        for _ in range(20):
            fluff = lighter((246, 218, 132), rng.uniform(0, 0.5))
            c.disc(x + rng.uniform(-0.2, 0.2), rng.uniform(-0.5, 0.5), 0.06, fluff)


def bento(c: Canvas, rng: np.random.Generator, variant: int) -> None:
    """A box with four compartments."""
    lacquer = ((44, 40, 44), (150, 34, 34), (40, 60, 90), (176, 122, 72), (60, 84, 66), (90, 50, 70))[variant]
    c.box(0, 0, 0.98, 0.98, darker(lacquer, 0.5), 0.14)
    c.box(0, 0, 0.96, 0.96, lighter(lacquer, 0.25), 0.13)
    rice, leaf = (242, 240, 230), (120, 170, 80)
    for x, y, rx, ry, filling in (
        (-0.46, -0.36, 0.42, 0.54, rice),
        (0.46, -0.5, 0.42, 0.4, leaf),
        (-0.46, 0.58, 0.42, 0.34, (230, 190, 120)),
        (0.46, 0.44, 0.42, 0.48, rice),
    ):
        c.box(x, y, rx, ry, darker(lacquer, 0.35), 0.06)
        c.box(x, y + 0.02, rx - 0.03, ry - 0.04, filling, 0.05)
        for _ in range(40):
            dx, dy = rng.uniform(-rx + 0.08, rx - 0.08), rng.uniform(-ry + 0.1, ry - 0.08)
            c.ellipse(x + dx, y + dy, 0.05, 0.02, varied(rng, darker(filling, 0.1), 10), rng.uniform(0, 3))
