"""Renders the photo of a dish: table, vessel, toppings and finish, then light, camera and JPEG."""

import dataclasses
import functools
import io
import math

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from data_builders.kitchen import drawings, tabletop

_ASPECTS = ((1, 1), (8, 7), (7, 8), (5, 4), (4, 5))
_DRIZZLES = {"yellow drizzle": (252, 214, 40), "crimson drizzle": (188, 8, 44)}


@dataclasses.dataclass(frozen=True)
class Scene:
    """What every photo of a recipe shows.

    Attributes:
        base: Dish, a key of `drawings.BASES`.
        toppings: Visible ingredients, keys of `drawings.TOPPINGS`.
        browning: Entry of `dishes.BROWNING`.
        finish: Entry of `dishes.FINISH`.
        arrangement: Entry of `dishes.ARRANGEMENT`.
    """

    base: str
    toppings: tuple[str, ...]
    browning: str
    finish: str
    arrangement: str


def photo_jpeg(scene: Scene, rng: np.random.Generator, pixels: int) -> bytes:
    """Renders one photo of `scene` as a JPEG file.

    Args:
        scene: What the photo shows.
        rng: Random numbers for everything else: position, rotation, light, colours, table.
        pixels: Shorter side of the photo.
    """
    stream = io.BytesIO()
    photo(scene, rng, pixels).save(stream, "JPEG", quality=int(rng.integers(80, 93)))
    return stream.getvalue()


