"""The report's pictures: one-coloured photos tell their recipes, the figure's bars are counted again."""

import io
import itertools
import json

import numpy as np
import pytest
from matplotlib.patches import StepPatch
from PIL import Image

from adamine_jax.plots import style
from data_builders.recipe1m.passes.photos import Photo
from data_builders.recipe1m.passes.text_pass import encode
from data_builders.recipe1m.recipes import Recipe
from data_builders.recipe1m.report.dataset_report import Report
from data_builders.recipe1m.report.plots import draw
from data_builders.recipe1m.report.writing import write_report
from tests.data_builders.recipe1m.download import Download, recipe_id
from tests.data_builders.recipe1m.planted import FEW_WORDS, run

PARTITIONS = ("train", "train", "train", "val", "test")
TITLES = ("", "☕ \x00\u202e 酢豚 $x$", "A title of a good many words, longer than two lines of it can be")


def color_of(number):
    return np.array([40 * (number % 6) + 20, 40 * (number // 6) + 20, 128], np.uint8)


def encoded(number):
    file = io.BytesIO()
    Image.fromarray(np.tile(color_of(number), (60, 80, 1))).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.fixture(scope="module")
def download(tmp_path_factory):
    download = Download()
    for number in range(30):
        title = ("", "☕ \x00\u202e 酢豚 $x$", "A title of a good many words, longer than two lines of it can be")[
            number % 3
        ]
        download.add(number, ("train", "train", "train", "val", "test")[number % 5], title=title)
        (key,) = (key for key in download.photos if key[1] == download.layer2[-1]["images"][0]["id"])
        download.photos[key] = encoded(number)
    return download.write(tmp_path_factory.mktemp("download"))


def contact_sheet(download, out, *flags):
    assert run("check", "--source", download, "--out", out, *FEW_WORDS, *flags) == 0
    sample = json.loads((out / "report.json").read_text())["sample"]
    return np.asarray(Image.open(out / "contact_sheet.jpg"))[::4, ::4].astype(int), sample


def test_the_contact_sheet_shows_the_sample_in_order(download, tmp_path):
    pixels, sample = contact_sheet(download, tmp_path / "report")
    places = {"train": 0, "val": 0, "test": 0}
    middles = []
    for entry in sample:
        number = next(n for n in range(30) if recipe_id(n) == entry["id"])
        assert entry["partition"] == PARTITIONS[number % 5]
        places[entry["partition"]] += 1
        rows, columns = np.nonzero(np.abs(pixels - color_of(number)).max(axis=-1) < 12)
        assert len(rows) > 40**2
        middles.append((np.median(rows), np.median(columns)))
    assert places == {"train": 12, "val": 6, "test": 6}  # val and test have no more
    assert list(places) == list(dict.fromkeys(entry["partition"] for entry in sample))
    height, width = pixels.shape[:2]
    grid = [(int(row / height * 4), int(column / width * 6)) for row, column in middles]
    assert grid == [divmod(place, 6) for place in range(24)]


def test_the_contact_sheet_does_not_depend_on_threads(download, tmp_path):
    one, three = (contact_sheet(download, tmp_path / n, "--workers", n)[0] for n in ("1", "3"))
    assert np.array_equal(one, three)


def filled(recipes, far=0):
    """A report on recipes of random lengths; `far` recipes are very long."""
    report, rng = Report(), np.random.default_rng(0)
    partitions = (["train", "val", "test"] * recipes)[:recipes]
    for number in range(recipes):
        sentences = rng.integers(0, 60, rng.integers(0, 19)).tolist()
        sentences += [5000] * (number < far)
        recipe = Recipe(f"{number:010x}", "Pie", "", partitions[number], ["egg"] * 3, [], [], [], [])
        encoded_recipe = encode(recipe, [5] * int(rng.integers(1, 9)), [[0] * n for n in sentences], [], None, [])
        photo = Photo(f"{number:010x}.jpg", encoded(0), size=(int(rng.integers(40, 900)), 300), format="JPEG")
        report.keep(recipe, 1)
        report.contents.add(encoded_recipe, [photo])
    names = ["background", "a", "b", "c", "d"] if recipes > 5 else ["background"]
    report.set_classes(names, rng.integers(0, len(names), recipes), partitions)
    return report


@pytest.mark.parametrize(("recipes", "far"), [(0, 0), (1, 0), (200, 0), (200, 1)])
def test_the_bars_and_the_ranks_are_the_numbers_of_the_report(recipes, far, tmp_path, monkeypatch):
    figures, report = [], filled(recipes, far)
    monkeypatch.setattr(style, "save", lambda figure, path, dpi=150: figures.append(figure) or path)
    assert [path.name for path in draw(report, tmp_path)] == ["report.png", "report.svg"]
    axes = {one.get_title(loc="left"): one for one in figures[0].axes}
    lengths = report.contents.lengths
    for title, name in (
        ("Instructions per recipe", "instructions per recipe"),
        ("Words per instruction", "words per instruction"),
        ("Words per recipe", "words per recipe"),
    ):
        bars = [patch.get_data() for patch in axes[title].patches if isinstance(patch, StepPatch)]
        notes = [text.get_text() for text in axes[title].texts]
        if not lengths[name].total():
            assert notes == ["none"]
            continue
        ((heights, edges, _),) = bars
        counts = lengths[name].counts.items()
        expected = [sum(n for value, n in counts if a < value < b) for a, b in itertools.pairwise(edges)]
        assert heights.tolist() == expected
        beyond = lengths[name].total() - sum(expected)
        assert beyond <= 0.01 * lengths[name].total()
        assert any(note.startswith("up to") for note in notes) == bool(beyond)
    lines = {line.get_label(): line.get_ydata().tolist() for line in axes["Classes by size"].lines}
    if recipes < 5:
        assert [text.get_text() for text in axes["Classes by size"].texts] == ["no classes"]
    else:
        assert lines == {
            place: sorted((sizes[place] for _, sizes in report.classes[1:]), reverse=True)
            for place in ("train", "val", "test")
        }


def test_a_report_on_nothing_has_no_contact_sheet(tmp_path):
    write_report(Report(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"report.md", "report.json", "report.png", "report.svg"}
    assert "contact_sheet" not in (tmp_path / "report.md").read_text()
