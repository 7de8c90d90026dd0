"""Recounts, with `json` and Pillow alone, which real recipes the filter rules keep."""

import hashlib
import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from data_builders.recipe1m.__main__ import main
from tests.data_builders.recipe1m.collection import read_records

REAL = Path(os.environ.get("ADAMINE_REAL_DATA") or Path(__file__).resolve().parents[3] / ".." / "shared")


def split_words(line, detected):
    for ingredient, sure in zip(detected["ingredients"], detected["valid"], strict=True):
        if sure and ingredient["text"].strip():
            line = line.replace(ingredient["text"], "_".join(ingredient["text"].split(" ")))
    return re.sub(r"([,.;()?!&%:*\"])", r" \1 ", line).split()


def opens(path):
    try:
        Image.open(path).convert("RGB")
    except OSError:
        return False
    return True


def naive_collection(source):
    """Returns the expected words of the vocabulary, and the ingredient words and word count of each kept recipe."""
    layers = {n: json.loads((source / f"{n}.json").read_text()) for n in ("layer1", "layer2", "det_ingrs")}
    images = {record["id"]: record["images"] for record in layers["layer2"]}
    detected = {record["id"]: record for record in layers["det_ingrs"]}
    counts = Counter()
    for recipe in layers["layer1"]:
        if recipe["partition"] == "train":
            found = detected[recipe["id"]]
            counts.update("_".join(name["text"].split(" ")) for name in found["ingredients"])
            for line in recipe["instructions"]:
                counts.update(split_words(line["text"], found))
    vocabulary = {word for word, count in counts.items() if word and count >= 10}
    kept = {}
    for recipe in layers["layer1"]:
        names = ["_".join(name["text"].split(" ")) for name in detected[recipe["id"]]["ingredients"]]
        names = [name for n, name in enumerate(names) if name in vocabulary and name not in names[:n]]
        photos = [
            image["id"]
            for image in images.get(recipe["id"], [])[:5]
            if opens(source / "images" / recipe["partition"] / "/".join(image["id"][:4]) / image["id"])
        ]
        if photos and len(recipe["instructions"]) < 20 and len(names) + 1 < 20:
            words = [split_words(line["text"], detected[recipe["id"]]) for line in recipe["instructions"]]
            kept[recipe["id"]] = (recipe["partition"], names, [len(line) for line in words], photos)
    return vocabulary, kept, [recipe["id"] for recipe in layers["layer1"]]


@pytest.mark.parametrize("name", ["real_recipes", "real_drinks"])
def test_a_real_collection_agrees_with_a_plain_count(name, tmp_path):
    source = REAL / name
    if not source.is_dir():
        pytest.skip("the real collections are not here")
    vocabulary, kept, ids = naive_collection(source)
    assert main(["--source", str(source), "--out", str(tmp_path), "--word-epochs", "1", "--word-dim", "8"]) == 0
    place = tmp_path / "recipe1m" / "1.0.0"
    words = (place / "words.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert set(words) == vocabulary
    assert len(words) == len(vocabulary)
    found = {}
    for partition in ("train", "val", "test"):
        for record in read_records(place, partition):
            names = [words[word_id - 2] for word_id in record["ingredient_ids"][:-1]]
            photos = [photo.decode() for photo in record["image_ids"]]
            found[record["id"][0].decode()] = (partition, names, record["sentence_lengths"], photos)
            assert record["ingredient_ids"][-1] == 1
    assert found == kept
    lines = (place / "dropped.tsv").read_text(encoding="utf-8").splitlines()
    dropped = [line.split("\t")[2] for line in lines if line.startswith("recipe")]
    assert sorted(dropped + list(kept)) == sorted(ids)


def test_default_vectors_are_the_same_in_two_builds(tmp_path):
    source = REAL / "real_recipes"
    if not source.is_dir():
        pytest.skip("the real collections are not here")
    digests = []
    for out in ("a", "b"):
        assert main(["--source", str(source), "--out", str(tmp_path / out), "--word-epochs", "2"]) == 0
        place = tmp_path / out / "recipe1m" / "1.0.0"
        digests.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in place.iterdir()})
    assert digests[0] == digests[1]
