"""Files of every format with damaged structure are decoded or refused, within two seconds and in bounded memory."""

import io
import json
import subprocess
import sys
import time
import warnings
import zlib

import numpy as np
import psutil
import pytest
from PIL import Image

from adamine_jax.recipes.decoding import reduced
from adamine_jax.recipes.photo_structure import UnreadablePhotoError

FILES, SECONDS, MEMORY = 2000, 2.0, 1500e6
SIDES = (0, 1, 8, 255, 256, 4000, 8000, 16_000, 65_535)


def seeds():
    """Returns intact files of every format and encoder option."""
    noise = np.random.default_rng(0).integers(0, 256, (96, 130, 3), np.uint8)
    colour = Image.fromarray(noise).resize((260, 190))
    exif = Image.Exif()
    exif[0x0112], exif[0x9286] = 6, "a comment"
    frames = {"save_all": True, "append_images": [colour.rotate(90), colour.rotate(180)]}
    kinds = [("JPEG", {"progressive": progressive, "exif": exif}) for progressive in (False, True)]
    kinds += [("JPEG", {"restart_marker_blocks": 4}), ("PNG", {"exif": exif}), ("WEBP", {"exif": exif.tobytes()})]
    kinds += [("WEBP", {"lossless": True}), ("WEBP", frames), ("GIF", {}), ("GIF", frames), ("BMP", {})]
    packings = ("raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg", "group4", "tiff_ccitt")
    images = [(colour, kind, options) for kind, options in kinds]
    images += [(colour.convert("CMYK"), "JPEG", {}), (colour.convert("L"), "JPEG", {"progressive": True})]
    images += [(colour.convert(mode), "PNG", {}) for mode in ("1", "P", "LA", "RGBA", "I;16")]
    for packing in packings:
        images.append((colour.convert("1" if packing in packings[-2:] else "RGB"), "TIFF", {"compression": packing}))
    large = Image.new("RGB", (7990, 8000), "grey")  # little data for many pixels
    images += [(large, "JPEG", {"progressive": True}), (large, "PNG", {"compress_level": 1}), (large, "GIF", {})]
    images += [(large, "WEBP", {"lossless": True}), (large, "TIFF", {"compression": "tiff_lzw"})]
    return [stored(*image) for image in images]


def stored(image, kind, options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def parts_of(data):
    """Returns the offsets where segments, chunks, blocks and directory entries probably begin."""
    if data.startswith(b"\xff\xd8"):
        return [place for place in range(len(data) - 1) if data[place] == 0xFF and data[place + 1] not in (0, 0xFF)]
    names = (b"IHDR", b"PLTE", b"IDAT", b"eXIf", b"IEND", b"VP8", b"ANM", b"EXIF", b"\0!", b"\0,", b"\1\3\0", b"\1\4\0")
    places = [place - 4 for name in names if (place := data.find(name)) >= 4]
    return sorted({0, 8, 16, 26, *places})


def damaged(random, data):
    """Damages the structure of a file at a few random places."""
    data = bytearray(data)
    for _ in range(random.integers(1, 4)):
        places = [place for place in parts_of(bytes(data)) if place < len(data)] or [0]
        start, end = sorted(random.choice(places, 2).tolist())
        start, end = (start, end) if random.random() < 0.8 else sorted(random.integers(0, len(data) + 1, 2).tolist())
        change = random.integers(8)
        if change == 0:
            data[start:end] = b""
        elif change == 1:
            data[end:end] = data[start:end] * int(random.choice([1, 30, 3000]) * 1000 // max(end - start, 1000))
        elif change == 2:
            del data[start + 1 :]
        elif change == 3:
            for place in random.integers(0, len(data), 8):
                data[place] = random.integers(256)
        elif change == 4:
            side = int(random.choice(SIDES)).to_bytes(2, "big" if random.random() < 0.6 else "little")
            place = start + int(random.integers(0, 16))
            data[place : place + 2] = side
        elif change == 5:
            data[start : start + 12] = random.integers(0, 256, 12, np.uint8).tobytes()
        elif change == 6:
            data[start:start] = zlib.compress(bytes(int(random.choice([1000, 30_000_000]))))
        else:
            data[start + 4 : start + 8] = random.choice([b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff"])
        if len(data) > 8_000_000:
            break
    return repaired(bytes(data)) if random.random() < 0.8 else bytes(data)


def repaired(data):
    """Corrects the checksums of a PNG, without which nothing else is read."""
    if not data.startswith(b"\x89PNG"):
        return data
    fixed, offset = bytearray(data), 8
    while offset + 12 <= len(fixed):
        end = offset + 8 + int.from_bytes(fixed[offset : offset + 4], "big")
        fixed[end : end + 4] = zlib.crc32(fixed[offset + 4 : end]).to_bytes(4, "big")
        offset = end + 4
    return bytes(fixed)


def fuzz(count, seed):
    """Returns the number of decoded files, the longest time, and what raised another exception."""
    random, intact = np.random.default_rng(seed), seeds()
    decoded, slowest, errors = 0, 0.0, []
    for number in range(count):
        data = damaged(random, intact[number % len(intact)])
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                reduced(data, 256)
            decoded += 1
        except UnreadablePhotoError:
            pass
        except Exception as error:
            errors.append(f"file {number}: {type(error).__name__}: {error}")
        slowest = max(slowest, time.perf_counter() - start)
    return {"decoded": decoded, "slowest": slowest, "errors": errors, "intact": len(intact)}


@pytest.mark.parametrize("count", [25, pytest.param(FILES, marks=pytest.mark.slow)])
def test_damaged_files_are_decoded_or_refused_in_time(count):
    """In a process of its own, which a crash of a decoder would end."""
    program = f"import json\nfrom {__name__} import fuzz\nprint(json.dumps(fuzz({count}, 0)))"
    command, quiet = [sys.executable, "-c", program], subprocess.DEVNULL  # libtiff reports every damaged line
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True) as process:
        peak = 0
        while process.poll() is None:
            peak = max(peak, psutil.Process(process.pid).memory_info().rss)
            time.sleep(0.02)
        assert process.returncode == 0
        result = json.loads(process.stdout.read())
    assert not result["errors"]
    assert 0.05 * count < result["decoded"] < 0.9 * count  # the damage is neither harmless nor total
    assert result["slowest"] < SECONDS
    assert peak < MEMORY
