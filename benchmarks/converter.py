"""Measures the speed and memory of the converter on a download of Recipe1M's size.

    make quickstart
    python -m benchmarks.converter --download quickstart/download --scratch DIR

The records of a small download are copied under new ids until there are as many as in Recipe1M; only the original
recipes have photo files. The benchmark measures everything before TFDS writes (joining, filtering, vocabulary, classes
and photos), `json.load` of the same three files, and TFDS's writing of a part of the records.
"""

import argparse
import itertools
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

from adamine_jax.base.cores import available_cores
from benchmarks.harness import describe_machine, own_process, results_parser, write_page

RECORDS = 1_029_720
LISTED = 0.3
"""Share of the copied recipes that have photos in layer 2."""
FILES = ("layer1.json", "layer2.json", "det_ingrs.json")
GOAL_RATE, GOAL_GIB = 15_000, 1.5
WRITTEN = 100_000
"""Number of recipes for the measurement of writing; recipes without photos are written too."""


def write_large(download: Path, out: Path, size: int) -> None:
    """Writes the large download."""
    out.mkdir(parents=True)
    (out / "images").symlink_to((download / "images").resolve())
    layers = {name: json.loads((download / name).read_text(encoding="utf-8")) for name in FILES}
    copies = -(-size // len(layers["layer1.json"]))
    for name, layer in layers.items():
        records = (_copied(record, name, copy) for copy in range(copies) for record in layer)
        with (out / name).open("w", encoding="utf-8") as file:
            for number, record in enumerate(itertools.islice(filter(None, records), size)):
                file.write((",\n" if number else "[\n") + json.dumps(record, ensure_ascii=False))
            file.write("\n]\n")


def _copied(record: dict, name: str, copy: int) -> dict | None:
    """Returns a copy of a record with another id; None if the recipe's copy is not listed in layer 2."""
    number = int(record["id"], 16) + copy * 7919
    record = record | {"id": f"{number % 16**10:010x}"}
    if copy and name == "layer2.json":
        if number % 1000 >= 1000 * LISTED:
            return None
        record["images"] = [{"id": f"{copy:05x}{image['id'][5:]}"} for image in record["images"]]
    return record


def load(source: Path) -> None:
    """Loads the three files with `json.load`."""
    for name in FILES:
        with (source / name).open(encoding="utf-8") as file:
            json.load(file)


def prepare(source: Path, vocabulary: Path) -> None:
    """Converts up to the point where TFDS writes."""
    from adamine_jax.base.cores import available_cores
    from data_builders.gc_tuning import rare_gc
    from data_builders.recipe1m.conversion import Conversion
    from data_builders.recipe1m.options import Options

    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        conversion = Conversion(source, Options(vocab=vocabulary), Path(folder), available_cores())
        with rare_gc():  # as the command does
            conversion.prepare()
        print(conversion.report.summary(), file=sys.stderr)


def write(source: Path, vocabulary: Path) -> tuple[int, float]:
    """Converts with TFDS. Returns (number of records written, seconds from the end of the preparation)."""
    from data_builders.recipe1m.build import build
    from data_builders.recipe1m.options import Options
    from data_builders.recipe1m.recipe1m_dataset_builder import Builder

    split_generators = Builder._split_generators

    def timed(self, *arguments):
        nonlocal start
        generators = split_generators(self, *arguments)
        start = time.perf_counter()
        return generators

    start, Builder._split_generators = 0.0, timed
    options = Options(vocab=vocabulary, without_photos=True, limit=WRITTEN)
    with tempfile.TemporaryDirectory(dir=source.parent) as folder:
        dataset, _ = build(source, Path(folder), options, workers=available_cores(), overwrite=False)
        seconds = time.perf_counter() - start
        splits = json.loads((dataset / "dataset_info.json").read_text(encoding="utf-8"))["splits"]
        return sum(int(length) for split in splits for length in split["shardLengths"]), seconds


def run_part(part: str, source: Path, vocabulary: Path, records: int) -> None:
    """Runs a part and prints its records/s and GiB; the memory of children is counted as workers × the largest."""
    start = time.perf_counter()
    if part == "write":
        records, seconds = write(source, vocabulary)
    else:
        load(source) if part == "load" else prepare(source, vocabulary)
        seconds = time.perf_counter() - start
    own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(records / seconds, (own + child * available_cores()) / 2**20)


def write_vocabulary(download: Path, path: Path) -> None:
    """Writes all words of a download with short vectors, in word2vec's text format."""
    from adamine_jax.recipes import words

    detected = json.loads((download / "det_ingrs.json").read_text(encoding="utf-8"))
    recipes = json.loads((download / "layer1.json").read_text(encoding="utf-8"))
    names = {words.ingredient_word(name["text"]) for record in detected for name in record["ingredients"]}
    lines = (line["text"] for record in recipes for line in record["instructions"])
    vocabulary = sorted(word for word in names.union(*map(str.split, lines)) if len(word.split()) == 1)
    rows = "".join(f"{word} {row % 7 + 1} {row % 5}\n" for row, word in enumerate(vocabulary))
    path.write_text(f"{len(vocabulary)} 2\n{rows}", encoding="utf-8")


def main() -> None:
    """Measures and writes the page."""
    parser = results_parser("converter", __doc__)
    parser.add_argument("--download", type=Path, help="kitchen before conversion")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the large download, which takes 2 GB")
    parser.add_argument("--records", type=int, default=RECORDS, help="size of the large download")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each part; default: 3")
    parser.add_argument("--part", choices=("load", "prepare", "write"), help=argparse.SUPPRESS)
    flags = parser.parse_args()
    source, vocabulary = flags.scratch / "download", flags.scratch / "vocab.txt"
    if flags.part:
        run_part(flags.part, source, vocabulary, flags.records)
        return
    if not source.exists():
        if not flags.download:
            parser.error("--download is required to create the large download")
        write_large(flags.download, source, flags.records)
        write_vocabulary(flags.download, vocabulary)
    parts = {
        "prepare": "the converter, everything before TFDS writes",
        "load": "`json.load` of the three files",
        "write": f"TFDS, writing the first {WRITTEN:,} records, few of which have photos",
    }
    runs = {part: [] for part in parts}
    for _ in range(flags.repeats):
        for part, measured in runs.items():
            output = own_process("converter", "--part", part, "--scratch", flags.scratch, "--records", flags.records)
            measured.append([float(number) for number in output.split()[-2:]])
    rows = []
    for part, measured in runs.items():
        rate, gib = sorted(measured)[len(measured) // 2]
        rows.append(f"| {parts[part]} | {rate:,.0f} | {gib:.2f} |")
    size = sum((source / name).stat().st_size for name in FILES) / 1e9
    lines = [
        "# The converter on a download of Recipe1M's size",
        "",
        f"`python -m benchmarks.converter`: {flags.records:,} records, {size:.2f} GB of text, with a given vocabulary. "
        f"Layer 2 lists photos for {LISTED:.0%} of the recipes, whose words are looked up; only the kitchen's original "
        f"recipes have photo files. Medians of {flags.repeats} runs in turns. {describe_machine()}",
        "",
        "| | records/s | peak memory, GiB |",
        "|---|---:|---:|",
        *rows,
        "",
        f"Goals: {GOAL_RATE:,} records/s and {GOAL_GIB} GiB. Memory is the sum of the peaks of all processes. TFDS "
        "writes (TensorFlow serialises, hashes and shuffles) in one thread; the memory in that row is that of the "
        "whole command.",
    ]
    write_page(flags.page, lines)


if __name__ == "__main__":
    main()
