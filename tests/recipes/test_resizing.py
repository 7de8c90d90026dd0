"""Photos as pretrained image encoders expect them, compared with Pillow and with the processors of transformers."""

import io

import numpy as np
import pytest
from PIL import Image

from adamine_jax.recipes.crops import Resizing, center_crops, random_crops

SIZE = 224
ENCODERS = {
    "resnet": (256, Resizing()),
    "clip": (224, Resizing("bicubic")),
    "dinov2": (256, Resizing("bicubic")),
    "siglip": (224, Resizing("bicubic", squash=True)),
    "siglip2, vit": (224, Resizing("bilinear", squash=True)),
}
"""Length that photos are resized to, and how."""

# (width, height) of stored photos: their shorter side is at most 256 pixels.
SIZES = [
    (256, 256),
    (341, 256),
    (256, 455),
    (257, 256),
    (256, 1000),
    (1400, 256),
    (224, 224),
    (224, 299),
    (300, 225),
    (90, 121),
    (33, 20),
]


def photo(width, height):
    """Returns a photo with much detail, as a JPEG file and as decoded."""
    rng = np.random.default_rng(width)
    coarse = rng.integers(0, 256, (height // 3 + 2, width // 3 + 2, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    return file.getvalue(), Image.open(file).convert("RGB")


def crop_of(jpeg, crops, draw=(0, 0, 0)):
    crop, is_decoded = crops([jpeg], np.array([draw], np.float32))
    assert is_decoded.all()
    return crop[0].astype(int)


def resized(image, resize, resizing):
    """Returns the whole resized photo; torchvision and transformers round the longer side down."""
    shorter = min(image.size)
    sides = [resize, resize] if resizing.squash else [resize * side // shorter for side in image.size]
    return np.asarray(image.resize(sides, Image.Resampling[resizing.resample.upper()])).astype(int)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("encoder", ENCODERS)
def test_central_crops_are_those_of_the_whole_photo_resized_by_pillow(encoder, width, height):
    resize, resizing = ENCODERS[encoder]
    jpeg, image = photo(width, height)
    whole = resized(image, resize, resizing)
    top, left = ((side - SIZE) // 2 for side in whole.shape[:2])
    crop = crop_of(jpeg, center_crops(resize, SIZE, resizing))
    assert np.abs(crop - whole[top : top + SIZE, left : left + SIZE]).max() <= 1


@pytest.mark.parametrize(("width", "height"), [(256, 455), (341, 256), (90, 121)])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_random_crops_are_windows_of_the_resized_photo(encoder, width, height):
    _, resizing = ENCODERS[encoder]
    jpeg, image = photo(width, height)
    whole = resized(image, 240, resizing)
    slack = [side - SIZE for side in whole.shape[:2]]
    for draw in [(0, 0, 0), (0.99, 0.99, 0.9), (0.4, 0.7, 0.2)]:
        top, left = (int(share * (pixels + 1)) for share, pixels in zip(draw, slack, strict=False))
        expected = whole[top : top + SIZE, left : left + SIZE]
        crop = crop_of(jpeg, random_crops(240, SIZE, True, resizing), draw)
        # Both passes of the bilinear filter round, and only the window is computed.
        assert np.abs(crop - (expected[:, ::-1] if draw[2] >= 0.5 else expected)).max() <= 2


@pytest.mark.parametrize(("width", "height"), [(448, 448), (460, 1900), (1900, 460), (900, 2000)])
@pytest.mark.parametrize("encoder", ["clip", "siglip", "siglip2, vit"])
def test_large_photos_are_decoded_at_a_fraction_of_their_size(encoder, width, height):
    """The pixels change little; a shift by one pixel would change them by more than that."""
    resize, resizing = ENCODERS[encoder]
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (height // 20, width // 20, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize((width, height), Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
    whole = resized(Image.open(file), resize, resizing)
    top, left = ((side - SIZE) // 2 for side in whole.shape[:2])
    difference = np.abs(
        crop_of(file.getvalue(), center_crops(resize, SIZE, resizing)) - whole[top : top + SIZE, left : left + SIZE]
    )
    assert difference.mean() < 1
    assert difference.max() < 12


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize(
    ("encoder", "module", "processor"),
    [
        ("clip", "clip", "CLIPImageProcessorPil"),
        ("dinov2", "bit", "BitImageProcessorPil"),
        ("siglip", "siglip", "SiglipImageProcessorPil"),
        ("siglip2, vit", "vit", "ViTImageProcessorPil"),
    ],
)
def test_the_processors_of_transformers_return_the_same_pixels(encoder, module, processor, width, height):
    processors = pytest.importorskip(f"transformers.models.{module}.image_processing_pil_{module}")
    resize, resizing = ENCODERS[encoder]
    jpeg, image = photo(width, height)
    size = {"height": resize, "width": resize} if resizing.squash else {"shortest_edge": resize}
    process = getattr(processors, processor)(size=size, do_rescale=False, do_normalize=False)
    pixels = process(image, return_tensors="np")["pixel_values"][0].transpose(1, 2, 0)
    assert np.abs(crop_of(jpeg, center_crops(resize, SIZE, resizing)) - pixels).max() <= 1
