"""Measures how many photos per second the converter resizes and writes, compared with loops that use Pillow.

    python -m data_builders.kitchen --out DIR/download --recipes 10000 --photo-size 512 --seed 1
    python -m benchmarks.photos --download DIR/download --scratch DIR

Each run is timed in a separate process. A conversion of few recipes measures the part of the command's time that does
not depend on the number of photos.
"""

import argparse
import collections
import functools
import json
import multiprocessing
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from adamine_jax.base.cores import available_cores
from adamine_jax.recipes.decoding import JPEG_QUALITY, decode_plain_jpeg, reduced
from benchmarks.converter import write_vocabulary
from benchmarks.harness import describe_machine, own_process, results_parser, write_page
from data_builders.recipe1m.options import Options

GOAL = 500
SIDE = 256
FEW = 200
EVERY = 4  # Pillow's loops read every fourth photo


def prepare(download: Path, vocabulary: Path, folder: Path) -> int:
    """Converts up to the point where TFDS writes: photos are read, resized and spooled to a file."""
    from data_builders.recipe1m.conversion import Conversion

    conversion = Conversion(download, Options(vocab=vocabulary), folder, available_cores())
    conversion.prepare()
    return conversion.report.photos_used.total()


def build(download: Path, vocabulary: Path, folder: Path, recipes: int = 0) -> int:
    """Converts to TFRecords."""
    from data_builders.recipe1m.build import build

    options = Options(vocab=vocabulary, limit=recipes)
    dataset, _ = build(download, folder / "data", options, workers=available_cores(), overwrite=False)
    return json.loads((dataset / "report.json").read_bytes())["photos"]["used"]


def reduce_with_pillow(folder: Path, path: Path) -> bool:
    """Reads, resizes and writes a photo; returns False for a photo that the kitchen damaged."""
    try:
        with Image.open(path) as image:
            image = image.convert("RGB")
            scale = min(SIDE / min(image.size), 1)
            image = image.resize([round(side * scale) for side in image.size], Image.Resampling.BILINEAR)
            image.save(folder / path.name, quality=JPEG_QUALITY)
            return True
    except OSError:
        return False


def pillow_loop(download: Path, vocabulary: Path, folder: Path) -> int:
    """Resizes photos in one process."""
    return sum(reduce_with_pillow(folder, path) for path in photos_of(download)[::EVERY])


def pillow_pool(download: Path, vocabulary: Path, folder: Path) -> int:
    """Resizes photos in one process per core."""
    with multiprocessing.Pool(available_cores()) as pool:
        return sum(pool.map(functools.partial(reduce_with_pillow, folder), photos_of(download)[::EVERY], chunksize=16))


PARTS = {
    "prepare": ("the converter, before TFDS writes", prepare),
    "build": ("the converter, with TFRecords", build),
    "build_few": ("", functools.partial(build, recipes=FEW)),
    "pillow_loop": ("Pillow, a loop", pillow_loop),
    "pillow_pool": ("Pillow, a process pool", pillow_pool),
}
"""Row of the table and function by part; `build_few` has no row of its own."""


def stages(paths: list[Path]) -> dict[str, float]:
    """Returns the median milliseconds of one core per photo, for each step of the converter."""
    times = collections.defaultdict(list)
    for path in paths:
        data = path.read_bytes()
        if not (data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")):
            continue
        start = time.thread_time()
        data = path.read_bytes()
        reduced(data, SIDE)
        total = time.thread_time() - start
        start = time.thread_time()
        pixels, _ = decode_plain_jpeg(data, SIDE)
        decoding = time.thread_time() - start
        start = time.thread_time()
        if (scale := SIDE / min(pixels.shape[:2])) < 1:
            size = [round(side * scale) for side in pixels.shape[1::-1]]
            np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        resizing = time.thread_time() - start
        parts = {"decoding": decoding, "resizing": resizing, "encoding and other work": total - decoding - resizing}
        for name, seconds in (parts | {"total": total}).items():
            times[name].append(1000 * seconds)
    return {name: float(np.median(measured)) for name, measured in times.items()}


def photos_of(download: Path) -> list[Path]:
    """Returns the photo files of a kitchen."""
    return sorted((download / "images").rglob("*.jpg"))


def run_part(name: str, download: Path, vocabulary: Path) -> None:
    """Runs a part and prints its number of photos and seconds."""
    _, part = PARTS[name]
    folder = Path(tempfile.mkdtemp(dir=vocabulary.parent))
    start = time.perf_counter()
    photos = part(download, vocabulary, folder)
    print(photos, time.perf_counter() - start)
    shutil.rmtree(folder)


def main() -> None:
    """Measures and writes the page."""
    parser = results_parser("photos", __doc__)
    parser.add_argument("--download", type=Path, required=True, help="kitchen before conversion")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for temporary files")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each part; default: 3")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    vocabulary = flags.scratch / "photos_vocab.txt"
    if flags.part:
        run_part(flags.part, flags.download, vocabulary)
        return
    flags.scratch.mkdir(parents=True, exist_ok=True)
    write_vocabulary(flags.download, vocabulary)
    milliseconds = stages(photos_of(flags.download)[:300])
    total = milliseconds.pop("total")
    photos, runs = {}, {part: [] for part in PARTS}
    for _ in range(flags.repeats):
        for part, measured in runs.items():
            arguments = ("--part", part, "--download", flags.download, "--scratch", flags.scratch)
            *_, count, duration = own_process("photos", *arguments).split()
            photos[part] = int(count)
            measured.append(float(duration))
    seconds = {part: float(np.median(measured)) for part, measured in runs.items()}
    rates = {row: photos[part] / seconds[part] for part, (row, _) in PARTS.items() if row}
    additional = (photos["build"] - photos["build_few"]) / (seconds["build"] - seconds["build_few"])
    rates["the converter, with TFRecords, per additional photo"] = additional
    slowest = rates["Pillow, a loop"]
    cores = available_cores()
    lines = [
        "# Photos",
        "",
        f"`python -m benchmarks.photos`: {photos['build']:,} photos of a kitchen, 512 pixels → {SIDE}, JPEG quality "
        f"{JPEG_QUALITY}; medians of {flags.repeats} runs in turns. {describe_machine()}",
        "",
        "| | photos/s | relative to the Pillow loop |",
        "|---|---:|---:|",
        *(f"| {name} | {rate:.0f} | {rate / slowest:.2f} |" for name, rate in rates.items()),
        "",
        f"Goal: {GOAL} photos/s on two cores, with TFRecords. The whole command takes {seconds['build']:.1f} s, and "
        f"{seconds['build_few']:.1f} s with {FEW} recipes ({photos['build_few']} photos), most of which is "
        "TensorFlow's start and the figures of the report; the last row excludes this fixed cost. Before TFDS writes, "
        "photos are spooled to one file. Pillow's loops process every fourth photo. The converter decodes JPEGs at a "
        "fraction of their size where that is enough (here, half the size); Pillow's loops decode them at full size.",
        "",
        f"One photo takes {total:.2f} ms of a core: "
        + ", ".join(f"{name} {value:.2f}" for name, value in milliseconds.items())
        + f". {cores} cores can process at most {1000 * cores / total:.0f} photos/s.",
    ]
    write_page(flags.page, lines)


if __name__ == "__main__":
    main()
