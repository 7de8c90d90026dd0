"""Malformed downloads: each record is kept, or dropped with a reason.

Unreadable files give a one-line error. No file outside the download is opened, and nothing blocks.
"""

import contextlib
import io
import itertools
import json
import pickle
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from data_builders.recipe1m.conversion import Conversion
from data_builders.recipe1m.options import Options
from tests.data_builders.recipe1m import hostile
from tests.data_builders.recipe1m.download import Download, recipe_id
from tests.data_builders.recipe1m.naive import kept_and_dropped
from tests.data_builders.recipe1m.planted import FEW_WORDS, run
from tests.data_builders.recipe1m.test_vectors import encodings, write_file

# To shrink an example takes minutes, and the download it makes is small as it is.
ANY_TIME = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=(Phase.reuse, Phase.generate),
)
WORDS = ("salt", "olive_oil", "Heat", "the", "add")
PARTITIONS = ("train", "val", "test")
OPTIONS = Options(resize=8)
SAFE = 12
"""The recipe that is never changed: a download without any valid recipe is rejected."""


def small() -> Download:
    download = Download()
    for number in range(1, SAFE + 1):
        download.add(number, PARTITIONS[number % 3], photos=1 + number % 2)
    download.removed = [recipe_id(1), recipe_id(2)]
    return download


