"""Overlaid runs: what is drawn is checked against `metrics.jsonl`."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from adamine_jax.compare import draw_comparison
from adamine_jax.plots import overlay, style
from adamine_jax.runs.history import read_run

LOSS, ZERO, R1, R10 = "Training loss", "Zero-loss fraction (bad pairs)", "Validation R@1 (%)", "Validation R@10 (%)"
MEDR = "Validation median rank (1 is best)"


def make_run(folder, epochs, *, seed=0, validated=True, steps=10, more=0, scale=1.0):
    """A run of some epochs with two train records each, and `more` steps of the next epoch."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    lines = []
    for step in range(steps // 2, epochs * steps + more + 1, steps // 2):
        numbers = {"loss": scale * rng.random(), "bad_pairs": rng.random() / 2}
        lines.append({"step": step, "epoch": (step - 1) // steps, "split": "train", **numbers})
        if validated and step % steps == 0:
            names = [f"{m}_{d}" for m in ("medr", "r1", "r5", "r10") for d in ("image_to_recipe", "recipe_to_image")]
            scores = {name: 1 + 20 * rng.random() for name in names}
            mean = (scores["r1_image_to_recipe"] + scores["r1_recipe_to_image"]) / 2
            lines.append({"step": step, "epoch": step // steps - 1, "split": "val", **scores, "r1": mean})
    (folder / "config.json").write_text(json.dumps({"epochs": 40, "loss": {"name": "pairwise"}}))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """Draws a comparison and returns its panels instead of saving them."""

    def draw(*folders):
        figures = []
        with monkeypatch.context() as patch:
            patch.setattr(style, "save", lambda figure, path, dpi: figures.append(figure))
            draw_comparison([read_run(folder) for folder in folders], tmp_path / "out.png")
        return {axes.get_title(loc="left"): axes for axes in figures[0].axes}

    return draw


def lines_of(axes):
    """{letter: (x, y)} of the runs' lines."""
    lines = [line for line in axes.lines if not line.get_label().startswith("_")]
    return {line.get_label(): line.get_data() for line in lines}


def key_of(panels):
    return [text.get_text() for text in panels[""].texts]


def expected(folder, split, field, steps=10):
    """(epochs, values) from the file."""
    x, y = [], []
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        line = json.loads(line)
        if line["split"] == split:
            directions = [f"{field}_image_to_recipe", f"{field}_recipe_to_image"]
            values = [line[name] for name in ([field] if split == "train" else directions)]
            x.append(line["step"] / steps)
            y.append(sum(values) / len(values))
    return x, y


def test_every_number_of_every_run(tmp_path, drawn, monkeypatch):
    """Runs of different lengths, one in the middle of an epoch, one never validated."""
    monkeypatch.chdir(tmp_path)
    folders = [
        make_run(Path("long"), 12, seed=1),
        make_run(Path("short"), 3, seed=2, steps=40),
        make_run(Path("running"), 5, seed=3, more=5),
        make_run(Path("unvalidated"), 4, seed=4, validated=False, more=5),
    ]
    panels = drawn(*folders)
    steps = {"long": 10, "short": 40, "running": 10, "unvalidated": 10}
    letters, names = key_of(panels)[:-1:3], key_of(panels)[1:-1:3]  # letter, name, note; the caption
    assert sorted(names) == sorted(steps)
    for letter, folder in zip(letters, map(Path, names), strict=True):
        for title, split, field in (
            (LOSS, "train", "loss"),
            (ZERO, "train", "bad_pairs"),
            (R1, "val", "r1"),
            (R10, "val", "r10"),
            (MEDR, "val", "medr"),
        ):
            x, y = expected(folder, split, field, steps[folder.name])
            if x:
                np.testing.assert_allclose(lines_of(panels[title])[letter], (x, y))
            else:
                assert (folder.name, split) == ("unvalidated", "val")
                assert letter not in lines_of(panels[title])
    assert len(lines_of(panels[LOSS])) == 4
    assert len(lines_of(panels[R1])) == 3
    assert {panels[title].get_xlim() for title in (LOSS, ZERO, R1, R10, MEDR)} == {(0, 12 * 1.06)}


def test_a_ring_is_at_the_best_epoch_and_the_best_run_is_first(tmp_path, drawn):
    folders = [make_run(tmp_path / name, 6, seed=seed) for seed, name in enumerate("pqr")]
    axes = drawn(*folders)[R1]
    best = {}
    for folder in folders:
        x, y = expected(folder, "val", "r1")
        best[max(y)] = (x[y.index(max(y))], max(y))
    rings = [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.lines
        if line.get_marker() == "o" and line.get_markersize() == 6 and len(line.get_xdata())
    ]
    np.testing.assert_allclose(rings, [best[score] for score in sorted(best, reverse=True)])


def test_the_key_notes_incomplete_runs(tmp_path, drawn):
    folders = [
        make_run(tmp_path / "whole", 40),
        make_run(tmp_path / "running", 5, more=5),
        make_run(tmp_path / "unvalidated", 5, validated=False),
        make_run(tmp_path / "damaged", 5),
    ]
    with (folders[3] / "metrics.jsonl").open("a") as file:
        file.write("damaged\n")
    key = key_of(drawn(*folders))
    assert key[2::3] == ["pairwise", "5.5/40 epochs · pairwise", "no validation · 5/40 epochs · pairwise"]
    assert not [text for text in key if "damaged" in text]


def test_two_long_names_stay_distinguishable(tmp_path, drawn):
    name = "runs_of_the_same_long_name_with_a_difference_" * 4
    folders = [make_run(tmp_path / f"{name}{seed}", 2, seed=seed) for seed in (1, 2)]
    shown = [text for text in key_of(drawn(*folders)) if "…" in text]
    assert sorted(text[-1] for text in shown) == ["1", "2"]


def test_letters_are_at_the_ends_and_do_not_overlap(tmp_path, drawn):
    folders = [make_run(tmp_path / f"{seed:02}", 5, seed=seed) for seed in range(overlay.MAX_RUNS)]
    panels = drawn(*folders)
    for title in (LOSS, R1):
        axes = panels[title]
        places = {text.get_text(): text.get_window_extent() for text in axes.texts}
        assert sorted(places) == [chr(ord("A") + number) for number in range(overlay.MAX_RUNS)]
        boxes = list(places.values())
        assert not any(
            one.y0 + 2 < other.y1 and other.y0 + 2 < one.y1
            for number, one in enumerate(boxes)
            for other in boxes[:number]
        )
        ends = {letter: axes.transData.transform((x[-1], y[-1])) for letter, (x, y) in lines_of(axes).items()}
        by_height = sorted(ends, key=lambda letter: ends[letter][1])
        assert sorted(places, key=lambda letter: places[letter].y0) == by_height
        assert all(0 < places[letter].x0 - ends[letter][0] < 20 for letter in ends)


def test_a_single_letter_is_beside_its_end(tmp_path, drawn):
    axes = drawn(make_run(tmp_path / "one", 4))[LOSS]
    (letter,) = axes.texts
    x, y = lines_of(axes)["A"]
    box = letter.get_window_extent()
    assert (box.y0 + box.y1) / 2 == pytest.approx(axes.transData.transform((x[-1], y[-1]))[1], abs=4)


def test_losses_of_different_magnitudes_get_a_logarithmic_axis(tmp_path, drawn):
    one, other = make_run(tmp_path / "one", 4, seed=1), make_run(tmp_path / "other", 4, seed=2, scale=1000)
    assert drawn(one, other)[LOSS].get_yscale() == "log"
    assert drawn(one)[R10].get_yscale() == "linear"


def test_no_run_is_validated_yet(tmp_path, drawn):
    panels = drawn(make_run(tmp_path / "one", 2, validated=False))
    for title in (R1, R10, MEDR):
        assert [text.get_text() for text in panels[title].texts] == ["no validation yet"]


def test_the_maximum_number_of_runs(tmp_path):
    """Runs differ in colour or dashes; files are reproducible and complete."""
    folders = [make_run(tmp_path / f"{seed:02}", 4, seed=seed) for seed in range(overlay.MAX_RUNS)]
    runs = [read_run(folder) for folder in folders]
    pictures = [draw_comparison(runs, tmp_path / f"{name}.{kind}") for name in "ab" for kind in ("png", "svg")]
    assert pictures[0].read_bytes() == pictures[2].read_bytes()
    assert pictures[1].read_bytes() == pictures[3].read_bytes()
    with Image.open(pictures[0]) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    for color in (style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.SKY, style.ORANGE, style.BLACK):
        wanted = [int(color[i : i + 2], 16) for i in (1, 3, 5)]
        assert np.sum(np.all(pixels == wanted, axis=-1)) > 300, color
    svg = ElementTree.parse(pictures[1])
    paths = [path.get("style", "") for path in svg.iter("{http://www.w3.org/2000/svg}path")]
    assert sum("stroke-dasharray" in path for path in paths) >= 5 * overlay.MAX_RUNS // 2
