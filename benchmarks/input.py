"""Measures the input from TFRecords to host batches, compared with PyTorch loaders and with decoding alone.

    pip install -e '.[bench]'
    python -m data_builders.kitchen --out DIR/download --recipes 3000 --photo-size 320 --seed 1 --splits 0.9,0.05,0.05
    python -m data_builders.recipe1m --source DIR/download --out DIR/data --word-dim 64
    python -m benchmarks.input --data DIR/data

Each contender runs in a separate process on two cores; they alternate.
"""

import argparse
import asyncio
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from adamine_jax.base.errors import one_line_errors
from adamine_jax.base.extras import require
from adamine_jax.input import pipeline
from adamine_jax.input.damage import Damage
from adamine_jax.input.dataset import open_dataset
from adamine_jax.input.draws import Draws
from adamine_jax.input.plan import epoch_plan
from adamine_jax.input.reading import BatchReader, read_recipes
from adamine_jax.input.record_index import RecordReader
from adamine_jax.input.tfrecords import parse_example
from adamine_jax.input.tokens import open_inputs
from adamine_jax.models import registry
from adamine_jax.recipes import crops
from benchmarks.harness import describe_machine, processes_in_turns, results_parser, serve, write_page
from configs import adamine

CORES = 2
BATCH, BATCHES = 100, 20  # per measured run
GOAL, GOAL_RATIO, PLAN_GOAL = 2400, 1.5, 100  # images/s; relative to PyTorch on the same records; ms per epoch
RECIPES, CLASSES = 238_408, 1_047  # of Recipe1M's train split

CONFIG = adamine.get_config()
CONFIG.data.flip = True

LATENCY = 0.05  # seconds
OURS, TOKENS, BARE, RECORDS = "ours", "ours, subword tokens", "decoding alone", "PyTorch, the same records"


