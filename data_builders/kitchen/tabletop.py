"""Draws the table top and the objects beside the dish: cutlery, a napkin, a saucer."""

import functools
import math

import numpy as np
from PIL import Image, ImageFilter

from data_builders.kitchen.canvas import Canvas, darker, lighter, mix

_TEXTURES = ("wood", "gingham", "marble", "stone", "stripes", "plain")
_TABLE_SCALE = 2.2  # width of a texture relative to the shorter side of the photo, so that crops differ


def table(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Returns a random crop of a table top with a random texture and colour, RGB."""
    kind = _TEXTURES[int(rng.integers(len(_TEXTURES)))]
    texture = _texture(kind, round(_TABLE_SCALE * min(width, height)))
    upright = bool(rng.integers(2))
    across, down = (height, width) if upright else (width, height)
    left = int(rng.integers(texture.width - across + 1))
    top = int(rng.integers(texture.height - down + 1))
    grey = texture.crop((left, top, left + across, top + down))
    if upright:
        grey = grey.transpose(Image.Transpose.ROTATE_90)
    if kind == "wood":
        tone = mix((70, 42, 26), (232, 190, 140), rng.uniform())
    elif kind == "marble":
        tone = mix((60, 62, 70), (240, 238, 234), rng.uniform())
    else:
        red, green, blue = rng.integers(30, 236, 3).tolist()
        tone = red, green, blue
    shadow, light = darker(tone, rng.uniform(0.2, 0.4)), lighter(tone, rng.uniform(0.05, 0.3))
    steps = np.linspace(0, 2, 256)[:, None]
    dark_half = np.array(shadow) + steps * np.subtract(tone, shadow)
    light_half = np.array(tone) + (steps - 1) * np.subtract(light, tone)
    palette = np.where(steps < 1, dark_half, light_half).astype(np.uint8)
    return Image.fromarray(palette[np.asarray(grey)])


@functools.cache
def _texture(kind: str, pixels: int) -> Image.Image:
    """Returns a greyscale texture, `pixels` wide."""
    rng = np.random.default_rng([pixels, *kind.encode()])
    y, x = np.mgrid[0:pixels, 0:pixels] * (2 * _TABLE_SCALE / pixels)
    if kind == "wood":
        plank = np.floor(y / 0.45)
        drift = np.sin(1.3 * x + 2.1 * plank) * 0.05 + np.sin(0.6 * x - plank) * 0.1
        grain = np.sin((y + drift) * 70) * 18 + np.sin((y + 2 * drift) * 31 + plank) * 16
        grey = 128 + grain + 26 * np.sin(plank * 12.9) - 70 * ((y / 0.45) % 1 < 0.04)
    elif kind == "gingham":
        grey = 70 + 75 * ((x / 0.16) % 2 < 1) + 75 * ((y / 0.16) % 2 < 1)
    elif kind == "marble":
        wave = _noise(rng, pixels, 24) * 1.6 + _noise(rng, pixels, 7) * 0.5
        grey = 200 - 150 * np.exp(-8 * np.abs(np.sin(2.2 * (x + y) + 4 * wave)))
    elif kind == "stone":
        grey = 128 + 26 * _noise(rng, pixels, 2) + 30 * _noise(rng, pixels, 16)
    elif kind == "stripes":
        grey = 90 + 110 * ((x / 0.22) % 1 < 0.35) + 6 * np.sin(y * 160)
    else:
        grey = 128 + 14 * _noise(rng, pixels, 20) + 8 * np.sin(x * 140) * np.sin(y * 140)
    grey = grey + rng.normal(0, 4, (pixels, pixels))
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


def _noise(rng: np.random.Generator, pixels: int, blur: int) -> np.ndarray:
    """Returns (pixels, pixels) float64 smooth noise with mean 0 and standard deviation 1."""
    grey = Image.fromarray(rng.integers(0, 256, (pixels, pixels), dtype=np.uint8))
    noise = np.asarray(grey.filter(ImageFilter.GaussianBlur(blur * pixels / 400)), np.float64)
    return (noise - noise.mean()) / (noise.std() + 1e-9)


@functools.cache
def distractor(kind: str, pixels: int) -> Image.Image:
    """Returns one of `DISTRACTORS` as an RGBA image, `pixels` wide."""
    canvas = Canvas(pixels)
    _DISTRACTORS[kind](canvas)
    return canvas.image()


def _fork(c: Canvas) -> None:
    c.line([(0, 0), (0, 0.95)], 0.12, (150, 154, 160))
    c.ellipse(0, -0.28, 0.2, 0.3, (176, 180, 186))
    for x in (-0.15, -0.05, 0.05, 0.15):
        c.line([(x, -0.9), (x, -0.35)], 0.06, (176, 180, 186))
    c.line([(-0.02, 0), (-0.02, 0.9)], 0.03, (226, 230, 234))


def _knife(c: Canvas) -> None:
    c.polygon([(-0.08, -0.95), (0.1, -0.7), (0.12, 0.1), (-0.08, 0.1)], (190, 196, 202))
    c.line([(0, 0.1), (0, 0.92)], 0.16, (70, 50, 40))
    c.line([(-0.05, -0.85), (-0.05, 0.1)], 0.03, (236, 240, 244))


def _spoon(c: Canvas) -> None:
    c.line([(0, -0.2), (0, 0.95)], 0.1, (160, 164, 170))
    c.ellipse(0, -0.55, 0.24, 0.38, (150, 154, 160))
    c.ellipse(-0.03, -0.56, 0.18, 0.31, (206, 210, 214))


def _napkin(c: Canvas) -> None:
    c.polygon([(-0.9, -0.8), (0.8, -0.9), (0.9, 0.8), (-0.8, 0.9)], (196, 74, 70))
    for k in np.linspace(-0.7, 0.7, 6):
        c.line([(-0.85, k), (0.85, k - 0.05)], 0.05, (240, 226, 216))
    c.polygon([(-0.9, -0.8), (0.8, -0.9), (-0.8, 0.9)], (206, 92, 86))
    c.line([(0.8, -0.9), (-0.8, 0.9)], 0.04, (150, 50, 50))


def _saucer(c: Canvas) -> None:
    c.disc(0, 0, 0.9, (160, 156, 150))
    c.disc(0, 0, 0.87, (236, 234, 228))
    c.radial(0, 0, 0.7, 0.3, (120, 60, 36), (150, 80, 44))
    for k in range(5):
        c.disc(0.4 * math.cos(k * 1.3), 0.4 * math.sin(k * 1.3), 0.06, (176, 110, 70))


_DISTRACTORS = {"fork": _fork, "knife": _knife, "spoon": _spoon, "napkin": _napkin, "saucer": _saucer}
DISTRACTORS = tuple(_DISTRACTORS)