def write_others(folder: Path) -> None:
    """Writes the optional files beside the layers."""
    rows = [word.encode() + b" " + np.arange(1, 4, dtype="<f4").tobytes() + b"\n" for word in WORDS]
    (folder / "vocab.bin").write_bytes(b"5 3\n" + b"".join(rows))
    (folder / "vocab.txt").write_text("5 3\n" + "".join(f"{word} 1 2 3\n" for word in WORDS))
    (folder / "vocab.pkl").write_bytes(pickle.dumps((np.ones((5, 3), "f4"), list(WORDS)), 2))
    classes = {recipe_id(number): number % 3 for number in range(1, 9)}
    names = {0: "background", 1: "pie", 2: "soup"}
    (folder / "classes1M.pkl").write_bytes(pickle.dumps(classes, 2) + pickle.dumps(names, 2))
    (folder / "food101_classes_renamed.txt").write_text("apple_pie\nfish_and_chips\n")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A small download with all optional files."""
    folder = small().write(tmp_path_factory.mktemp("source"))
    write_others(folder)
    return folder


@contextlib.contextmanager
def copy_of(source: Path):
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copytree(source, Path(folder) / "copy"))


def converted(source: Path) -> tuple[Conversion, list[tuple[str, str]]]:
    """Returns a prepared conversion, and the id and partition of each of its records."""
    with tempfile.TemporaryDirectory() as folder:
        conversion = Conversion(source, OPTIONS, Path(folder), 2)
        conversion.prepare()
        found = [(record["id"], name) for name in conversion.partitions() for record in conversion.examples(name)]
        lines = (Path(folder) / "dropped.tsv").read_text(encoding="utf-8").split("\n")[:-1]
    left_out = sum(line.startswith("recipe\t") for line in lines)
    assert left_out == sum(group.counts.total() for group in conversion.report.dropped.values())
    return conversion, found


def assert_adds_up(source: Path, readable: set[str]) -> None:
    """Compares a conversion with the independent implementation."""
    kept, dropped = kept_and_dropped(source, readable)
    conversion, found = converted(source)
    assert sorted(found) == sorted(kept)
    for partition in PARTITIONS:  # in the order of layer 1
        assert [key for key, name in found if name == partition] == [key for key, name in kept if name == partition]
    report = conversion.report.as_json()
    records = len(json.loads((source / "layer1.json").read_bytes().decode("utf-8-sig")))
    assert report["records"]["all"] == records == report["kept"]["all"] + dropped.total()
    reasons = Counter()
    for reason, group in report["dropped"].items():
        (start,) = [start for start in dropped if reason.startswith(start)]
        reasons[start] += group["count"]
    assert reasons == dropped


def check_records(source: Path, data: st.DataObject) -> None:
    """Damages, repeats and reorders records of the three layers."""
    download = small()
    safe = {recipe_id(SAFE)}
    with copy_of(source) as folder:
        for name, records in zip(
            ("layer1", "layer2", "det_ingrs"), (download.layer1, download.layer2, download.detected), strict=True
        ):
            spoilt = data.draw(st.sets(st.integers(0, len(records) - 1), min_size=1, max_size=8))
            texts = [
                data.draw(hostile.records(record)) if row in spoilt and record["id"] not in safe else json.dumps(record)
                for row, record in enumerate(records)
            ]
            for row in data.draw(st.lists(st.integers(0, len(records) - 1), max_size=2)):
                again = records[row] | {"id": records[row]["id"].upper()}
                texts.append(json.dumps(again))
            separator = data.draw(st.sampled_from((",", ",\n", " ,\t\r\n  ")))
            start = data.draw(st.sampled_from(("[", "\ufeff[", "\n [ ")))
            (folder / f"{name}.json").write_text(f"{start}{separator.join(texts)} ]\n", encoding="utf-8")
        assert_adds_up(folder, {name for _, name in download.photos})


@pytest.mark.parametrize("examples", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_each_record_is_kept_or_left_out_with_its_reason(source, examples):
    @settings(ANY_TIME, max_examples=examples)
    @given(st.data())
    def explore(data):
        check_records(source, data)

    explore()


@pytest.mark.parametrize("layer", ["layer1", "layer2", "det_ingrs"])
@pytest.mark.parametrize("broken", hostile.BROKEN, ids=lambda text: text[:8])
def test_a_file_that_is_not_whole_json_stops_with_its_byte(source, capsys, layer, broken):
    with copy_of(source) as folder:
        path = folder / f"{layer}.json"
        records = json.loads(path.read_text())
        texts = [json.dumps(record) for record in records]
        before = "[" + ", ".join(texts[:4]) + ", "
        text = before + '{"id": ' + broken + "}, " + ", ".join(texts[4:]) + "]"
        path.write_text(text)
        assert run("check", "--source", folder) == 2
        (line,) = capsys.readouterr().err.splitlines()
        byte = int(re.match(rf"error: {re.escape(str(path))}: broken JSON at byte (\d+) \(record \d+\): ", line)[1])
        assert len(before) <= byte <= len(text)
        if not broken.startswith(("[", "]")):
            assert byte <= len(before) + len('{"id": ') + len(broken)


def run_damaged(source: Path, name: str, data: st.DataObject, *arguments) -> None:
    """Damages a file and runs a command, which must succeed or print a one-line error."""
    with copy_of(source) as folder:
        path = folder / name
        path.write_bytes(data.draw(hostile.damaged(path.read_bytes())))
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            status = run(*(str(word).replace("SOURCE", str(folder)) for word in arguments))
        lines = [line for line in error.getvalue().splitlines() if line.startswith("error: ")]
        assert (status, len(lines)) in ((0, 0), (2, 1))
        assert all(line.isprintable() and len(line) < 1000 for line in lines)


DAMAGED = ("remove1M.txt", "vocab.bin", "vocab.txt", "vocab.pkl", "classes1M.pkl", "food101_classes_renamed.txt")


def check_damaged(source: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from((*DAMAGED, "layer1.json", "layer2.json", "det_ingrs.json")))
    vocabulary = ("--vocab", f"SOURCE/{name}") if name.startswith("vocab") else ()
    run_damaged(source, name, data, "check", "--source", "SOURCE", "--resize", "8", *vocabulary)


@pytest.mark.parametrize("examples", [60, pytest.param(800, marks=pytest.mark.slow)])
def test_a_damaged_file_is_read_or_refused_in_one_line(source, examples):
    @settings(ANY_TIME, max_examples=examples)
    @given(st.data())
    def explore(data):
        check_damaged(source, data)

    explore()


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encodings")
    write_file(folder, "train", encodings([3, 1, 2], [2, 0, 4])[0])
    return folder


@settings(ANY_TIME, max_examples=60)
@given(st.data())
def test_damaged_vectors_are_read_or_refused_in_one_line(encoded, data):
    arguments = ("vectors", "--source", "SOURCE", "--out", "SOURCE/sentences.npy")
    run_damaged(encoded, "encs_train_1024.t7", data, *arguments)


PROGRAM = """
import json, re, sys
from pathlib import Path
opened = []
sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
from data_builders.recipe1m.__main__ import main
status = main(sys.argv[2:])
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
Path(sys.argv[1]).write_text(json.dumps({"opened": opened, "peak": peak}))
sys.exit(status)
"""


def test_photos_of_all_kinds(tmp_path):
    download, good = Download(), set()
    numbers = itertools.count(1)

    def add(image_id=None) -> tuple[str, str]:
        identity = download.add(next(numbers))
        photo = download.layer2[-1]["images"][0]
        name = photo["id"]
        photo["id"] = name if image_id is None else image_id
        return identity, name

    for photo in (*hostile.GOOD_PHOTOS.values(), *hostile.BAD_PHOTOS.values()):
        identity, name = add()
        download.photos["train", name] = photo
        good |= {identity} if photo in hostile.GOOD_PHOTOS.values() else set()
    for image_id in (*hostile.IMAGE_IDS, 5, True, ["x"], {"x": 1}, "HUGE"):
        add(image_id)
    made = {name: make for make in hostile.NO_FILES.values() for _, name in [add()]}
    source = download.write(tmp_path / "download")
    for name, make in made.items():
        path = source.joinpath("images", "train", *name[:4], name)
        path.unlink()
        make(path)
    layer2 = source / "layer2.json"
    layer2.write_text(layer2.read_text().replace('"HUGE"', "9" * 6000))
    facts, report = tmp_path / "facts.json", tmp_path / "report"
    command = [sys.executable, "-c", PROGRAM, facts, "check", "--source", source, "--out", report, *FEW_WORDS]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    rows = [line.split("\t") for line in (report / "dropped.tsv").read_text().splitlines()]
    dropped = {row[2] for row in rows if row[0] == "recipe"}
    assert dropped == {record["id"] for record in download.layer1} - good
    assert sum(row[0] == "photo" for row in rows) == len(dropped)
    known = json.loads(facts.read_text())
    assert not {"/etc/passwd", "/dev/zero"} & set(known["opened"])
    assert any(path.startswith(str(source / "images")) for path in known["opened"])
    assert known["peak"] < 400 * 1024