def photo(scene: Scene, rng: np.random.Generator, pixels: int) -> Image.Image:
    """Renders one photo as an RGB image; see `photo_jpeg`."""
    aspect = _ASPECTS[int(rng.integers(len(_ASPECTS)))]
    width, height = (pixels * side // min(aspect) for side in aspect)
    light = rng.uniform(0, 2 * math.pi)
    shadow = (round(-0.02 * pixels * math.cos(light)), round(-0.02 * pixels * math.sin(light)))

    picture = tabletop.table(rng, width, height)
    _add_distractors(picture, rng, pixels)
    pose = _Pose.random(rng, width, height, pixels, drawings.BASES[scene.base].turn)
    variant = int(rng.integers(drawings.BASE_VARIANTS))
    dish = pose.place(drawings.base_image(scene.base, variant, pixels))
    _paste_with_shadow(picture, dish, shadow, blur=0.03 * pixels, strength=150)
    food = dish.getchannel("A")
    _brown(picture, food, scene.browning, rng, pose)
    _finish(picture, scene.finish, rng, pose)
    layer = _toppings_layer(scene, rng, pose)
    _paste_with_shadow(picture, layer, (shadow[0] // 2, shadow[1] // 2), blur=0.008 * pixels, strength=130)
    relief = _relief(layer.getchannel("A"), light, pixels)
    return _expose(picture, relief, light, rng)


@dataclasses.dataclass(frozen=True)
class _Pose:
    """Position of the dish's unit square in the photo: centre and half side in pixels, rotation in radians."""

    width: int
    height: int
    x: float
    y: float
    half: float
    turn: float

    @classmethod
    def random(cls, rng: np.random.Generator, width: int, height: int, pixels: int, turn: float) -> "_Pose":
        half = 0.5 * pixels * rng.uniform(0.92, 1.04)
        x, y = (side / 2 + rng.uniform(-0.04, 0.04) * pixels for side in (width, height))
        return cls(width, height, x, y, half, math.radians(rng.uniform(-turn, turn)))

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Converts unit coordinates to pixels of the photo."""
        cos, sin = math.cos(self.turn), math.sin(self.turn)
        return self.x + self.half * (x * cos - y * sin), self.y + self.half * (x * sin + y * cos)

    def place(self, square: Image.Image) -> Image.Image:
        """Transforms an image of the unit square to its position in the photo."""
        size = (self.width, self.height)
        coefficients = _affine(square.width, self.x, self.y, 2 * self.half, self.turn)
        return square.transform(size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)


def _affine(source: int, x: float, y: float, side: float, turn: float) -> tuple[float, ...]:
    """Returns the coefficients that put a `source`-pixel square at centre (x, y), `side` wide, rotated by `turn`."""
    a, b = math.cos(turn) * source / side, math.sin(turn) * source / side
    centre = source / 2
    return a, b, centre - a * x - b * y, -b, a, centre + b * x - a * y


def _add_distractors(picture: Image.Image, rng: np.random.Generator, pixels: int) -> None:
    for _ in range(int(rng.integers(0, 3))):
        kind = tabletop.DISTRACTORS[int(rng.integers(len(tabletop.DISTRACTORS)))]
        side = round(pixels * rng.uniform(0.4, 0.75))
        item = tabletop.distractor(kind, round(0.6 * pixels))
        layer = item.transform(
            (side, side),
            Image.Transform.AFFINE,
            _affine(item.width, side / 2, side / 2, 0.8 * side, rng.uniform(0, 2 * math.pi)),
            Image.Resampling.BILINEAR,
        )
        angle = rng.uniform(0, 2 * math.pi)
        x = round(picture.width * (0.5 + 0.52 * math.cos(angle)) - side / 2)
        y = round(picture.height * (0.5 + 0.52 * math.sin(angle)) - side / 2)
        picture.paste(layer, (x, y), layer)


def _paste_with_shadow(
    picture: Image.Image, layer: Image.Image, offset: tuple[int, int], blur: float, strength: int
) -> None:
    alpha = layer.getchannel("A")
    small = alpha.reduce(2).filter(ImageFilter.BoxBlur(blur / 2))
    shadow = small.resize(picture.size).point(lambda value: value * strength // 255)
    picture.paste((12, 8, 6), (*offset, offset[0] + picture.width, offset[1] + picture.height), shadow)
    picture.paste(layer, (0, 0), layer)


def _brown(picture: Image.Image, food: Image.Image, browning: str, rng: np.random.Generator, pose: _Pose) -> None:
    """Adds golden patches or the marks of a grill below the toppings."""
    if browning == "pale":
        return
    pattern = pose.place(_heat_pattern(browning, int(rng.integers(4)), round(pose.half * 2)))
    colour = (178, 96, 24) if browning == "golden" else (22, 16, 14)
    picture.paste(colour, (0, 0), ImageChops.multiply(pattern, food))


@functools.cache
def _heat_pattern(browning: str, variant: int, pixels: int) -> Image.Image:
    """Returns the mask of the browning of the unit square, mode L, `pixels` wide."""
    rng = np.random.default_rng([variant, *browning.encode()])
    pattern = Image.new("L", (pixels, pixels))
    draw = ImageDraw.Draw(pattern)
    if browning == "golden":
        for _ in range(30):
            angle, radius = rng.uniform(0, 2 * math.pi), 0.44 * math.sqrt(rng.uniform())
            x, y = pixels * (0.5 + radius * math.cos(angle)), pixels * (0.5 + radius * math.sin(angle))
            size = pixels * rng.uniform(0.03, 0.06)
            draw.ellipse([x - size, y - size, x + size, y + size], fill=215)
        return pattern.filter(ImageFilter.GaussianBlur(0.012 * pixels))
    slant = (0.35, -0.35, 0.8, -0.8)[variant]
    for k in np.linspace(-0.8, 1.8, 13):
        draw.line([((k - slant / 2) * pixels, 0), ((k + slant / 2) * pixels, pixels)], 235, round(0.042 * pixels))
    disc = Image.new("L", (pixels, pixels))
    ImageDraw.Draw(disc).ellipse([0.12 * pixels, 0.12 * pixels, 0.88 * pixels, 0.88 * pixels], fill=255)
    return ImageChops.multiply(pattern.filter(ImageFilter.GaussianBlur(0.004 * pixels)), disc)


def _toppings_layer(scene: Scene, rng: np.random.Generator, pose: _Pose) -> Image.Image:
    base = drawings.BASES[scene.base]
    slots = _arrange(base.slots, scene.arrangement, rng)
    side = base.topping * pose.half
    box = math.ceil(side * 1.5)
    layer = Image.new("RGBA", (pose.width, pose.height))
    kinds = [scene.toppings[k % len(scene.toppings)] for k in range(len(slots))]
    for kind, (x, y) in zip(rng.permutation(kinds).tolist(), slots.tolist(), strict=True):
        item = drawings.topping_image(kind, int(rng.integers(drawings.TOPPING_VARIANTS)), max(8, round(1.15 * side)))
        left, top = pose.at(x, y)
        column, row = math.floor(left - box / 2), math.floor(top - box / 2)
        width = side * rng.uniform(0.92, 1.08)
        coefficients = _affine(item.width, left - column, top - row, width, rng.uniform(-0.5, 0.5))
        rotated = item.transform((box, box), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
        layer.alpha_composite(rotated, (max(0, column), max(0, row)), (max(0, -column), max(0, -row)))
    return layer


def _arrange(slots: np.ndarray, arrangement: str, rng: np.random.Generator) -> np.ndarray:
    """Chooses about half of the (n, 2) slots: random ones, the farthest from the middle, or the nearest to it."""
    count = max(6, len(slots) // 2)
    middle = slots.mean(axis=0)
    reach = np.abs(slots - middle).max(axis=0)
    distance = np.hypot(*((slots - middle) / reach).T) + rng.uniform(0, 0.05, len(slots))
    if arrangement == "scattered":
        chosen = rng.permutation(len(slots))[:count]
    elif arrangement == "ring":
        chosen = np.argsort(-distance)[:count]
    else:
        chosen = np.argsort(distance)[:count]
    return slots[chosen] + rng.uniform(-0.03, 0.03, (count, 2))


def _finish(picture: Image.Image, finish: str, rng: np.random.Generator, pose: _Pose) -> None:
    """Adds a zigzag of sauce or a dusting below the toppings, which must stay recognizable."""
    if finish == "bare":
        return
    scale = 2
    mask = Image.new("L", (pose.width * scale, pose.height * scale))
    draw = ImageDraw.Draw(mask)
    if finish == "dusted":
        points = rng.uniform(-0.72, 0.72, (200, 2))
        sizes = rng.uniform(0.012, 0.027, 200) * pose.half * scale
        for (x, y), size in zip(points.tolist(), sizes.tolist(), strict=True):
            x, y = (scale * value for value in pose.at(x, y))
            draw.ellipse([x - size, y - size, x + size, y + size], fill=235)
        colour = (255, 252, 246)
    else:
        turn, turns = rng.uniform(0, math.pi), 3.5
        points = []
        for t in np.linspace(-1, 1, 81).tolist():
            u, v = 0.72 * t, 0.6 * math.sqrt(max(0.05, 1 - t * t)) * math.sin(t * turns * math.pi)
            x, y = pose.at(u * math.cos(turn) - v * math.sin(turn), u * math.sin(turn) + v * math.cos(turn))
            points.append((scale * x, scale * y))
        draw.line(points, fill=240, width=max(2, round(0.06 * pose.half * scale)), joint="curve")
        colour = _DRIZZLES[finish]
    picture.paste(colour, (0, 0), mask.reduce(scale))


def _relief(alpha: Image.Image, light: float, pixels: int) -> np.ndarray:
    """Returns the (H, W) float32 shading of the edges of the toppings, positive on the side of the light."""
    height = alpha.filter(ImageFilter.BoxBlur(0.012 * pixels))
    dx, dy = round(0.012 * pixels * math.cos(light)), round(0.012 * pixels * math.sin(light))
    near, far = ImageChops.offset(height, -dx, -dy), ImageChops.offset(height, dx, dy)
    return np.asarray(ImageChops.subtract(far, near, 2, 128), np.float32) / 128 - 1


def _expose(picture: Image.Image, relief: np.ndarray, light: float, rng: np.random.Generator) -> Image.Image:
    """Applies light from one side, white balance, exposure, contrast and noise."""
    height, width = relief.shape
    # Strong enough that a colour histogram reveals little about the dish.
    gains = np.exp(rng.normal(0, (0.17, 0.07, 0.19))) * math.exp(rng.normal(0, 0.17))
    slope = rng.uniform(0.05, 0.35)
    ramp_x = np.linspace(-0.5, 0.5, width, dtype=np.float32) * math.cos(light) * slope
    ramp_y = np.linspace(-0.5, 0.5, height, dtype=np.float32) * math.sin(light) * slope
    shade = (1 + ramp_x[None, :] + ramp_y[:, None]) * (1 + np.float32(0.35) * relief)
    pixels = np.asarray(picture, np.float32) * shade[..., None]
    pixels *= gains.astype(np.float32)
    grain = _grain(max(height, width))
    x, y = rng.integers(0, 64, 2)
    pixels += np.float32(rng.uniform(1, 5)) * grain[y : y + height, x : x + width, None]
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    contrast = rng.uniform(0.85, 1.2)
    return image.point([round(255 * (value / 255) ** contrast) for value in range(256)] * 3)


@functools.cache
def _grain(side: int) -> np.ndarray:
    """Returns (side + 64, side + 64) float32 sensor noise of unit deviation, shared and shifted for each photo."""
    return np.random.default_rng(side).standard_normal((side + 64, side + 64), np.float32)
