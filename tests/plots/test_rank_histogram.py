"""Histograms of ranks, checked against naively counted ranks."""

import itertools

import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.plots import style
from adamine_jax.plots.rank_histogram import bin_edges, rank_histogram


def unit(rng, n, dim):
    rows = rng.normal(size=(n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def counted_ranks(queries, candidates):
    """Rank of candidate i for query i, ties counted by halves."""
    ranks = []
    for i, query in enumerate(queries):
        scores = [float(np.dot(query, candidate)) for candidate in candidates]
        ranks.append(1 + sum(s > scores[i] for s in scores) + (sum(s == scores[i] for s in scores) - 1) / 2)
    return np.array(ranks)


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    def draw(image, recipe):
        figures = []
        with monkeypatch.context() as patch:
            patch.setattr(style, "save_both", lambda figure, path, dpi=200: figures.append(figure))
            rank_histogram(image, recipe, tmp_path / "ranks.png")
        return figures[0].axes

    return draw


def bars_of(axes):
    return [(bar.get_x(), bar.get_x() + bar.get_width(), bar.get_height()) for bar in axes.containers[0]]


def test_bars_recalls_and_median_of_both_directions(drawn):
    rng = np.random.default_rng(0)
    image = unit(rng, 60, 8)
    recipe = image + 0.5 * unit(rng, 60, 8)
    panels = drawn(image, recipe)
    assert [axes.get_title(loc="left") for axes in panels] == ["image → recipe", "recipe → image"]
    for axes, ranks in zip(panels, (counted_ranks(image, recipe), counted_ranks(recipe, image)), strict=True):
        bars = bars_of(axes)
        assert bars[0][:2] == (1, 2)
        assert bars[-1][1] == 61
        for left, right, height in bars:
            assert height == pytest.approx(100 * sum(left <= rank < right for rank in ranks) / 60)
        texts = [text.get_text() for text in axes.texts]
        assert f"MedR {sorted(ranks)[29] / 2 + sorted(ranks)[30] / 2:g}" in texts
        for k in (1, 5, 10):
            share = 100 * sum(rank <= k for rank in ranks) / 60
            assert f"R@{k} {share:.1f} %" in texts
            assert sum(height for _, right, height in bars if right <= k + 1) == pytest.approx(share)
            (line,) = [line for line in axes.lines if line.get_label() == f"R@{k}"]
            assert line.get_xdata().tolist() == [1, k + 1]


def test_chance_is_the_share_of_ranks_in_a_bin(drawn):
    rng = np.random.default_rng(1)
    axes = drawn(unit(rng, 40, 4), unit(rng, 40, 4))[0]
    (steps,) = [patch for patch in axes.patches if hasattr(patch, "get_data")]
    heights, edges, _ = steps.get_data()
    for left, right, height in zip(edges, edges[1:], heights, strict=False):
        assert height == pytest.approx(100 * sum(left <= rank < right for rank in range(1, 41)) / 40)
    assert sum(heights) == pytest.approx(100)


def test_a_collapsed_model_ranks_in_the_middle(drawn):
    same = np.tile(np.float32([0.6, 0.8]), (8, 1))
    axes = drawn(same, same)[0]
    assert "MedR 4.5" in [text.get_text() for text in axes.texts]
    ((left, right, height),) = [bar for bar in bars_of(axes) if bar[2]]
    assert left <= 5 < right, "a half-integer rank counts as the next integer"
    assert height == 100
    assert "R@5 100.0 %" in [text.get_text() for text in axes.texts], "4.5 is within the top five"


@pytest.mark.parametrize("count", [*range(1, 40), 451, 1000, 51_129])
def test_bins_cover_all_ranks_and_end_at_each_recall(count):
    edges = bin_edges(count).tolist()
    assert edges[0] == 1
    assert edges[-1] == count + 1
    assert all(left < right for left, right in itertools.pairwise(edges))
    assert all(k + 1 in edges for k in (1, 5, 10) if k <= count)
    assert all(right / left < 1.7 for left, right in itertools.pairwise(edges[2:]))


def test_files_are_reproducible_and_nan_is_an_error(tmp_path):
    rng = np.random.default_rng(2)
    image, recipe = unit(rng, 3, 4), unit(rng, 3, 4)
    first, second = (rank_histogram(image, recipe, tmp_path / name / "ranks.png") for name in "ab")
    assert [path.name for path in first] == ["ranks.png", "ranks.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    image[1] = np.nan
    with pytest.raises(UserError, match="image embedding of row 1 contains NaN"):
        rank_histogram(image, recipe, tmp_path / "ranks.png")