def plans(labels: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the (B,) record numbers of each batch, over all epochs."""
    for epoch in itertools.count():
        yield from epoch_plan(labels, 0, epoch, BATCH)


def ours(index, config=CONFIG, vectors=None) -> Callable[[], None]:
    """Reads batches as training does."""
    batches = pipeline.train_batches(
        index,
        np.stack(list(itertools.islice(plans(index.class_id), 100 * BATCHES))),
        config,
        first_step=0,
        rows=slice(None),
        vectors=vectors,
    )
    return lambda: _take(batches)


def with_tokens(index) -> Callable[[], None]:
    """Reads batches for the tower `transformer`, whose tokens are made before."""
    config = adamine.get_config("recipe=transformer")
    config.data.flip = True
    section, texts = config.model.recipe, read_recipes(index, np.arange(len(index)), Damage(0))
    section.vocabulary = str(Path(tempfile.mkdtemp()) / "vocabulary.json")
    tower = registry.recipe_tower(config.model)
    Path(section.vocabulary).write_text(tower.fit(section, (recipe.text for recipe in texts)))
    return ours(index, config, open_inputs(config, index))


def from_a_store(index) -> Callable[[], None]:
    """Reads the same batches from an object store that takes `LATENCY` seconds for each request.

    As in the libraries of S3 and Google Cloud Storage, requests wait in an event loop.
    """
    import fsspec
    from fsspec.asyn import get_loop
    from fsspec.implementations.memory import MemoryFileSystem

    fsspec.filesystem("memory").put(str(index.shards[0].parent), "/data", recursive=True)
    data = open_dataset("memory://data").index("train")

    async def delayed(store, *arguments, **options) -> bytes:
        await asyncio.sleep(LATENCY)
        return store.cat_file(*arguments, **options)

    MemoryFileSystem.async_impl, MemoryFileSystem.loop, MemoryFileSystem._cat_file = True, get_loop(), delayed
    return ours(data)


def torch_loader(index, photos: Path | None, is_normalised: bool) -> Callable[[], None]:
    """Reads the same batches with PyTorch's DataLoader."""
    from torch.utils.data import DataLoader

    from benchmarks.peers.torch_loader import Recipes

    plan = (numbers.tolist() for numbers in plans(index.class_id))
    recipes = Recipes(index, photos, is_normalised)
    batches = iter(DataLoader(recipes, batch_sampler=plan, num_workers=CORES))
    return lambda: _take(batches)


def _take(batches: Iterator[dict]) -> None:
    for batch in itertools.islice(batches, BATCHES):
        assert len(batch["record"]) == BATCH


def decoding(index) -> Callable[[], None]:
    """Decodes as many complete photos from memory with libjpeg-turbo, in one thread per core."""
    import simplejpeg

    files = first_photos(index, BATCH * BATCHES)
    shares, pool = [files[core::CORES] for core in range(CORES)], ThreadPoolExecutor(CORES)

    def decode(share: list[bytes]) -> None:
        memory = np.empty(1 << 24, np.uint8)
        for jpeg in itertools.islice(itertools.cycle(share), BATCH * BATCHES // CORES):
            simplejpeg.decode_jpeg(jpeg, buffer=memory)

    return lambda: list(pool.map(decode, shares))


def tensorflow_decoding(index) -> Callable[[], None]:
    """Decodes the crops of these photos with TensorFlow, in its threads."""
    import tensorflow as tf

    resize, size = CONFIG.data.resize, CONFIG.data.image_size
    files = first_photos(index, BATCH * BATCHES)
    jpegs = [tf.constant(files[at : at + BATCH]) for at in range(0, len(files), BATCH)]
    rows = np.random.default_rng(0).integers(0, resize - size + 1, (BATCH, 2))
    windows = tf.constant(np.concatenate([rows, np.full((BATCH, 2), size)], axis=1), tf.int32)

    def decode(row: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        return tf.shape(tf.io.decode_and_crop_jpeg(*row, channels=3, dct_method="INTEGER_ACCURATE"))

    @tf.function
    def decode_all(jpegs: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(decode, (jpegs, windows), fn_output_signature=tf.int32, parallel_iterations=CORES)

    return lambda: [decode_all(batch) for batch in itertools.islice(itertools.cycle(jpegs), BATCHES)]


def first_photos(index, count: int) -> list[bytes]:
    """Returns the first photo of the first `count` records, or of all."""
    return [recipe.photo for recipe in read_recipes(index, np.arange(min(count, len(index))), Damage(0))]


def write_photos(index, folder: Path) -> None:
    """Writes each photo to a file named after its id."""
    reader = RecordReader(index)
    for number in range(len(index)):
        jpegs = parse_example(reader.read(number))["images"].bytes_list.value
        for photo, jpeg in zip(range(index.first_photo[number], index.first_photo[number + 1]), jpegs, strict=True):
            (folder / index.photo_ids[photo].decode()).write_bytes(jpeg)
    reader.close()


CONTENDERS: dict[str, Callable[[object, Path], Callable[[], None]]] = {
    OURS: lambda index, photos: ours(index),
    TOKENS: lambda index, photos: with_tokens(index),
    f"ours, from an object store at {1000 * LATENCY:.0f} ms a read": lambda index, photos: from_a_store(index),
    RECORDS: lambda index, photos: torch_loader(index, None, False),
    "PyTorch, photos as files, recipes in memory": lambda index, photos: torch_loader(index, photos, False),
    "PyTorch, the same records, normalised float32": lambda index, photos: torch_loader(index, None, True),
    BARE: lambda index, photos: decoding(index),
    "decoding alone, TensorFlow, crops only": lambda index, photos: tensorflow_decoding(index),
}


def stages(index, batches: int = 10) -> dict[str, float]:
    """Returns the milliseconds of one core per image for each stage, minima over several rounds."""
    crop = crops.random_crops(CONFIG.data.resize, CONFIG.data.image_size, CONFIG.data.flip)
    reader = BatchReader(index, crop, registry.recipe_fields(CONFIG.model), damage=Damage(0))
    records, draws = RecordReader(index), Draws(index, 0, CONFIG.data)
    plan = list(itertools.islice(plans(index.class_id), batches))
    files = first_photos(index, BATCH)
    uniform = np.random.default_rng(0).random((BATCH, 3), np.float32)

    def milliseconds(run: Callable[[int], object]) -> float:
        times = []
        for _ in range(6):
            start = time.process_time()
            for step in range(batches):
                run(step)
            times.append(1000 * (time.process_time() - start) / (batches * BATCH))
        return min(times)

    reading = milliseconds(lambda step: [records.read(number) for number in plan[step]])
    cropping = milliseconds(lambda step: crop(files, uniform))
    total = milliseconds(lambda step: reader(draws(step, plan[step])))
    return {
        "reading records and verifying checksums": reading,
        "decoding, cropping, flipping": cropping,
        "parsing, recipes, random numbers": total - reading - cropping,
    }


def planning() -> float:
    """Returns the median milliseconds for the plan of an epoch with Recipe1M's number of recipes and classes."""
    rng = np.random.default_rng(0)
    shares = 1 / np.arange(1, CLASSES + 1)
    labels = np.zeros(RECIPES, np.int32)
    labels[: RECIPES // 2] = 1 + rng.choice(CLASSES, RECIPES // 2, p=shares / shares.sum())
    rng.shuffle(labels)
    times = []
    for epoch in range(11):
        start = time.perf_counter()
        epoch_plan(labels, 0, epoch, BATCH)
        times.append(1000 * (time.perf_counter() - start))
    return float(np.median(times[1:]))


@one_line_errors
def main() -> None:
    """Measures and writes the page."""
    parser = results_parser("input", __doc__)
    parser.add_argument("--data", type=Path, required=True, help="converted kitchen")
    parser.add_argument("--repeats", type=int, default=9, help="measured runs; default: 9")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--photos", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # before TensorFlow and PyTorch count the cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    if not flags.serve:
        require("torch", "tensorflow")
    index = open_dataset(flags.data).index("train")
    if flags.serve:
        serve(CONTENDERS[flags.serve](index, flags.photos))
        return
    with tempfile.TemporaryDirectory() as photos:
        write_photos(index, Path(photos))
        command = [sys.executable, "-m", "benchmarks.input", f"--data={flags.data}", f"--photos={photos}", "--serve"]
        seconds = processes_in_turns({name: [*command, name] for name in CONTENDERS}, flags.repeats)
    rates = {name: BATCH * BATCHES / median for name, median in seconds.items()}
    write_page(flags.page, page(index, rates, flags.repeats))


def page(index, rates: dict[str, float], repeats: int) -> list[str]:
    """Returns the results page, given the images per second of each contender."""
    import PIL
    import tensorflow as tf
    import torch

    kilobytes = index.length.sum() / len(index.photo_ids) / 1000
    parts = stages(index)
    return [
        "# Input",
        "",
        f"`python -m benchmarks.input`: TFRecords of {len(index):,} recipes with {len(index.photo_ids):,} photos of "
        f"256 pixels ({kilobytes:.0f} kB each, including the recipes) → host batches of {BATCH} on {CORES} cores: "
        f"class pairs from the epoch plan, random crops of 224 with random flips, uint8. Medians of {repeats} runs of "
        f"{BATCH * BATCHES:,} images, in turns. {describe_machine()} TensorFlow {tf.__version__}, PyTorch "
        f"{torch.__version__} with {CORES} workers, Pillow {PIL.__version__}.",
        "",
        "| | images/s | relative to PyTorch on the same records |",
        "|---|---:|---:|",
        *(f"| {name} | {rate:,.0f} | {rate / rates[RECORDS]:.2f} |" for name, rate in rates.items()),
        "",
        f"Goals: {GOAL:,} images/s, and {GOAL_RATIO} times the speed of PyTorch on the same records. The limit is JPEG "
        "decoding by libjpeg-turbo, which has to read all bits of a photo above the last row of the crop. The input "
        f"reaches {100 * rates[OURS] / rates[BARE]:.0f} % of the speed of decoding photos in memory.",
        "",
        f"One image takes {sum(parts.values()):.3f} ms of a core: "
        f"{', '.join(f'{name} {value:.3f}' for name, value in parts.items())}.",
        "",
        f"The plan of an epoch with {RECIPES:,} recipes in {CLASSES:,} classes takes {planning():.0f} ms (goal: "
        f"{PLAN_GOAL} ms).",
    ]


if __name__ == "__main__":
    sys.exit(main())
