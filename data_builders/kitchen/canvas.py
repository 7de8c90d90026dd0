"""A small antialiased canvas in unit coordinates, and helpers for shapes and colours."""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]
Paint = tuple[int, int, int, int] | Colour
Point = tuple[float, float]

CLEAR = (0, 0, 0, 0)
"""Makes a shape transparent."""
_SUPERSAMPLING = 3


class Canvas:
    """A transparent square with x to the right and y down, both in [-1, 1].

    It is drawn enlarged and reduced once at the end, which antialiases it.

    Args:
        pixels: Width of the finished image.
    """

    def __init__(self, pixels: int):
        self._pixels = pixels
        self._half = pixels * _SUPERSAMPLING / 2
        self._image = Image.new("RGBA", (pixels * _SUPERSAMPLING,) * 2)
        self._draw = ImageDraw.Draw(self._image)

    def disc(self, x: float, y: float, radius: float, colour: Paint) -> None:
        """Draws a filled circle."""
        self.ellipse(x, y, radius, radius, colour)

    def ellipse(self, x: float, y: float, rx: float, ry: float, colour: Paint, turn: float = 0.0) -> None:
        """Draws a filled ellipse rotated by `turn` radians."""
        if turn:
            self.polygon(ellipse_points(x, y, rx, ry, turn), colour)
        else:
            self._draw.ellipse(self._box(x, y, rx, ry), fill=colour)

    def polygon(self, points: Sequence[Point], colour: Paint) -> None:
        """Draws a filled polygon."""
        self._draw.polygon([self._at(point) for point in points], fill=colour)

    def box(self, x: float, y: float, rx: float, ry: float, colour: Colour, radius: float = 0.0) -> None:
        """Draws an axis-aligned rectangle with half sides rx and ry and rounded corners."""
        self._draw.rounded_rectangle(self._box(x, y, rx, ry), radius=radius * self._half, fill=colour)

    def line(self, points: Sequence[Point], width: float, colour: Colour) -> None:
        """Draws a line through `points` with round ends and joints."""
        pixels = [self._at(point) for point in points]
        self._draw.line(pixels, fill=colour, width=max(1, round(width * self._half)), joint="curve")
        for x, y in (points[0], points[-1]):
            self.disc(x, y, width / 2, colour)

    def ring(self, x: float, y: float, radius: float, width: float, colour: Colour) -> None:
        """Draws the outline of a circle, `width` wide, inside `radius`."""
        self._draw.ellipse(self._box(x, y, radius, radius), outline=colour, width=max(1, round(width * self._half)))

    def radial(self, x: float, y: float, outer: float, inner: float, edge: Colour, centre: Colour) -> None:
        """Draws a radial gradient from `edge` at radius `outer` to `centre` at radius `inner`."""
        for share in np.linspace(0, 1, 12):
            self.disc(x, y, outer + (inner - outer) * share, mix(edge, centre, share))

    def glow(self, x: float, y: float, rx: float, ry: float, colour: Colour, strength: float) -> None:
        """Blends a soft ellipse of `colour` (a highlight or a shadow) into the image, keeping its alpha."""
        left, top, right, bottom = (round(value) for value in self._box(x, y, rx, ry))
        mask = _SOFT_DISC.resize((max(1, right - left), max(1, bottom - top))).point(lambda value: value * strength)
        patch = self._image.crop((left, top, right, bottom))
        tinted = Image.composite(Image.new("RGB", patch.size, colour), patch.convert("RGB"), mask)
        tinted.putalpha(patch.getchannel("A"))
        self._image.paste(tinted, (left, top))

    def image(self) -> Image.Image:
        """Returns the finished RGBA image."""
        return self._image.resize((self._pixels, self._pixels), Image.Resampling.BOX)

    def _at(self, point: Point) -> tuple[float, float]:
        return (point[0] + 1) * self._half, (point[1] + 1) * self._half

    def _box(self, x: float, y: float, rx: float, ry: float) -> list[float]:
        return [*self._at((x - rx, y - ry)), *self._at((x + rx, y + ry))]


def ellipse_points(
    x: float, y: float, rx: float, ry: float, turn: float = 0.0, start: float = 0.0, end: float = 2 * math.pi
) -> list[Point]:
    """Returns points of an elliptical arc from angle `start` to `end` (radians, clockwise on the screen)."""
    angles = np.linspace(start, end, 40)
    xs, ys = rx * np.cos(angles), ry * np.sin(angles)
    cos, sin = math.cos(turn), math.sin(turn)
    return list(zip((x + xs * cos - ys * sin).tolist(), (y + xs * sin + ys * cos).tolist(), strict=True))


def blob_points(
    rng: np.random.Generator, x: float, y: float, radius: float, wobble: float = 0.1, squash: float = 1.0
) -> list[Point]:
    """Returns points of a round, slightly irregular shape; `wobble` is the relative size of its waves."""
    angles = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    radii = np.ones_like(angles)
    for wave in (2, 3, 5):
        radii += wobble / math.sqrt(wave) * rng.uniform(-1, 1) * np.sin(wave * angles + rng.uniform(0, 2 * math.pi))
    xs, ys = radius * radii * np.cos(angles), radius * squash * radii * np.sin(angles)
    return list(zip((x + xs).tolist(), (y + ys).tolist(), strict=True))


def scalloped_points(x: float, y: float, radius: float, waves: int, depth: float) -> list[Point]:
    """Returns points of a disc with `waves` round bumps along its edge."""
    angles = np.linspace(0, 2 * math.pi, 12 * waves, endpoint=False)
    radii = radius * (1 - depth + depth * np.abs(np.cos(angles * waves / 2)))
    return list(zip((x + radii * np.cos(angles)).tolist(), (y + radii * np.sin(angles)).tolist(), strict=True))


def turned(points: Sequence[Point], turn: float, centre: Point = (0.0, 0.0)) -> list[Point]:
    """Rotates `points` around `centre` by `turn` radians."""
    cos, sin = math.cos(turn), math.sin(turn)
    cx, cy = centre
    return [(cx + (x - cx) * cos - (y - cy) * sin, cy + (x - cx) * sin + (y - cy) * cos) for x, y in points]


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Interpolates between two colours."""
    red, green, blue = (round(a + (b - a) * float(share)) for a, b in zip(first, second, strict=True))
    return red, green, blue


def darker(colour: Colour, share: float = 0.25) -> Colour:
    """Mixes a share of black into `colour`."""
    return mix(colour, (0, 0, 0), share)


def lighter(colour: Colour, share: float = 0.25) -> Colour:
    """Mixes a share of white into `colour`."""
    return mix(colour, (255, 255, 255), share)


def varied(rng: np.random.Generator, colour: Colour, amount: int = 12) -> Colour:
    """Changes each channel of `colour` by a random number from -`amount` to `amount`."""
    red, green, blue = (int(np.clip(channel + rng.integers(-amount, amount + 1), 0, 255)) for channel in colour)
    return red, green, blue


def _soft_disc() -> Image.Image:
    disc = Image.new("L", (96, 96))
    ImageDraw.Draw(disc).ellipse([20, 20, 76, 76], fill=255)
    return disc.filter(ImageFilter.GaussianBlur(10))


_SOFT_DISC = _soft_disc()
