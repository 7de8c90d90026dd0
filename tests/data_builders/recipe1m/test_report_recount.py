"""Counts again what a report says, with `json`, Pillow and `hashlib` alone: of a mess and of real recipes."""

import hashlib
import itertools
import json
import os
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.data_builders.recipe1m.messy import messy
from tests.data_builders.recipe1m.planted import run

REAL = Path(os.environ.get("ADAMINE_REAL_DATA") or Path(__file__).resolve().parents[3] / ".." / "shared")
MIN_COUNT, RESIZE = 3, 50
PAIRS = [("train", "val"), ("train", "test"), ("val", "test")]


@pytest.fixture(scope="module", params=["messy", "real_recipes", "real_drinks"])
def download(request, tmp_path_factory):
    if request.param == "messy":
        return messy().write(tmp_path_factory.mktemp("messy") / "messy")
    if not (REAL / request.param).is_dir():
        pytest.skip("the real collections are not here")
    return REAL / request.param


@pytest.fixture(scope="module")
def folder(download, tmp_path_factory):
    out = tmp_path_factory.mktemp("report") / "report"
    flags = ("--word-min-count", MIN_COUNT, "--class-min-train", "2", "--resize", RESIZE)
    assert run("check", "--source", download, "--out", out, *flags) == 0
    return out


@pytest.fixture(scope="module")
def report(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def split_words(line, detected):
    for ingredient, sure in zip(detected["ingredients"], detected["valid"], strict=True):
        if sure and ingredient["text"].strip():
            line = line.replace(ingredient["text"], ingredient["text"].replace(" ", "_"))
    return re.sub(r"([,.;()?!&%:*\"])", r" \1 ", line).split()


def photo_facts(path):
    """(upright size, format, SHA-1 of the file); None when it cannot be read."""
    try:
        with Image.open(path) as image:
            image.load()
            return ImageOps.exif_transpose(image).size, image.format, hashlib.sha1(path.read_bytes()).hexdigest()
    except OSError:
        return None


@pytest.fixture(scope="module")
def kept(download):
    """What should be kept, and what it holds."""
    layers = {name: json.loads((download / f"{name}.json").read_text()) for name in ("layer1", "layer2", "det_ingrs")}
    images = {record["id"]: [image["id"] for image in record["images"]] for record in layers["layer2"]}
    detected = {record["id"]: record for record in layers["det_ingrs"]}
    counts = Counter()
    for recipe in layers["layer1"]:
        if recipe["partition"] == "train":
            found = detected[recipe["id"]]
            counts.update(name["text"].replace(" ", "_") for name in found["ingredients"] if name["text"])
            for line in recipe["instructions"]:
                counts.update(split_words(line["text"], found))
    vocabulary = {word for word, count in counts.items() if word and count >= MIN_COUNT}
    result = []
    for recipe in layers["layer1"]:
        found = detected[recipe["id"]]
        names = [name["text"] for name in found["ingredients"]]
        known = {name for name in names if name.replace(" ", "_") in vocabulary}
        listed = images.get(recipe["id"], [])[:5]
        paths = [download.joinpath("images", recipe["partition"], *name[:4], name) for name in listed]
        photos = [(path.name, facts) for path in paths if path.is_file() and (facts := photo_facts(path))]
        if photos and len(recipe["instructions"]) < 20 and len(known) + 1 < 20:
            sentences = [split_words(line["text"], found) for line in recipe["instructions"]]
            text = [recipe["title"], *(" ".join(x["text"] for x in recipe[f]) for f in ("ingredients", "instructions"))]
            result.append(
                {
                    "id": recipe["id"],
                    "partition": recipe["partition"],
                    "title": recipe["title"].lower(),
                    "lines": len(recipe["ingredients"]),
                    "known": len(known),
                    "sentences": [len(words) for words in sentences],
                    "unknown": [word for words in sentences for word in words if word not in vocabulary],
                    "names": sum(map(bool, names)),
                    "unknown names": [name for name in names if name and name not in known],
                    "photos": photos,
                    "text": "\n".join(" ".join(part.lower().split()) for part in text),
                }
            )
    return result


def same(distribution, values):
    assert distribution["counts"] == {str(value): count for value, count in sorted(Counter(values).items())}
    shares = {"min": 0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "max": 1}
    expected = {name: np.quantile(values, share, method="inverted_cdf") for name, share in shares.items()}
    assert {name: distribution[name] for name in shares} == expected


@pytest.mark.parametrize("download", ["messy"], indirect=True)
def test_the_mess_has_something_of_everything(report):
    assert report["kept"]["all"] < report["records"]["all"] == 90
    assert min(report["kept"][name] for name in ("train", "val", "test")) >= 5
    nothing = [name for name, entry in report["beyond_the_model"].items() if not entry["count"]]
    assert nothing == ["recipes with more than 19 known ingredients", "recipes with more than 20 instructions"]
    assert set(report["photos"]["formats"]) == {"JPEG", "PNG", "GIF"}
    assert len(report["classes"]) > 1
    assert all(shared["contents"] for places, shared in report["duplicates"]["photos"].items() if "and" in places)
    assert report["duplicates"]["texts"]["train and test"]["contents"]
    for kind in ("photos", "texts"):
        assert report["duplicates"][kind]["train"]["contents"]


def test_lengths(kept, report):
    assert report["kept"]["all"] == len(kept)
    lengths = report["lengths"]
    same(lengths["ingredient lines per recipe"], [recipe["lines"] for recipe in kept])
    same(lengths["known ingredients per recipe"], [recipe["known"] for recipe in kept])
    same(lengths["instructions per recipe"], [len(recipe["sentences"]) for recipe in kept])
    sentences = [length for recipe in kept for length in recipe["sentences"]]
    same(lengths["words per instruction"], sentences)
    same(lengths["words per recipe"], [sum(recipe["sentences"]) for recipe in kept])
    beyond = {name: (entry["count"], entry["of"]) for name, entry in report["beyond_the_model"].items()}
    assert beyond == {
        "recipes with more than 19 known ingredients": (0, len(kept)),
        "recipes with more than 20 instructions": (0, len(kept)),
        "recipes with an instruction of more than 48 words": (
            sum(any(length > 48 for length in recipe["sentences"]) for recipe in kept),
            len(kept),
        ),
        "instructions of more than 48 words": (sum(length > 48 for length in sentences), len(sentences)),
        "words after the 48th of an instruction": (sum(max(n - 48, 0) for n in sentences), sum(sentences)),
        "recipes without a known ingredient": (sum(not recipe["known"] for recipe in kept), len(kept)),
        "recipes without an instruction": (sum(not recipe["sentences"] for recipe in kept), len(kept)),
        "instructions without a word": (sentences.count(0), len(sentences)),
    }


def test_unknown_words_and_names(kept, report):
    words = report["words"]
    assert words["ingredient_names"] == sum(recipe["names"] for recipe in kept)
    for name, total, top in (
        ("unknown", "unknown", "most_frequent_unknown"),
        ("unknown names", "unknown_ingredient_names", "most_frequent_unknown_ingredient_names"),
    ):
        counts = Counter(text for recipe in kept for text in recipe[name])
        assert words[total] == counts.total() > 0
        assert list(words[top].items()) == sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:20]
    assert words["counts_may_be_too_low_by"] == words["name_counts_may_be_too_low_by"] == 0


