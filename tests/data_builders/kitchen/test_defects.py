"""Planted defects occur at their rates, at positions that do not depend on the number of recipes."""

import collections
import io

import numpy as np
import pytest
from PIL import Image

from data_builders.kitchen import defects


@pytest.mark.parametrize("block", [0, 1, 7])
def test_every_block_has_each_defect_at_its_rate(block):
    found = collections.Counter(
        defects.defect_of(3, index).kind for index in range(block * defects.BLOCK, (block + 1) * defects.BLOCK)
    )
    clean = found.pop("")
    assert found == defects.PER_BLOCK
    assert clean == defects.BLOCK - sum(defects.PER_BLOCK.values())


def test_positions_differ_between_blocks_and_seeds():
    places = {
        tuple(i for i in range(defects.BLOCK) if defects.defect_of(seed, offset + i).kind == "removed")
        for seed, offset in ((3, 0), (3, defects.BLOCK), (4, 0))
    }
    assert len(places) == 3


def test_numbers_of_photos():
    for index in range(2000):
        defect = defects.defect_of(1, index)
        if defect.kind in ("absent_from_layer2", "no_images"):
            assert defect.photos == 0
        elif defect.kind == "several_photos":
            assert 2 <= defect.photos <= 7
        elif defect.kind in ("truncated_photo", "text_photo", "missing_photo"):
            assert 1 <= defect.photos <= 7
        else:
            assert defect.photos == 1
    counts = {defects.defect_of(1, index).photos for index in range(2000)}
    assert counts == set(range(8))


def test_damaged_photos_cannot_be_read():
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(stream, "JPEG")
    jpeg = stream.getvalue()
    assert defects.damaged_photo(jpeg, "") == jpeg
    assert defects.damaged_photo(jpeg, "missing_photo") is None
    for kind in ("truncated_photo", "text_photo"):
        with (
            pytest.raises(OSError, match=r"truncated|identify"),
            Image.open(io.BytesIO(defects.damaged_photo(jpeg, kind))) as picture,
        ):
            picture.load()


def test_odd_unicode_keeps_the_texts_and_adds_to_them():
    seen = set()
    for seed in range(20):
        title, lines, steps = defects.with_odd_unicode(
            "Pie", ("1 egg", "2 cups milk"), ("Mix .",), np.random.default_rng(seed)
        )
        assert title.startswith("Pie ")
        assert lines[0] == "1 egg"
        assert "\N{NO-BREAK SPACE}" in lines[1]
        assert steps[0] == "Mix ."
        assert len(steps) == 2
        seen |= set(title + lines[1] + steps[1])
    for sign in "é\N{FACE SAVOURING DELICIOUS FOOD}\N{COMBINING TILDE}ש\N{ARABIC LETTER KAF}\N{ZERO WIDTH SPACE}":
        assert sign in seen
