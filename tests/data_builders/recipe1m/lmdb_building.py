"""Builds from a small `data_lmdb`, and what is in them."""

import numpy as np

from tests.data_builders.recipe1m.collection import read_records
from tests.data_builders.recipe1m.planted import run

WORDS = ("salt", "olive_oil", "red_onion", "the")
NAMES = {0: "background", 1: "apple pie", 2: "soup"}


def write_vocabulary(folder):
    folder.mkdir(parents=True, exist_ok=True)
    rows = [word.encode() + b" " + np.arange(3, dtype="<f4").tobytes() for word in WORDS]
    (folder / "vocab.bin").write_bytes(b"4 3\n" + b"".join(rows))
    return folder


def build(source, out, *flags):
    """The folder of the collection that is built."""
    assert run("--source", source, "--out", out, *flags) == 0
    return out / "recipe1m" / "1.0.0"


def records_of(place):
    return {r["id"][0].decode(): r for name in ("train", "val", "test") for r in read_records(place, name)}
