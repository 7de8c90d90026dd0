"""How fast the converter reads a download as large as Recipe1M's, and in how much memory.

    make quickstart
    python -m benchmarks.converter --download quickstart/download --scratch DIR

The download's text is written again and again under other ids until there are as many records as Recipe1M has; only
the download's own photos are there. Measured is everything before TFDS writes: joining, filtering, words, classes and
photos, beside `json.load` of the same three files; and, for some of the records, TFDS's writing.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe_machine

RESULTS = Path(__file__).parent / "results" / "converter.md"
RECORDS = 1_029_720
FILES = ("layer1.json", "layer2.json", "det_ingrs.json")
GOAL_RATE, GOAL_GIB = 15_000, 1.5
WRITTEN = 100_000
"""Records of layer 1 that are read where writing is measured; those without photos are written too."""


def write_large(download: Path, out: Path, records: int, listed: float) -> None:
    """Writes the large download; `listed` of the copies have photos in layer 2, which are not there."""
    out.mkdir(parents=True)
    (out / "images").symlink_to((download / "images").resolve())
    layers = {name: json.loads((download / name).read_text(encoding="utf-8")) for name in FILES}
    for name in FILES:
        copies, written = 0, 0
        with (out / name).open("w", encoding="utf-8") as file:
            file.write("[\n")
            while written < records:
                for record in layers[name]:
                    number = int(record["id"], 16) + copies * 7919
                    if copies and name == "layer2.json" and number % 1000 >= 1000 * listed:
                        continue
                    record = record | {"id": f"{number % 16**10:010x}"}
                    if copies and name == "layer2.json":
                        record["images"] = [{"id": f"{copies:05x}{image['id'][5:]}"} for image in record["images"]]
                    text = json.dumps(record, ensure_ascii=False)
                    file.write((",\n" if written else "") + text)
                    written += 1
                    if written == records:
                        break
                copies += 1
                if name != "layer1.json" and copies * len(layers["layer1.json"]) >= records:
                    break
            file.write("\n]\n")


def load(source: Path) -> None:
    """`json.load` of the three files, one after the other."""
    for name in FILES:
        with (source / name).open(encoding="utf-8") as file:
            json.load(file)


def prepare(source: Path, vocabulary: Path) -> None:
    """What the converter does before TFDS writes."""
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
    """How many records TFDS writes, and the seconds that it takes once everything is prepared."""
    from adamine_jax.base.cores import available_cores
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
        place, _ = build(source, Path(folder), options, workers=available_cores(), overwrite=False)
        seconds = time.perf_counter() - start
        splits = json.loads((place / "dataset_info.json").read_text(encoding="utf-8"))["splits"]
        return sum(int(length) for split in splits for length in split["shardLengths"]), seconds


def measured(part: str, options: argparse.Namespace) -> tuple[float, float]:
    """Records/s and GiB of a part in a process of its own; its children's memory is added at their largest."""
    line = [sys.executable, "-m", "benchmarks.converter", "--part", part, "--scratch", str(options.scratch)]
    line += ["--records", str(options.records)]
    process = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True)
    rate, gib = map(float, process.stdout.split()[-2:])
    return rate, gib


def main() -> None:
    """Measures and writes the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--download", type=Path, help="the kitchen as it was written")
    parser.add_argument("--scratch", type=Path, required=True, help="folder for the large download; it takes 2 GB")
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--listed", type=float, default=0.3, help="share of the records that list photos")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--part", choices=("load", "prepare", "write"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    source, vocabulary = options.scratch / "download", options.scratch / "vocab.txt"
    if options.part:
        start, records = time.perf_counter(), options.records
        if options.part == "write":
            records, seconds = write(source, vocabulary)
        else:
            load(source) if options.part == "load" else prepare(source, vocabulary)
            seconds = time.perf_counter() - start
        own, children = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        from adamine_jax.base.cores import available_cores

        print(records / seconds, (own + children * available_cores()) / 2**20)
        return
    if not source.exists():
        write_large(options.download, source, options.records, options.listed)
        write_vocabulary(options.download, vocabulary)
    runs = [{part: measured(part, options) for part in ("prepare", "load", "write")} for _ in range(options.repeats)]
    options.out.write_text(page(runs, source, options), encoding="utf-8")
    print(options.out.read_text(encoding="utf-8"))


def write_vocabulary(download: Path, path: Path) -> None:
    """All words of the download with short vectors, as word2vec's text file."""
    from adamine_jax.recipes import words

    detected = json.loads((download / "det_ingrs.json").read_text(encoding="utf-8"))
    recipes = json.loads((download / "layer1.json").read_text(encoding="utf-8"))
    known = {words.ingredient_word(name["text"]) for record in detected for name in record["ingredients"]}
    lines = (line["text"] for record in recipes for line in record["instructions"])
    known = sorted(word for word in known | {word for line in lines for word in line.split()} if len(word.split()) == 1)
    rows = "".join(f"{word} {row % 7 + 1} {row % 5}\n" for row, word in enumerate(known))
    path.write_text(f"{len(known)} 2\n{rows}", encoding="utf-8")


def page(runs: list[dict[str, tuple[float, float]]], source: Path, options: argparse.Namespace) -> str:
    """The results page."""
    ordered = {part: sorted(run[part] for run in runs)[len(runs) // 2] for part in ("prepare", "load", "write")}
    size = sum((source / name).stat().st_size for name in FILES) / 1e9
    rows = {
        "the converter, everything before TFDS writes": ordered["prepare"],
        "`json.load` of the three files": ordered["load"],
        f"TFDS writes the first {WRITTEN:,}, few of them with photos": ordered["write"],
    }
    lines = [
        "# The converter at Recipe1M's size",
        "",
        f"`python -m benchmarks.converter`, {options.records:,} records, {size:.2f} GB of text, a vocabulary given. "
        f"Layer 2 lists photos of {options.listed:.0%} of them, whose words are looked up; those of the kitchen's own "
        f"recipes are there. Medians of {len(runs)} runs in turns. {describe_machine()}",
        "",
        "| | records/s | peak memory, GiB |",
        "|---|---:|---:|",
        *(f"| {name} | {rate:,.0f} | {gib:.2f} |" for name, (rate, gib) in rows.items()),
        "",
        f"Goals: {GOAL_RATE:,} records/s, {GOAL_GIB} GiB; of memory the processes' own peaks are added up. The writing "
        "is one thread's, TensorFlow's serialising, hashing and shuffling; its memory is that of the whole command.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