def test_photos(kept, report):
    facts = [fact for recipe in kept for _, fact in recipe["photos"]]
    photos = report["photos"]
    assert photos["used"] == len(facts)
    same(photos["original_sides"]["width"], [size[0] for size, _, _ in facts])
    same(photos["original_sides"]["height"], [size[1] for size, _, _ in facts])
    same(photos["original_sides"]["shorter side"], [min(size) for size, _, _ in facts])
    assert photos["formats"] == Counter(name for _, name, _ in facts)
    assert photos["smaller_than_resize"] == sum(min(size) < RESIZE for size, _, _ in facts)


@pytest.mark.parametrize("kind", ["photos", "texts"])
def test_duplicates(kept, report, kind):
    if kind == "photos":
        items = [(recipe["partition"], name, fact[2]) for recipe in kept for name, fact in recipe["photos"]]
    else:
        items = [(recipe["partition"], recipe["id"], recipe["text"]) for recipe in kept]
    found = report["duplicates"][kind]
    for one, other in PAIRS:
        equal = [(a, b) for a, b in itertools.product(items, items) if (a[0], b[0], a[2]) == (one, other, b[2])]
        entry = found[f"{one} and {other}"]
        assert entry["contents"] == len({a[2] for a, _ in equal})
        assert entry["items"] == {one: len({a[1] for a, _ in equal}), other: len({b[1] for _, b in equal})}
        assert {tuple(names) for names in entry["first"]} <= {(a[1], b[1]) for a, b in equal}
        assert len(entry["first"]) == min(entry["contents"], 10)
    for place in ("train", "val", "test"):
        contents = [content for partition, _, content in items if partition == place]
        assert found[place]["items"] == {place: len(contents) - len(set(contents))}


def test_classes(kept, report):
    left, class_of = list(kept), {}
    for name, sizes in list(report["classes"].items())[1:]:
        found = [recipe for recipe in left if name in recipe["title"]]
        assert sizes == {place: sum(r["partition"] == place for r in found) for place in ("train", "val", "test")}
        assert min(sizes.values()) >= 1
        class_of |= {recipe["id"]: name for recipe in found}
        left = [recipe for recipe in left if recipe not in found]
    background = {place: sum(r["partition"] == place for r in left) for place in ("train", "val", "test")}
    assert report["classes"]["background"] == background
    places = {recipe["id"]: recipe["partition"] for recipe in kept}
    assert len({entry["id"] for entry in report["sample"]}) == 24
    for entry in report["sample"]:
        assert entry["partition"] == places[entry["id"]]
        assert entry["class"] == class_of.get(entry["id"], "background")


def test_the_page_agrees_with_the_numbers(folder, report):
    page = (folder / "report.md").read_text(encoding="utf-8")
    tables = {}
    for line in page.splitlines():
        if line.startswith("|"):
            name, *cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            tables.setdefault(name, cells)
    for name, entry in report["lengths"].items():
        assert tables[name] == [str(entry[key]) for key in ("min", "5 %", "median", "95 %", "max")]
    for name, entry in report["beyond_the_model"].items():
        assert tables[name][0] == str(entry["count"])
    for places, shared in report["duplicates"]["texts"].items():
        if shared["contents"] and " and " in places:
            assert tables[f"texts in {places}"][0] == str(shared["contents"])
            assert f"- {shared['first'][0][0]} = {shared['first'][0][1]}" in page
    background, everything = report["classes"]["background"], report["kept"]
    shares = [f"{100 * background[name] / everything[name]:.1f} %" for name in ("train", "val", "test")]
    assert tables["share"][1:] == shares
    for picture in re.findall(r"!\[[^]]*]\(([^)]*)\)", page):
        assert (folder / picture).is_file()


def test_every_row_of_a_table_has_as_many_cells_as_its_head(folder):
    page = (folder / "report.md").read_text(encoding="utf-8")
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table
