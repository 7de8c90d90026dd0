"""Panels of photos retrieved for an ingredient: results checked against a loop, and positions on the page."""

import numpy as np
import pytest
from PIL import Image

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.items import Item
from adamine_jax.plots import ingredient_panels
from tests.plots.recording import record
from tests.tiny_gallery import color_of, photo_of, write_gallery


@pytest.fixture
def opened(tmp_path):
    """(gallery, items) of 30 recipes: every third contains an egg, even rows are soups."""
    rng = np.random.default_rng(0)
    lines = [("2 eggs",) if row % 3 == 0 else ("1 eggplant", "salt") for row in range(30)]
    items = [
        Item(f"{row:010x}", f"Dish {row}", ("soup", "background")[row % 2], lines[row], (), photo_of(row))
        for row in range(30)
    ]
    image, recipe = rng.normal(size=(2, 30, 5))
    image /= np.linalg.norm(image, axis=1, keepdims=True)
    gallery = write_gallery(tmp_path / "gallery", items, image, recipe, ["soup", "stew"])
    return gallery, [gallery.item(row) for row in range(30)]


QUERY = np.float32([1, 0, 0, 0, 0])


def nearest(gallery, rows, count):
    scores = [(-float(np.dot(gallery.embeddings("image")[row], QUERY)), row) for row in rows]
    return [row for _, row in sorted(scores)[:count]]


@pytest.mark.parametrize(("within", "rows"), [(None, range(30)), ("soup", range(0, 30, 2))])
def test_results_precision_and_base_rate(opened, within, rows):
    gallery, items = opened
    panel = ingredient_panels.find(gallery, items, "egg", QUERY, within)
    expected = nearest(gallery, rows, 12)
    assert [item.id for item in panel.items] == [f"{row:010x}" for row in expected]
    assert panel.contains == [row % 3 == 0 for row in expected]
    assert panel.precision == sum(row % 3 == 0 for row in expected) / 12
    assert panel.base_rate == sum(row % 3 == 0 for row in rows) / len(rows)
    assert panel.num_searched == len(rows)
    name = "egg within soup" if within else "egg"
    assert str(panel).startswith(f"{name}: {sum(panel.contains)} of the 12 nearest photos")
    assert "33.3 %" in str(panel)


def test_an_unreadable_photo_is_replaced_by_the_next(opened, capsys):
    gallery, items = opened
    best, *others = nearest(gallery, range(30), 13)
    (gallery.folder / "photos" / f"{best:08d}.jpg").write_bytes(b"x")
    panel = ingredient_panels.find(gallery, items, "egg", QUERY)
    assert [item.id for item in panel.items] == [f"{row:010x}" for row in others]
    (line,) = capsys.readouterr().err.splitlines()
    assert f"the photo of recipe {best:010x}" in line


def test_a_missing_class_is_an_error(opened):
    with pytest.raises(UserError, match="no class 'pie'"):
        ingredient_panels.find(*opened, "egg", QUERY, "pie")


def test_photos_are_in_order_and_ticked_if_they_contain_it(opened, tmp_path, monkeypatch):
    gallery, items = opened
    panels = [ingredient_panels.find(gallery, items, name, QUERY, within) for name, within in EGGS]
    photos, ticks, _, texts = record(monkeypatch)
    png, svg = ingredient_panels.draw(panels, tmp_path / "panels.png")

    shown = [item for panel in panels for item in panel.items]
    assert [color for *_, color in photos] == [color_of(int(item.id, 16)) for item in shown]
    places = [(y, x) for x, y, *_ in photos]
    assert places == sorted(places), "row by row, panel below panel"
    assert len({y for y, _ in places}) == 4, "two rows of six each"
    contains = [each for panel in panels for each in panel.contains]
    assert len(ticks) == sum(contains) + 1, "and one in the key"
    for (x, y, side, _), expected in zip(photos, contains, strict=True):
        inside = [x < at_x < x + side and y < at_y < y + side for at_x, at_y in ticks]
        assert sum(inside) == expected
    for panel in panels:
        assert f"{100 * sum(panel.contains) / 12:.0f} %" in texts
        assert f"{100 * panel.base_rate:.1f} %" in texts
    assert "of all 15 in class soup" in texts

    with Image.open(png) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    for x, y, side, color in photos:
        middle = pixels[round((y + 0.7 * side) * 200), round((x + side / 2) * 200)]
        np.testing.assert_allclose(middle, color, atol=2)
    again = ingredient_panels.draw(panels, tmp_path / "again.png")
    assert [path.read_bytes() for path in again] == [png.read_bytes(), svg.read_bytes()]


EGGS = (("egg", None), ("egg", "soup"))
