"""The figures command on a synthetic workdir, on a tiny run, and on real photos and texts if available."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adamine_jax import figures
from adamine_jax.figures import main
from adamine_jax.gallery.folder.writer import GalleryWriter
from adamine_jax.gallery.items import MODALITIES, Item
from adamine_jax.plots import ingredient_panels, removal
from adamine_jax.plots.gallery_items import load_items
from adamine_jax.plots.top5 import Model, top5_photo_to_recipe, top5_recipe_to_photo
from adamine_jax.train import train
from tests import tiny
from tests.tiny_gallery import Words, write_gallery


def files(*figures):
    return sorted(f"{name}.{suffix}" for name in figures for suffix in ("png", "svg"))


CURVES = files("curves")
TOP5 = files("top5_photo_to_recipe", "top5_recipe_to_photo")
GALLERY_FIGURES = sorted([*TOP5, *files("map", "ranks")])
MODEL_FIGURES = files("ingredients", "removal")
COUNT = 8


def make_items(rng, count=COUNT):
    """Recipes that all contain water, the first two also leek."""
    return [
        Item(
            f"{row:010x}",
            "Soup for $5 🍲",
            ("soup", "background")[row % 2],
            ("water", "1 leek") if row < 2 else ("water",),
            ("Boil.",),
            tiny.jpeg(rng, (64, 48)),
        )
        for row in range(count)
    ]


def add_gallery(workdir, seed=0, items=None):
    rng = np.random.default_rng(seed)
    items = items or make_items(np.random.default_rng(0))
    rows = rng.normal(size=(2, len(items), 4))
    write_gallery(workdir / "gallery" / "test", items, *(rows / np.linalg.norm(rows, axis=2, keepdims=True)), ["soup"])


@pytest.fixture
def model(monkeypatch):
    """Replaces the model loaded by `figures`; `loaded` records the calls."""
    words = Words({"leek": np.eye(4)[0], "water": np.eye(4)[1], "boil": np.eye(4)[2]})
    loaded = []
    monkeypatch.setattr(figures, "load", lambda *arguments, **options: loaded.append(arguments) or words)
    words.loaded = loaded
    return words


@pytest.fixture
def workdir(tmp_path):
    """A run of two epochs with a gallery of eight recipes."""
    folder = tmp_path / "run"
    folder.mkdir()
    add_gallery(folder)
    (folder / "config.json").write_text('{"unfreeze_epoch": 1}')
    metrics = [
        {"step": 5 * (epoch + 1), "epoch": epoch, "split": split, "loss": 0.3, "r1": 1.0}
        for epoch in range(2)
        for split in ("train", "val")
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    return folder


def names(workdir):
    return sorted(path.name for path in (workdir / "figures").glob("*"))


def contents(workdir):
    return {name: (workdir / "figures" / name).read_bytes() for name in names(workdir)}


def test_every_figure_is_reproducible(workdir, model, capsys):
    command = ["--workdir", str(workdir), "--queries", "1"]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    drawn = sorted([*CURVES, *GALLERY_FIGURES, *MODEL_FIGURES])
    panel, removed, *paths = printed.out.splitlines()
    assert panel.startswith("leek: 2 of the 8 nearest photos")
    assert removed.startswith("mean over the 2 recipes with leek: 25.0 % of the 8 nearest")
    assert sorted(Path(line).name for line in paths) == drawn
    assert names(workdir) == drawn
    assert model.loaded == [(workdir, "best")], "once"
    first = contents(workdir)
    assert main(command) == 0
    assert contents(workdir) == first
    assert main([*command, "--seed", "1", "--only", "top5,map"]) == 0
    changed = {name for name, content in contents(workdir).items() if content != first[name]}
    assert changed == {*TOP5, *files("map")}


def test_only_requested_figures_are_drawn(workdir, model):
    assert main(["--workdir", str(workdir), "--only", "ranks, curves"]) == 0
    assert names(workdir) == sorted([*CURVES, *files("ranks")])
    assert not model.loaded
    for wrong in ("ranks,bars", ","):
        with pytest.raises(SystemExit):
            main(["--workdir", str(workdir), "--only", wrong])


def test_the_flags_of_panels_and_removal(workdir, model, monkeypatch):
    drawn = []
    monkeypatch.setattr(ingredient_panels, "draw", lambda panels, out: drawn.extend(panels) or [out])
    monkeypatch.setattr(removal, "draw", lambda measured, out: drawn.append(measured) or [out])
    command = ["--workdir", str(workdir), "--only", "panels,removal"]
    assert main([*command, "--ingredients", "water, fresh leek,water", "--within", "soup", "--without", "water"]) == 0
    water, leek, removed = drawn
    assert [(panel.name, panel.within, panel.num_searched, panel.base_rate) for panel in (water, leek)] == [
        ("water", "soup", 4, 1.0),
        ("leek", "soup", 4, 0.25),
    ]
    assert removed.name == "water"
    drawn.clear()
    assert main([*command, "--recipe", f"{1:010x}", "--checkpoint", "last"]) == 0
    assert (drawn[-1].item.id, drawn[-1].name) == (f"{1:010x}", "leek")
    assert model.loaded[-1] == (workdir, "last")


@pytest.mark.parametrize(
    ("name", "flags", "message"),
    [
        ("panels", ["--ingredients", "kale"], "--ingredients kale: not in the vocabulary of the model"),
        ("panels", ["--within", "pie"], "{workdir}/gallery/test: no class 'pie'"),
        (
            "panels",
            ["--within", "soup"],
            "no ingredient in the model's vocabulary is frequent in the gallery; name some by",
        ),
        ("removal", ["--without", "kale"], "--without kale: not in the vocabulary of the model"),
        ("removal", ["--recipe", "f"], "{workdir}/gallery/test: no item has the id 'f'"),
        ("removal", ["--recipe", f"{5:010x}", "--without", "leek"], "recipe 0000000005 has no leek"),
        (
            "removal",
            ["--recipe", f"{5:010x}"],
            "recipe 0000000005 has no ingredient that is in the model's vocabulary and",
        ),
    ],
)
def test_what_cannot_be_drawn_is_reported_in_one_line(workdir, model, capsys, name, flags, message):
    assert main(["--workdir", str(workdir), "--only", name, *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: not drawn: {name}: {message.format(workdir=workdir)}")
    assert names(workdir) == []


def test_ingredients_that_the_model_does_not_know_are_skipped(workdir, model, capsys):
    assert main(["--workdir", str(workdir), "--only", "panels", "--ingredients", "kale,leek,chard"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("--ingredients kale, chard: not in the vocabulary of the model")
    assert line.endswith("; skipped")
    assert names(workdir) == files("ingredients")


def test_a_gallery_of_another_model_is_refused(workdir, model, capsys):
    model.digest = "e" * 64
    assert main(["--workdir", str(workdir), "--only", "ranks,panels,removal"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"not drawn: panels, removal: {workdir}/gallery/test: built by another model (step 1 of ddd")
    assert names(workdir) == files("ranks")


def test_two_models_side_by_side(workdir, model, tmp_path):
    """The rows of the other gallery have the same ids in another order."""
    other = tmp_path / "other" / "run"
    items = make_items(np.random.default_rng(0))
    add_gallery(other, seed=5, items=items[::-1])
    command = ["--workdir", str(workdir), "--only", "top5", "--queries", "2", "--against"]
    assert main([*command, str(other)]) == 0
    assert names(workdir) == sorted([*TOP5, *files("top5_of_models")])
    (shown, *one), (_, *two) = (load_items(folder / "gallery" / "test") for folder in (workdir, other))
    models = Model(str(workdir), *one), Model(str(other), *(rows[::-1] for rows in two))
    queries = np.random.default_rng(0).choice(COUNT, 2, False)
    expected = top5_recipe_to_photo(shown, models, queries, tmp_path / "expected.png")
    assert [path.read_bytes() for path in expected] == [
        (workdir / "figures" / name).read_bytes() for name in files("top5_of_models")
    ]


def test_another_gallery_with_other_items_is_refused(workdir, tmp_path, capsys):
    other = tmp_path / "other"
    add_gallery(other, items=make_items(np.random.default_rng(0), COUNT - 2))
    command = ["--workdir", str(workdir), "--only", "top5,ranks", "--against", str(other)]
    assert main(command) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"not drawn: top5: {other}/gallery/test: contains different items (lacks 0000000006, 2 differ)"
    )
    assert main([*command[:-1], str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith(f"error: --against {tmp_path}/nowhere: no such folder")


@pytest.mark.slow
def test_a_tiny_run(tiny_data, tmp_path, capsys):
    """Draws every figure of an untrained model from the files written by `main`."""
    train(tiny.small_config(tiny_data, epochs=0), tmp_path / "run")
    items = load_items(tmp_path / "run" / "gallery" / "test")[0]
    word = items[0].ingredients[0].split()[-1]
    capsys.readouterr()
    flags = ["--ingredients", word, "--without", word, "--only", "top5,map,ranks,panels,removal"]
    assert main(["--workdir", str(tmp_path / "run"), *flags]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert set(GALLERY_FIGURES) | set(MODEL_FIGURES) <= set(names(tmp_path / "run"))
    share = sum(any(line.endswith(f" {word}") for line in item.ingredients) for item in items) / len(items)
    assert f"{100 * share:.1f} % of all 12 photos" in printed.out.splitlines()[0]


def test_without_a_gallery_only_the_curves_are_drawn(workdir, capsys):
    (workdir / "gallery" / "test").rename(workdir / "elsewhere")
    assert main(["--workdir", str(workdir)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("not drawn: top5, map, ranks, panels, removal: ")
    assert f"`python -m adamine_jax.embed --workdir {workdir} --split test --out {workdir}/gallery/test`" in line
    assert names(workdir) == CURVES


def test_without_a_model_the_other_figures_are_drawn(workdir, capsys):
    (workdir / "config.json").write_text(json.dumps(tiny.small_config(workdir).to_dict()))
    (workdir / "dataset.json").write_text('{"words": ["leek"], "vocabulary_digest": "", "class_names": ["background"]}')
    assert main(["--workdir", str(workdir), "--only", "ranks,panels,removal"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"not drawn: panels, removal: {workdir}: no checkpoint yet; train with `python -m")
    assert names(workdir) == files("ranks")


@pytest.mark.parametrize("absent", ["metrics.jsonl", "config.json"])
def test_without_a_training_file_the_other_figures_are_drawn(workdir, capsys, absent):
    (workdir / absent).unlink()
    assert main(["--workdir", str(workdir), "--queries", "1", "--only", "curves,top5"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{absent} is missing; train the run with `python -m adamine_jax.main --workdir {workdir}`" in line
    assert names(workdir) == TOP5


def test_an_empty_workdir_is_a_one_line_error(tmp_path, capsys):
    assert main(["--workdir", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "adamine_jax.main" in line
    assert "adamine_jax.embed" in line
    assert not (tmp_path / "figures").exists()
    assert main(["--workdir", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.startswith("error: --workdir")


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("gallery/test/gallery.sqlite", "x", "gallery.sqlite: cannot be read"),
        ("gallery/test/items.jsonl", "{}\n", "a gallery of an earlier version"),
        ("gallery/test/image.npy", "x", "image.npy: cannot be read"),
        (
            "gallery/test/gallery.json",
            "{}",
            "gallery.json: cannot be read (missing fields: dim, dtype, model, sides)",
        ),
        ("metrics.jsonl", "{\n", "metrics.jsonl, line 1"),
        ("config.json", "[]", "cannot read unfreeze_epoch"),
    ],
)
def test_a_damaged_file_is_named(workdir, capsys, file, content, message):
    (workdir / file).write_text(content)
    assert main(["--workdir", str(workdir), "--queries", "1", "--only", "curves,top5"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not [name for name in names(workdir) if name.startswith(".")]


def test_an_unreadable_photo_is_omitted(workdir, capsys):
    gallery = workdir / "gallery" / "test"
    (gallery / "photos" / "00000003.jpg").write_bytes(b"x")
    assert main(["--workdir", str(workdir), "--queries", "3", "--only", "top5"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "the photo of recipe 0000000003" in line
    assert line.endswith("; omitted from the figures")

    items, image, recipe = load_items(gallery)
    rest = np.delete(np.arange(COUNT), 3)
    drawn = np.random.default_rng(0).choice(COUNT, 3, False)
    queries = [int(np.searchsorted(rest, row)) for row in drawn if row != 3]
    arguments = [items[row] for row in rest], [Model("", image[rest], recipe[rest])], queries
    for draw in (top5_photo_to_recipe, top5_recipe_to_photo):
        for path in draw(*arguments, workdir / f"{draw.__name__}.png"):
            assert (workdir / "figures" / path.name).read_bytes() == path.read_bytes()


def test_real_photos_and_texts(tmp_path):
    shared = os.environ.get("ADAMINE_REAL_DATA") or Path(__file__).resolve().parents[1] / ".." / "shared"
    source = Path(shared) / "real_recipes"
    if not source.is_dir():
        pytest.skip("no real recipes beside the checkout")
    layer1 = {r["id"]: r for r in json.loads((source / "layer1.json").read_text(encoding="utf-8"))}
    items = []
    for photos in json.loads((source / "layer2.json").read_text(encoding="utf-8"))[:40]:
        recipe, photo = layer1[photos["id"]], photos["images"][0]["id"]
        content = (source / "images" / recipe["partition"] / Path(*photo[:4]) / photo).read_bytes()
        texts = (tuple(line["text"] for line in recipe[key]) for key in ("ingredients", "instructions"))
        items.append(Item(recipe["id"], recipe["title"], "background", *texts, content))
    about = {"model": "0", "step": 1, "source": {}, "class_names": ["background"]}
    with GalleryWriter(tmp_path / "gallery" / "test", about, MODALITIES, 8) as writer:
        rows = {name: np.random.default_rng(len(name)).normal(size=(len(items), 8)) for name in MODALITIES}
        writer.write(rows, items)
        writer.finish()
    assert main(["--workdir", str(tmp_path), "--queries", "3", "--only", "top5,map"]) == 0
    assert names(tmp_path) == sorted([*TOP5, *files("map")])
    with Image.open(tmp_path / "figures" / "top5_recipe_to_photo.png") as picture:
        assert picture.width > 1200
