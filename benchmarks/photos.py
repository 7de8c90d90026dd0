"""How many photos the converter makes small and writes in a second, beside plain loops with Pillow.

    python -m data_builders.kitchen --out DIR/download --recipes 10000 --photo-size 512 --seed 1
    python -m benchmarks.photos --download DIR/download --scratch DIR

Each run is a process of its own, from its start to its end; they take turns. What the whole command takes beside the
photos, whatever their number, is known from a conversion of few recipes.
"""

import argparse
import collections
import functools
import json
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from adamine_jax.base.cores import available_cores
from adamine_jax.recipes.decoding import JPEG_QUALITY
from benchmarks.converter import write_vocabulary
from benchmarks.machine import describe_machine
from data_builders.recipe1m.options import Options

RESULTS = Path(__file__).parent / "results" / "photos.md"
GOAL = 500
SIDE = 256
FEW = 200
EVERY = 4  # Pillow's loops take every fourth photo


def prepare(download: Path, vocabulary: Path, folder: Path) -> int:
    """All that the converter does before TFDS writes: photos are read, made small, and wait in a file."""
    from data_builders.recipe1m.conversion import Conversion

    conversion = Conversion(download, Options(vocab=vocabulary), folder, available_cores())
    conversion.prepare()
    return conversion.report.photos_used.total()


def build(download: Path, vocabulary: Path, folder: Path, recipes: int = 0) -> int:
    """The whole conversion, TFRecords included."""
    from data_builders.recipe1m.build import build

    options = Options(vocab=vocabulary, limit=recipes)
    place, _ = build(download, folder / "data", options, workers=available_cores(), overwrite=False)
    return json.loads((place / "report.json").read_bytes())["photos"]["used"]


def build_few(download: Path, vocabulary: Path, folder: Path) -> int:
    """The whole conversion of `FEW` recipes."""
    return build(download, vocabulary, folder, FEW)


def reduce_with_pillow(folder: Path, path: Path) -> bool:
    """Reads a photo, makes it small, and writes it again; False: it is one of those that a kitchen damages."""
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
    """One photo after the other."""
    return sum(reduce_with_pillow(folder, path) for path in photos_of(download)[::EVERY])


def pillow_pool(download: Path, vocabulary: Path, folder: Path) -> int:
    """The same by as many processes as there are cores."""
    with multiprocessing.Pool(available_cores()) as pool:
        return sum(pool.map(functools.partial(reduce_with_pillow, folder), photos_of(download)[::EVERY], chunksize=16))


PARTS = {
    prepare: "the converter, up to the records",
    build: "the converter, TFRecords written",
    build_few: f"the same with {FEW} recipes",
    pillow_loop: "Pillow, a loop",
    pillow_pool: "Pillow, a pool of processes",
}


def stages(paths: list[Path]) -> dict[str, float]:
    """Median milliseconds of one core for each part of what the converter does with a photo."""
    from adamine_jax.recipes.decoding import decode_plain_jpeg, reduced

    times = collections.defaultdict(list)
    for path in filter(_is_whole, paths):
        start = time.thread_time()
        data = path.read_bytes()
        reduced(data, SIDE)
        whole = time.thread_time() - start
        start = time.thread_time()
        pixels, _ = decode_plain_jpeg(data, SIDE)
        decoding = time.thread_time() - start
        start = time.thread_time()
        if (scale := SIDE / min(pixels.shape[:2])) < 1:
            size = [round(side * scale) for side in pixels.shape[1::-1]]
            np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        reducing = time.thread_time() - start
        parts = {"decoding": decoding, "reducing": reducing, "encoding and the rest": whole - decoding - reducing}
        for name, seconds in (parts | {"altogether": whole}).items():
            times[name].append(1000 * seconds)
    return {name: float(np.median(measured)) for name, measured in times.items()}


def photos_of(download: Path) -> list[Path]:
    """The photos of a kitchen."""
    return sorted((download / "images").rglob("*.jpg"))


def _is_whole(path: Path) -> bool:
    data = path.read_bytes()
    return data.startswith(b"\xff\xd8") and data.endswith(b"\xff\xd9")


def main() -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--download", type=Path, required=True, help="a kitchen")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for what the runs write")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    vocabulary = options.scratch / "photos_vocab.txt"
    if options.part:
        part = next(part for part in PARTS if part.__name__ == options.part)
        folder = Path(tempfile.mkdtemp(dir=options.scratch))
        start = time.perf_counter()
        photos = part(options.download, vocabulary, folder)
        print(photos, time.perf_counter() - start)
        shutil.rmtree(folder)
        return
    options.scratch.mkdir(parents=True, exist_ok=True)
    write_vocabulary(options.download, vocabulary)
    one = stages(photos_of(options.download)[:300])
    runs = [{part: _photos_and_seconds(part.__name__, options) for part in PARTS} for _ in range(options.repeats)]
    photos = {part: runs[0][part][0] for part in PARTS}
    seconds = {part: float(np.median([run[part][1] for run in runs])) for part in PARTS}
    rates = {name: photos[part] / seconds[part] for part, name in PARTS.items() if part is not build_few}
    further = (photos[build] - photos[build_few]) / (seconds[build] - seconds[build_few])
    rates["the converter, TFRecords written, each further photo"] = further
    slowest = rates[PARTS[pillow_loop]]
    lines = [
        "# Photos",
        "",
        f"`python -m benchmarks.photos`, {photos[build]:,} photos of a kitchen of 512 pixels a side → {SIDE}, JPEG of "
        f"quality {JPEG_QUALITY}; medians of {options.repeats} runs in turns. {describe_machine()}",
        "",
        "| | photos/s | beside the loop |",
        "|---|---:|---:|",
        *(f"| {name} | {rate:.0f} | {rate / slowest:.2f} |" for name, rate in rates.items()),
        "",
        f"Goal: {GOAL} photos/s with writing, on two cores. The whole command takes {seconds[build]:.1f} s, and "
        f"{seconds[build_few]:.1f} s with {FEW} recipes, of {photos[build_few]} photos: TensorFlow's start and the "
        "report's pictures, whatever the number of photos; the last line of the table leaves them out. Up to the "
        "records, photos wait in one file, the spool. Pillow's loops take every fourth photo. The converter lets JPEGs "
        "be decoded at a fraction of their size where that is enough, here half of it; Pillow's loops decode all.",
        "",
        f"One photo takes {one['altogether']:.2f} ms of a core: "
        + ", ".join(f"{name} {ms:.2f}" for name, ms in one.items() if name != "altogether")
        + f". {available_cores()} cores can do {1000 * available_cores() / one['altogether']:.0f} a second at most.",
        "",
    ]
    options.out.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


def _photos_and_seconds(part: str, options: argparse.Namespace) -> tuple[int, float]:
    line = [sys.executable, "-m", "benchmarks.photos", "--part", part]
    line += ["--download", str(options.download), "--scratch", str(options.scratch)]
    process = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    photos, seconds = process.stdout.split()[-2:]
    return int(photos), float(seconds)


if __name__ == "__main__":
    main()
