"""The linear baseline, checked against naive computations and run on a generated download."""

import numpy as np
import pytest
from PIL import Image

from benchmarks import kitchen_linear
from data_builders.kitchen.writer import Kitchen, write_download


def test_the_loss_matches_naive_loops():
    rng = np.random.default_rng(0)
    photos, recipes = (rng.normal(size=(9, 5)).astype(np.float32) for _ in range(2))
    photos, recipes = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (photos, recipes))
    total = 0.0
    for anchors, candidates in ((photos, recipes), (recipes, photos)):
        costs = []
        for i in range(9):
            for j in range(9):
                cost = max(0.0, float(0.3 - anchors[i] @ candidates[i] + anchors[i] @ candidates[j]))
                if i != j and cost > 0:
                    costs.append(cost)
        total += np.mean(costs) / 2
    assert float(kitchen_linear.instance_loss(photos, recipes)) == pytest.approx(total, rel=1e-5)


def test_separated_pairs_have_zero_loss():
    rows = np.eye(4, dtype=np.float32)
    assert float(kitchen_linear.instance_loss(rows, rows)) == 0


def test_ranks_count_ties_by_halves():
    same = np.ones((5, 3), np.float32) / np.sqrt(3)
    for r1, _, r10, medr in kitchen_linear.retrieval(same, same).values():
        assert (r1, r10, medr) == (0, 100, 3)
    photos = np.eye(3, dtype=np.float32)
    recipes = photos[[1, 0, 2]]  # the first two exchanged
    for r1, r5, _, medr in kitchen_linear.retrieval(photos, recipes).values():
        # Each wrong pair: one candidate better, and one of the two others exactly as far as the true one.
        assert r1 == pytest.approx(100 / 3)
        assert r5 == 100
        assert medr == 2.5


def test_histograms_are_square_roots_of_shares():
    picture = Image.new("RGB", (8, 8), (255, 0, 0))
    histogram = kitchen_linear.colour_histogram(picture)
    assert histogram.shape == (512 + 48,)
    assert sorted(np.flatnonzero(histogram)) == [7 * 64, 512, 512 + 16 + 15, 512 + 32 + 15]
    noise = Image.effect_noise((32, 32), 90)
    assert np.square(kitchen_linear.colour_histogram(noise)).sum() == pytest.approx(4, rel=1e-5)


def test_it_runs_on_a_download(tmp_path, capsys):
    write_download(Kitchen(seed=2, recipes=200, splits=(0.6, 0.2, 0.2), photo_size=32), tmp_path / "kitchen", workers=1)
    assert kitchen_linear.main(["--data", str(tmp_path / "kitchen"), "--epochs", "3"]) == 0
    printed = capsys.readouterr().out
    assert "image-to-recipe" in printed
    assert "MedR" in printed


def test_a_folder_without_a_download_is_one_line(tmp_path, capsys):
    assert kitchen_linear.main(["--data", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
