"""The input alone, from TFRecords to host batches, beside loaders in PyTorch and the bare decoding of the photos.

    pip install -e '.[bench]'
    python -m data_builders.kitchen --out DIR/download --recipes 3000 --photo-size 320 --seed 1 --splits 0.9,0.05,0.05
    python -m data_builders.recipe1m --source DIR/download --out DIR/data --word-dim 64
    python -m benchmarks.input --data DIR/data

Each contender is a process of its own on two cores; they take turns.
"""

import argparse
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
from benchmarks import contenders
from configs import adamine

RESULTS = Path(__file__).parent / "results" / "input.md"
CORES = 2
BATCH, BATCHES = 100, 20
"""Photos of a batch, batches of a measured run."""
GOAL, GOAL_RATIO, PLAN_GOAL = 2400, 1.5, 100  # images/s, beside the uint8 loader of records, ms an epoch
RECIPES, CLASSES = 238_408, 1_047  # of Recipe1M's train split

OURS = "ours"
BARE, TENSORFLOW = "bare decoding", "TensorFlow's decoding of the windows alone"
RECORDS, FILES = "PyTorch, the same records", "PyTorch, photos as files, texts in memory"
NORMALISED = "PyTorch, the same records, float32 normalised"


def _two_cores() -> None:
    """Before TensorFlow and PyTorch count the cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def config_of():
    """The paper's input, with flips."""
    config = adamine.get_config()
    config.data.flip = True
    return config


def open_index(data: Path):
    """The records of the train split."""
    from adamine_jax.input.dataset import open_dataset
    from adamine_jax.input.records import load_index

    return load_index(open_dataset(data).shards("train"))


def plans(labels: np.ndarray) -> Iterator[np.ndarray]:
    """(B,) records of batch after batch, epoch after epoch."""
    from adamine_jax.input.plan import epoch_plan

    for epoch in itertools.count():
        yield from epoch_plan(labels, 0, epoch, BATCH)


def ours(index) -> Callable[[], None]:
    """Batches as training gets them."""
    from adamine_jax.input import pipeline

    config = config_of()
    plan = np.stack(list(itertools.islice(plans(index.class_id), 100 * BATCHES)))
    batches = pipeline.train_batches(
        index,
        plan,
        config,
        first_step=0,
        rows=slice(None),
    )
    return lambda: _take(batches)


def torch_loader(index, photos: Path | None, is_normalised: bool) -> Callable[[], None]:
    """The same batches from PyTorch's DataLoader."""
    from benchmarks.peers.torch_loader import Recipes, loader

    plan = (numbers.tolist() for numbers in plans(index.class_id))
    batches = iter(loader(Recipes(index, photos, is_normalised), plan, CORES))
    return lambda: _take(batches)


def _take(batches: Iterator[dict]) -> None:
    for batch in itertools.islice(batches, BATCHES):
        assert len(batch["record"]) == BATCH


