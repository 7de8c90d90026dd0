"""Converts a synthetic collection of Recipe1M's size, trains and evaluates on it; measures time, memory and disk.

    make quickstart
    python -m benchmarks.full_size --quickstart quickstart --work DIR

The download repeats the recipes and photos of the quickstart under new ids: 1,029,720 recipes, of which 340,831 have
photos, links to those of the quickstart. Each command runs as a process of its own. A command that was interrupted is
measured from where it resumes; delete DIR/data and DIR/run to measure all of it.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from adamine_jax.base.errors import one_line_errors
from adamine_jax.base.progress import Progress
from adamine_jax.input.dataset import open_dataset
from benchmarks.harness import describe_machine, results_parser, write_page

LAYERS = ("layer1", "layer2", "det_ingrs")
WITH_PHOTO = {"train": 238_408, "val": 51_119, "test": 51_304}
RECIPES = 1_029_720
TINY = (
    *("--config", "configs/quickstart.py", "--config.epochs=1", "--config.model.image.depth=10"),
    *("--config.model.image.width=4", "--config.data.resize=72", "--config.data.image_size=64"),
    "--config.eval.protocols=('1k','10k','full')",
)


def identifier(number: int) -> str:
    """Returns the 10 hexadecimal digits of an id; other numbers below 2⁴⁰ have other ids."""
    return f"{number * 0x9E3779B97F % 2**40:010x}"


def copies(entries: list[dict]) -> Iterator[tuple[dict, str, str]]:
    """Yields (recipe of the kitchen, new id, partition), the ones with photos first, split by split."""
    names = [partition for partition, count in WITH_PHOTO.items() for _ in range(count)]
    names += ["train"] * (RECIPES - len(names))
    for number, (entry, partition) in enumerate(zip(itertools.cycle(entries), names, strict=False)):
        yield entry, identifier(number), partition


def write_download(source: Path, folder: Path) -> None:
    """Writes layer1.json, layer2.json, det_ingrs.json and the links to photos."""
    layers = {name: json.loads((source / "download" / f"{name}.json").read_text()) for name in LAYERS}
    photos = {path.name: path for path in (source / "download" / "images").rglob("*.jpg")}
    indices = [open_dataset(source / "data").index(split) for split in WITH_PHOTO]
    kept = {name.decode() for index in indices for name in index.ids}
    readable = {name.decode() for index in indices for name in index.photo_ids}
    images = {
        entry["id"]: [photos[image["id"]] for image in entry["images"] if image["id"] in readable]
        for entry in layers["layer2"]
    }
    detected = {entry["id"]: entry for entry in layers["det_ingrs"]}
    whole = [entry for entry in layers["layer1"] if entry["id"] in kept]
    folder, final = folder.with_name("unfinished"), folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with (
        (folder / "layer1.json").open("w") as recipes,
        (folder / "layer2.json").open("w") as pictures,
        (folder / "det_ingrs.json").open("w") as names,
        Progress("writing the download", RECIPES, "recipe") as progress,
    ):
        for number, (entry, new, partition) in enumerate(copies(whole)):
            start = ",\n" if number else "[\n"
            recipes.write(start + json.dumps({**entry, "id": new, "partition": partition}))
            names.write(start + json.dumps({**detected[entry["id"]], "id": new}))
            if number < sum(WITH_PHOTO.values()):
                listed = []
                for place, photo in enumerate(images[entry["id"]]):
                    name = f"{identifier(8 * number + place)}.jpg"
                    link = folder / "images" / partition / Path(*name[:4]) / name
                    link.parent.mkdir(parents=True, exist_ok=True)
                    os.link(photo, link)
                    listed.append({"id": name, "url": ""})
                pictures.write((",\n" if number else "[\n") + json.dumps({"id": new, "images": listed}))
            progress.update()
        for file in (recipes, pictures, names):
            file.write("\n]\n")
    folder.rename(final)


def measured(name: str, *command: str) -> tuple[str, float, float]:
    """Runs a command; returns its name, its hours, and the peak memory of its largest process in GiB."""
    print(f"{name}: {' '.join(command)}", flush=True)
    start = time.time()
    process = subprocess.Popen([sys.executable, "-m", *command])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(os.waitstatus_to_exitcode(status))
    return name, (time.time() - start) / 3600, usage.ru_maxrss / 2**20


def size(folder: Path) -> float:
    """Returns the gigabytes of a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


@one_line_errors
def main() -> None:
    """Runs all commands and writes the page."""
    parser = results_parser("full_size", __doc__)
    parser.add_argument("--quickstart", type=Path, required=True, help="folder of `make quickstart`")
    parser.add_argument("--work", type=Path, required=True, help="folder for the download, the data set and the run")
    parser.add_argument("--converter", nargs=argparse.REMAINDER, default=[], help="more flags of the converter, last")
    flags = parser.parse_args()
    download, data, run = (flags.work / name for name in ("download", "data", "run"))
    if not download.exists():
        write_download(flags.quickstart, download)
    rows = [
        measured(
            "conversion", "data_builders.recipe1m", "--source", str(download), "--out", str(data), *flags.converter
        ),
        measured(
            "one epoch, validation, test", "adamine_jax.main", *TINY, f"--workdir={run}", f"--config.data.dir={data}"
        ),
        measured("evaluation", "adamine_jax.evaluate", "--workdir", str(run)),
    ]
    write_page(flags.page, page(rows, data, run))


def page(rows: list[tuple[str, float, float]], data: Path, run: Path) -> list[str]:
    """Returns the results page."""
    scores = json.loads((run / "eval_test.json").read_text())
    stored = len(list(data.rglob("*.tfrecord-*")))
    lines = ["# A collection of Recipe1M's size", "", f"`python -m benchmarks.full_size`. {describe_machine()}", ""]
    lines += ["| | hours | peak memory of a process, GiB |", "|---|---:|---:|"]
    lines += [f"| {name} | {hours:.2f} | {memory:.2f} |" for name, hours, memory in rows]
    indices = [open_dataset(data).index(split) for split in WITH_PHOTO]
    recipes, photos = (sum(map(len, counted)) for counted in (indices, [index.photo_ids for index in indices]))
    photo_bytes = np.mean([path.stat().st_size for path in itertools.islice(run.parent.rglob("*.jpg"), 5000)])
    text_bytes = (sum(int(index.length.sum()) for index in indices) - photos * photo_bytes) / recipes
    return [
        *lines,
        "",
        f"Data set: {recipes:,} of {RECIPES:,} recipes with {photos:,} photos, {size(data):.1f} GB in {stored} shards: "
        f"{photo_bytes / 1000:.1f} kB a photo, and {text_bytes / 1000:.1f} kB a recipe for all else. Run: "
        f"{size(run):.1f} GB, most of it the gallery of the test split. Protocols: {', '.join(scores)}.",
        "",
        "The README expects about 23 GB for Recipe1M's records: at most 890,000 photos of 25 kB take "
        f"{890_000 * 25e3 / 1e9:.0f} GB, and the texts {recipes * text_bytes / 1e9:.1f} GB. Its recipes are longer, "
        "and its photos larger, so its conversion takes longer. The net here is a narrow one, and its training says "
        "nothing about ResNet-101.",
    ]


if __name__ == "__main__":
    sys.exit(main())
