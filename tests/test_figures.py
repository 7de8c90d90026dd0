"""The figures command on a workdir made by hand, and on real photos and texts where they are."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from adamine_jax.figures import main
from adamine_jax.gallery import SIDES, Item
from adamine_jax.gallery_writer import GalleryWriter
from adamine_jax.plots.items import load_items
from adamine_jax.plots.top5 import top5_photo_to_recipe, top5_recipe_to_photo
from tests import tiny

FIGURES = ["curves.png", "curves.svg", "top5_photo_to_recipe.png", "top5_recipe_to_photo.png"]


@pytest.fixture
def workdir(tmp_path):
    """A run of two epochs with a gallery of seven."""
    rng = np.random.default_rng(0)
    items = [
        Item(f"{row:010x}", "Soup for $5 🍲", "soup", ("water",), ("Boil.",), tiny.jpeg(rng, (64, 48)))
        for row in range(7)
    ]
    about = {"model": "0", "step": 1, "source": {}, "class_names": ["background", "soup"]}
    with GalleryWriter(tmp_path / "gallery" / "test", about, SIDES, 4) as writer:
        writer.write({side: rng.normal(size=(7, 4)).astype(np.float32) for side in SIDES}, items)
        writer.finish()
    (tmp_path / "config.json").write_text('{"unfreeze_epoch": 1}')
    metrics = [
        {"step": 5 * (epoch + 1), "epoch": epoch, "split": split, "loss": 0.3, "r1": 1.0}
        for epoch in range(2)
        for split in ("train", "val")
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
    return tmp_path


def names(workdir):
    return sorted(path.name for path in (workdir / "figures").glob("*"))


def test_everything_is_drawn_again_and_alike(workdir, capsys):
    command = ["--workdir", str(workdir), "--queries", "2"]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert sorted(Path(line).name for line in printed.out.splitlines()) == FIGURES
    assert names(workdir) == FIGURES
    first = [(workdir / "figures" / name).read_bytes() for name in FIGURES]
    assert main(command) == 0
    assert [(workdir / "figures" / name).read_bytes() for name in FIGURES] == first
    assert main([*command, "--seed", "1"]) == 0
    assert (workdir / "figures" / FIGURES[-1]).read_bytes() != first[-1]


def test_without_a_gallery_the_curves_are_drawn_and_the_command_named(workdir, capsys):
    (workdir / "gallery" / "test").rename(workdir / "elsewhere")
    assert main(["--workdir", str(workdir)]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert f"`python -m adamine_jax.embed --workdir {workdir} --split test --out {workdir}/gallery/test`" in line
    assert names(workdir) == FIGURES[:2]


@pytest.mark.parametrize("absent", ["metrics.jsonl", "config.json"])
def test_without_a_training_file_the_pictures_are_drawn_and_the_command_named(workdir, capsys, absent):
    (workdir / absent).unlink()
    assert main(["--workdir", str(workdir), "--queries", "1"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{absent} is absent; `python -m adamine_jax.main --workdir {workdir}` writes it" in line
    assert names(workdir) == FIGURES[2:]


def test_with_nothing_the_command_fails_in_one_line(tmp_path, capsys):
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
        ("gallery/test/items.jsonl", "{}\n", "items.jsonl is not the one that items.npz belongs to"),
        ("gallery/test/items.npz", "x", "items.npz: cannot be read"),
        ("gallery/test/image.npy", "x", "image.npy: cannot be read"),
        ("gallery/test/gallery.json", "{}", "gallery.json: lacks model, items"),
        ("gallery/test/photos/00000003.jpg", "x", "3.jpg) cannot be read"),
        ("metrics.jsonl", "{\n", "metrics.jsonl, line 1"),
        ("config.json", "[]", "no unfreeze_epoch can be read"),
    ],
)
def test_what_is_damaged_is_named(workdir, capsys, file, content, message):
    (workdir / file).write_text(content)
    queries = "7" if file.endswith(".jpg") else "1"  # every photo is shown, or few
    assert main(["--workdir", str(workdir), "--queries", queries]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not [name for name in names(workdir) if name.startswith(".")]


def test_the_pictures_are_drawn_without_a_photo_that_cannot_be_read(workdir, capsys):
    gallery = workdir / "gallery" / "test"
    (gallery / "photos" / "00000003.jpg").write_bytes(b"x")
    assert main(["--workdir", str(workdir), "--queries", "7"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert "the photo of recipe 0000000003" in line
    assert line.endswith("; left out of the pictures")

    items, image, recipe = load_items(gallery)
    rest = np.delete(np.arange(7), 3)
    queries = [int(np.searchsorted(rest, row)) for row in np.random.default_rng(0).choice(7, 7, False) if row != 3]
    arguments = [items[row] for row in rest], image[rest], recipe[rest], queries
    for name, draw in zip(FIGURES[2:], (top5_photo_to_recipe, top5_recipe_to_photo), strict=True):
        expected = draw(*arguments, workdir / name).read_bytes()
        assert (workdir / "figures" / name).read_bytes() == expected


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
    with GalleryWriter(tmp_path / "gallery" / "test", about, SIDES, 8) as writer:
        writer.write({side: np.random.default_rng(len(side)).normal(size=(len(items), 8)) for side in SIDES}, items)
        writer.finish()
    assert main(["--workdir", str(tmp_path), "--queries", "3"]) == 0
    assert names(tmp_path) == FIGURES[2:]
    with Image.open(tmp_path / "figures" / FIGURES[3]) as picture:
        assert picture.width > 1500
