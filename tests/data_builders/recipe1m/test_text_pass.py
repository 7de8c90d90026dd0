import pickle
from pathlib import Path

import pytest

from data_builders.recipe1m.layers import fields as layer_fields
from data_builders.recipe1m.layers import reading as layers
from data_builders.recipe1m.layers.reading import Layers
from data_builders.recipe1m.options import Options
from data_builders.recipe1m.passes.photo_places import Listed
from data_builders.recipe1m.passes.text_pass import BlockOutcomes, Dropped, Encoded, FilterAndEncode
from data_builders.recipe1m.recipes import Unusable
from tests.data_builders.recipe1m.messy import messy


class NeverFits:
    def decode(self, text):
        raise UnicodeDecodeError("utf-8", text, 0, 1, "a decoder that takes nothing")


def outcomes_of(source: Path) -> list[BlockOutcomes]:
    download = Layers(source)
    ids = {word: number for number, word in enumerate(("salt", "olive_oil", "Heat", "the", ".", ","), start=2)}
    options = Options(partitions="train,val", unknown_ingredients="words", images_per_recipe=1)
    task = FilterAndEncode(download, ids, 8, frozenset(), source / "images", options)
    try:
        return [task(block) for block in download.blocks]
    finally:
        download.close()


def test_records_that_fit_and_those_that_are_looked_at_one_by_one_are_read_alike(tmp_path, monkeypatch):
    source = messy().write(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(layers, "read_block", lambda *_: pytest.fail("they all fit"))
        at_once = outcomes_of(source)
    for name in ("RECORDS", "LISTED", "DETECTED"):
        monkeypatch.setattr(layer_fields, name, NeverFits())
    assert outcomes_of(source) == at_once
    types = [type(outcome) for block in at_once for outcome in block.outcomes]
    assert {Encoded, Dropped} <= set(types)


@pytest.mark.parametrize(
    "outcome",
    [
        Encoded("00000000aa", "é", "val", [Listed("a.jpg", "/a.jpg")], 2, b"{}", 1, 2, [3], ["w"], None, [], 2**64 - 1),
        Dropped("00000000aa", "", "train", "why"),
        Unusable("record 1", "unknown", "why"),
    ],
)
def test_what_is_decided_comes_whole_from_another_process(outcome):
    of_block = BlockOutcomes([outcome], [["apple", "pie"]])
    assert pickle.loads(pickle.dumps(of_block)) == of_block