def decoding(index) -> Callable[[], None]:
    """libjpeg-turbo's decoding of as many whole photos, which are in memory, in a thread a core; no more than that."""
    import simplejpeg

    files = [jpeg for jpeg, _ in zip(first_photos(index), range(BATCH * BATCHES), strict=False)]
    shares, pool = [files[core::CORES] for core in range(CORES)], ThreadPoolExecutor(CORES)

    def decode(share: list[bytes]) -> None:
        memory = np.empty(1 << 24, np.uint8)
        for jpeg in itertools.islice(itertools.cycle(share), BATCH * BATCHES // CORES):
            simplejpeg.decode_jpeg(jpeg, buffer=memory)

    return lambda: list(pool.map(decode, shares))


def tensorflow_decoding(index) -> Callable[[], None]:
    """TensorFlow's decoding of windows of them, in its threads."""
    import tensorflow as tf

    resize, size = config_of().data.resize, config_of().data.image_size
    files = [jpeg for jpeg, _ in zip(first_photos(index), range(BATCH * BATCHES), strict=False)]
    jpegs = [tf.constant(files[at : at + BATCH]) for at in range(0, len(files), BATCH)]
    rows = np.random.default_rng(0).integers(0, resize - size + 1, (BATCH, 2))
    windows = tf.constant(np.concatenate([rows, np.full((BATCH, 2), size)], axis=1), tf.int32)

    def decode(row: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        return tf.shape(tf.io.decode_and_crop_jpeg(*row, channels=3, dct_method="INTEGER_ACCURATE"))

    @tf.function
    def decode_all(jpegs: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(decode, (jpegs, windows), fn_output_signature=tf.int32, parallel_iterations=CORES)

    return lambda: [decode_all(batch) for batch in itertools.islice(itertools.cycle(jpegs), BATCHES)]


def first_photos(index) -> Iterator[bytes]:
    """The records' first photos."""
    from adamine_jax.input.items import read_recipes

    from adamine_jax.input.damage import Damage

    return (recipe.photo for recipe in read_recipes(index, np.arange(len(index)), Damage(0)))


def write_photos(index, folder: Path) -> None:
    """Every photo as a file, named by its id."""
    import tensorflow as tf

    from adamine_jax.input.records import RecordReader

    reader = RecordReader(index)
    for number in range(len(index)):
        jpegs = tf.train.Example.FromString(reader.read(number)).features.feature["images"].bytes_list.value
        for photo, jpeg in zip(range(index.first_photo[number], index.first_photo[number + 1]), jpegs, strict=True):
            (folder / index.photo_ids[photo].decode()).write_bytes(jpeg)
    reader.close()


CONTENDERS: dict[str, Callable[[object, Path], Callable[[], None]]] = {
    OURS: lambda index, photos: ours(index),
    RECORDS: lambda index, photos: torch_loader(index, None, False),
    FILES: lambda index, photos: torch_loader(index, photos, False),
    NORMALISED: lambda index, photos: torch_loader(index, None, True),
    BARE: lambda index, photos: decoding(index),
    TENSORFLOW: lambda index, photos: tensorflow_decoding(index),
}


def stages(index, batches: int = 10) -> dict[str, float]:
    """Milliseconds of one core for each part of what is done for an image, the fastest of some rounds."""
    from adamine_jax.input.damage import Damage
    from adamine_jax.input.draws import Draws
    from adamine_jax.input.reading import BatchReader
    from adamine_jax.input.records import RecordReader
    from adamine_jax.models import registry
    from adamine_jax.recipes import crops as images

    config = config_of()
    crop = images.random_crops(config.data.resize, config.data.image_size, config.data.flip)
    reader, records = (
        BatchReader(index, crop, registry.recipe_fields(config.model), damage=Damage(0)),
        RecordReader(index),
    )
    draws = Draws(index, 0, config.data)
    plan = list(itertools.islice(plans(index.class_id), batches))
    files = list(itertools.islice(first_photos(index), BATCH))
    uniform = np.random.default_rng(0).random((BATCH, 3), np.float32)

    def whole(step: int) -> None:
        reader(draws(step, plan[step]))

    def milliseconds(run: Callable[[int], object]) -> float:
        times = []
        for _ in range(6):
            start = time.process_time()
            for step in range(batches):
                run(step)
            times.append(1000 * (time.process_time() - start) / (batches * BATCH))
        return min(times)

    parts = {
        "reading records and their checksums": milliseconds(
            lambda step: [records.read(number) for number in plan[step]]
        ),
        "decoding, cropping, mirroring": milliseconds(lambda step: crop(files, uniform)),
    }
    altogether = milliseconds(whole)
    return parts | {"parsing, texts, draws": altogether - sum(parts.values()), "altogether": altogether}


def planning() -> float:
    """Median milliseconds of planning an epoch of as many recipes and classes as Recipe1M has."""
    from adamine_jax.input.plan import epoch_plan

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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a converted kitchen")
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    parser.add_argument("--photos", type=Path, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    _two_cores()
    if flags.serve:
        contenders.serve(CONTENDERS[flags.serve](open_index(flags.data), flags.photos))
        return

    require("torch", "tensorflow")
    index = open_index(flags.data)
    with tempfile.TemporaryDirectory() as photos:
        write_photos(index, Path(photos))
        line = [sys.executable, "-m", "benchmarks.input", f"--data={flags.data}", f"--photos={photos}", "--serve"]
        seconds = contenders.medians({name: [*line, name] for name in CONTENDERS}, flags.repeats)
    page = written(index, {name: BATCH * BATCHES / median for name, median in seconds.items()}, flags.repeats)
    flags.out.write_text(page, encoding="utf-8")
    print(page)


def written(index, rates: dict[str, float], repeats: int) -> str:
    """The page, of the images a second of each contender."""
    import PIL
    import tensorflow as tf
    import torch

    from benchmarks.machine import describe_machine

    kilobytes = index.length.sum() / len(index.photo_ids) / 1000
    one, plan = stages(index), planning()
    parts = ", ".join(f"{name} {ms:.3f}" for name, ms in one.items() if name != "altogether")
    lines = [
        "# Input",
        "",
        f"`python -m benchmarks.input`: TFRecords of {len(index):,} recipes with {len(index.photo_ids):,} photos of "
        f"256 pixels ({kilobytes:.0f} kB each, with the texts) → host batches of {BATCH} on {CORES} cores: class pairs "
        f"by the epoch plan, random crops of 224, mirrored, uint8. Medians of {repeats} runs of {BATCH * BATCHES:,} "
        f"images, in turns. {describe_machine()} TensorFlow {tf.__version__}, PyTorch {torch.__version__} with {CORES} "
        f"workers, Pillow {PIL.__version__}.",
        "",
        "| | images/s | beside PyTorch on the same records |",
        "|---|---:|---:|",
        *(f"| {name} | {rate:,.0f} | {rate / rates[RECORDS]:.2f} |" for name, rate in rates.items()),
        "",
        f"Goals: {GOAL:,} images/s, and {GOAL_RATIO} times the loader in PyTorch. The limit is the decoding, by "
        "libjpeg-turbo: all of a photo's bits above the window's last row must be read to find it. The input reaches "
        f"{100 * rates[OURS] / rates[BARE]:.0f} % of the bare decoding, which only decodes photos that are in memory.",
        "",
        f"One image takes {one['altogether']:.3f} ms of a core: {parts}.",
        "",
        f"Planning an epoch of {RECIPES:,} recipes in {CLASSES:,} classes takes {plan:.0f} ms (goal: {PLAN_GOAL}).",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
