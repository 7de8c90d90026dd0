"""Planted defects come at their rates, at places that do not depend on the number of recipes."""

import collections
import io

import numpy as np
import pytest
from PIL import Image

from data_builders.kitchen import mess


@pytest.mark.parametrize("block", [0, 1, 7])
def test_every_block_has_each_defect_so_many_times(block):
    found = collections.Counter(
        mess.mess_of(3, index).defect for index in range(block * mess.BLOCK, (block + 1) * mess.BLOCK)
    )
    clean = found.pop("")
    assert found == mess.PER_BLOCK
    assert clean == mess.BLOCK - sum(mess.PER_BLOCK.values())


def test_the_places_differ_between_blocks_and_seeds():
    places = {
        tuple(i for i in range(mess.BLOCK) if mess.mess_of(seed, offset + i).removed)
        for seed, offset in ((3, 0), (3, mess.BLOCK), (4, 0))
    }
    assert len(places) == 3


def test_how_many_photos_a_recipe_has():
    for index in range(2000):
        m = mess.mess_of(1, index)
        if m.defect in ("absent_from_layer2", "no_images"):
            assert m.photos == 0
        elif m.defect == "several_photos":
            assert 2 <= m.photos <= 7
        elif m.defect in ("truncated_photo", "text_photo", "missing_photo"):
            assert 1 <= m.photos <= 7
        else:
            assert m.photos == 1
    counts = {mess.mess_of(1, index).photos for index in range(2000)}
    assert counts == set(range(8))


def test_damaged_photos_cannot_be_read():
    stream = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(stream, "JPEG")
    jpeg = stream.getvalue()
    assert mess.damaged(jpeg, "") == jpeg
    assert mess.damaged(jpeg, "missing_photo") is None
    for defect in ("truncated_photo", "text_photo"):
        with (
            pytest.raises(OSError, match=r"truncated|identify"),
            Image.open(io.BytesIO(mess.damaged(jpeg, defect))) as picture,
        ):
            picture.load()


def test_odd_unicode_keeps_the_texts_and_adds_to_them():
    seen = set()
    for seed in range(20):
        title, lines, steps = mess.with_odd_unicode(
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
