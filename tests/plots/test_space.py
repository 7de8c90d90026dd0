"""The map: chosen pairs, input of t-SNE, and positions of the markers."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.items import Item
from adamine_jax.plots import space, style

CLASSES = ["soup", "pizza", "tart", "stew", "roast", "curry", "salad", "bread", "background", ""]


def make_items(counts):
    """Items with interleaved classes and ids in another order than the rows."""
    names = [name for turn in range(max(counts.values())) for name, count in counts.items() if turn < count]
    return [Item(f"{(7 * row) % 1009:04d}", f"Dish {row}", name) for row, name in enumerate(names)]


def unit(rng, n, dim=6):
    rows = rng.normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_the_seven_largest_classes_have_colors():
    items = make_items(dict(zip(CLASSES, [3, 9, 4, 4, 5, 6, 7, 2, 50, 40], strict=True)))
    assert space.colored_classes(items) == ["pizza", "salad", "curry", "roast", "stew", "tart", "soup"]
    assert space.colored_classes(make_items({"background": 5, "": 3, "soup": 1})) == ["soup"]


def test_pairs_of_the_classes_come_first():
    items = make_items({"soup": 6, "pizza": 8, "bread": 5, "background": 30})
    for pairs, whole, cut in [(10, (), {"soup", "pizza"}), (17, ("soup", "pizza"), {"bread"}), (25, CLASSES[:2], None)]:
        rows = space.choose_pairs(items, ["soup", "pizza"], pairs, seed=3)
        assert len(set(rows.tolist())) == pairs
        names = [items[row].class_name for row in rows]
        assert all(names.count(name) == {"soup": 6, "pizza": 8}[name] for name in whole)
        if cut:
            assert set(names) - set(whole) == cut
        else:
            assert names.count("bread") == 5
    assert len(space.choose_pairs(items, [], 400, 0)) == 49


def test_the_choice_depends_on_seed_and_ids_and_not_on_the_order():
    items = make_items({"soup": 20, "background": 20})

    def chosen(items, seed):
        return [items[row].id for row in space.choose_pairs(items, ["soup"], 8, seed)]

    assert chosen(items, 0) == chosen(items[::-1], 0)
    assert chosen(items, 0) != chosen(items, 1)


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws with random positions; returns the figure, the projected rows and the positions."""

    def draw(items, image, recipe, pairs=400, seed=0):
        caught = {}

        def project(embeddings, seed):
            caught["rows"] = embeddings
            return np.random.default_rng(0).normal(size=(len(embeddings), 2))

        monkeypatch.setattr(space, "project", project)
        monkeypatch.setattr(style, "save_both", lambda figure, path, dpi=200: caught.update(figure=figure))
        space.draw_map(items, image, recipe, pairs, seed, tmp_path / "map.png")
        places = np.random.default_rng(0).normal(size=(len(caught["rows"]), 2))
        return caught["figure"], caught["rows"], places

    return draw


def test_projected_rows_and_drawn_positions(drawn):
    items = make_items({"soup": 6, "pizza": 9, "background": 12})
    rng = np.random.default_rng(5)
    image, recipe = unit(rng, 27), unit(rng, 27)
    figure, projected, places = drawn(items, image, recipe, pairs=20)
    assert projected.shape == (40, 6)
    rows = [int(np.flatnonzero((image == row).all(axis=1))[0]) for row in projected[:20]]
    np.testing.assert_array_equal(projected[20:], recipe[rows])

    axes = figure.axes[0]
    points = {c.get_label(): c for c in axes.collections if not isinstance(c, LineCollection)}
    names = np.array([items[row].class_name for row in rows])
    for name, label, color in [
        ("pizza", "pizza", style.BLUE),
        ("soup", "soup", style.VERMILION),
        ("background", "", None),
    ]:
        own = np.flatnonzero(names == name)
        assert len(own)
        photos, recipes = points[f"photos {label}"], points[f"recipes {label}"]
        np.testing.assert_allclose(photos.get_offsets(), places[own])
        np.testing.assert_allclose(recipes.get_offsets(), places[own + 20])
        found = {to_hex(photos.get_facecolor()[0]), to_hex(recipes.get_edgecolor()[0])}
        assert found == ({color} if color else {"#bdbdbd"})
        assert len(recipes.get_facecolor()) == 0, "hollow, so that a photo below it is visible"
    assert photos.get_paths()[0].vertices.shape != recipes.get_paths()[0].vertices.shape, "different markers"

    joined = [segment for c in axes.collections if isinstance(c, LineCollection) for segment in c.get_segments()]
    expected = {tuple(np.concatenate([places[i], places[i + 20]]).round(6)) for i in range(20)}
    assert {tuple(segment.ravel().round(6)) for segment in joined} == expected

    written = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert written == ["pizza (9)", "soup (6)", "other or none (5)", "photo", "recipe", "a pair"]


def test_neighbours_stay_neighbours_for_any_number_of_threads(tmp_path):
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    centers = unit(rng, 3)
    rows = np.repeat(centers, 20, axis=0) + 0.05 * unit(rng, 60)
    with threadpool_limits(limits=2):
        places = space.project(rows, seed=1)
    with threadpool_limits(limits=1):
        np.testing.assert_array_equal(space.project(rows, seed=1), places)
    distances = np.linalg.norm(places[:, None] - places, axis=-1) + 1e9 * np.eye(60)
    assert (distances.argmin(axis=1) // 20 == np.arange(60) // 20).all()


def test_files_are_reproducible_and_any_class_name_can_be_drawn(tmp_path):
    items = make_items({"麻婆豆腐 $5 \\frac{" * 5: 3, "background": 2})
    rng = np.random.default_rng(0)
    arguments = items, unit(rng, 5), unit(rng, 5), 400, 0
    first, second = (space.draw_map(*arguments, tmp_path / name / "map.png") for name in "ab")
    assert [path.name for path in first] == ["map.png", "map.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


def test_errors_for_unsuitable_embeddings(tmp_path):
    items, rng = make_items({"soup": 5}), np.random.default_rng(0)
    image, recipe = unit(rng, 5), unit(rng, 5)
    with pytest.raises(UserError, match="3 pairs are too few for a map; at least 4 are needed"):
        space.draw_map(items[:3], image[:3], recipe[:3], 400, 0, tmp_path / "map.png")
    same = np.tile(image[:1], (5, 1))
    with pytest.raises(UserError, match="all embeddings are equal"):
        space.draw_map(items, same, same, 400, 0, tmp_path / "map.png")
    recipe[2] = np.nan
    with pytest.raises(UserError, match=f"recipe embedding of row 2 .id {items[2].id}. contains NaN"):
        space.draw_map(items, image, recipe, 400, 0, tmp_path / "map.png")
