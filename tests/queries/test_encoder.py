"""Raw photos and recipes get the same embeddings as the records converted from them."""

import functools
import io
import json

import jax
import numpy as np
import pytest
from PIL import Image, ImageOps

import adamine_jax
from adamine_jax import search
from adamine_jax.base.errors import UserError
from adamine_jax.models.adamine import AdaMine
from adamine_jax.models.image.features import FeatureTower
from adamine_jax.models.image.resnet_tower import ResNetTower
from adamine_jax.queries.encoder import Encoder, _batches
from adamine_jax.recipes.crops import Resizing, center_crops
from adamine_jax.recipes.photos import stored
from adamine_jax.train import train
from tests import tiny
from tests.small_collection import photo, photo_file, recipes


def test_raw_recipes_and_photos_get_the_embeddings_of_the_split(kitchen, model):
    gallery = adamine_jax.open_gallery(kitchen / "run" / "gallery" / "test", model.digest)
    written = {recipe["id"]: recipe for recipe in recipes(48)}
    assert len(gallery) == 12
    chosen = [written[identifier] for identifier in gallery.ids]
    embedded = model.embed_recipes(chosen)
    np.testing.assert_allclose(embedded, gallery.embeddings("recipe"), atol=1e-6)
    assert np.ptp(embedded, axis=0).max() > 1e-3  # embeddings differ from each other
    photos = model.embed_photos([kitchen / "own" / recipe["images"][0] for recipe in chosen])
    np.testing.assert_allclose(photos, gallery.embeddings("image"), atol=1e-6)

    (hits,) = gallery.search(model.embed_recipes([chosen[3]]), among="recipes", top=3)
    assert hits[0].item.id == chosen[3]["id"]
    assert hits[0].similarity == pytest.approx(1, abs=1e-5)
    assert hits[0].item.class_name == chosen[3]["class"]


def test_photos_in_all_formats(model, tmp_path):
    number = 4
    picture = photo(number)
    picture.save(tmp_path / "a.png")
    expected = model.embed_photos([tmp_path / "a.png"])
    for other in (picture, str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes(), np.asarray(picture)):
        np.testing.assert_array_equal(model.embed_photos([other]), expected)
    turned = ImageOps.exif_transpose(picture).rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(model.embed_photos([tmp_path / "turned.png"]), expected)
    grey = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    grey.save(tmp_path / "grey16.png")
    np.testing.assert_array_equal(
        model.embed_photos([tmp_path / "grey16.png"]), model.embed_photos([picture.convert("L")])
    )
    picture.save(tmp_path / "moving.gif", save_all=True, append_images=[photo(5), photo(6)])
    with Image.open(tmp_path / "moving.gif") as moving:
        first = moving.convert("RGB")
    np.testing.assert_array_equal(model.embed_photos([tmp_path / "moving.gif"]), model.embed_photos([first]))
    picture.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert np.sum(model.embed_photos([tmp_path / "cmyk.jpg"]) * expected) > 0.99
    picture.convert("RGBA").save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(model.embed_photos([tmp_path / "alpha.png"]), expected)
    assert model.embed_photos([]).shape == (0, 16)


def test_photos_are_resized_as_the_image_tower_needs(model, monkeypatch):
    squash, data, picture = Resizing("bicubic", squash=True), model.trained.config.data, photo(4).crop((0, 0, 90, 60))
    monkeypatch.setattr(ResNetTower, "resizing", classmethod(lambda tower, section: squash))
    jpeg = stored(picture, model.trained.photo_side)
    crops, _ = center_crops(data.resize, data.image_size, squash)([jpeg], np.zeros((1, 3), np.float32))
    embed_images = functools.partial(model.trained.model.apply, train=False, method="embed_images")
    expected = jax.jit(embed_images)(model.trained.variables, crops)
    embedded = Encoder(model.trained).embed_photos([picture])
    np.testing.assert_allclose(embedded, expected, atol=1e-6)
    assert np.abs(embedded - model.embed_photos([picture])).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("text.jpg", b"Dear diary", "not an image"),
        ("empty.jpg", b"", "not an image"),
        ("phone.heic", b"\0\0\0\x18ftypheic" + bytes(100), "not an image"),
        ("cut.jpg", None, "truncated or damaged image"),
        ("huge.png", "huge", "12000 x 9000 pixels exceed the limit"),
    ],
)
def test_unusable_photos_are_reported_in_one_line(kitchen, model, tmp_path, capsys, name, content, message):
    path = tmp_path / name
    if content == "huge":
        Image.new("1", (12000, 9000)).save(path)
    else:
        path.write_bytes(tiny.jpeg(np.random.default_rng(0), (90, 90))[:900] if content is None else content)
    remedy = "make it smaller" if content == "huge" else "use an intact"
    with pytest.raises(UserError, match=f"{name}: {message}.*; {remedy}"):
        model.embed_photos([path])
    assert search.main(["--workdir", str(kitchen / "run"), "--image", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {path}: {message}")


def test_invalid_pixel_arrays_are_reported(model):
    for pixels in (np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(UserError, match=r"photo 1: pixels of shape .* must be \(H, W, 3\) uint8"):
            model.embed_photos([pixels])


def test_unknown_ingredients_do_not_change_the_results(kitchen, model, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(photo_file(7))
    command = ["--workdir", str(kitchen / "run"), "--top", "12"]

    def found(*flags):
        assert search.main([*command, *flags]) == 0
        printed = capsys.readouterr()
        return printed.out.splitlines()[2:], printed.err

    plain, messages = found("--image", str(tmp_path / "a.png"))
    assert messages == ""
    lines, messages = found("--image", str(tmp_path / "a.png"), "--with", "wombat", "--without", "dragon fruit")
    assert lines == plain
    assert "unknown ingredient 'wombat'" in messages
    assert "unknown ingredient 'dragon fruit'" in messages
    moved, _ = found("--image", str(tmp_path / "a.png"), "--with", "wombat,dill")
    assert [line.split(" (was ")[0] for line in moved] != plain
    recipe = ["--ingredients", "beets"]
    lines, messages = found(*recipe, "--without", "wombat")
    assert lines == found(*recipe)[0]
    assert "--without wombat: not in the recipe\n" in messages
    for query in (("--title", "Wombat à la mode"), ("--ingredients", "wombat"), ("--instructions", "Xx yy.")):
        assert "the model knows no word of the query" in found(*query)[1], query
    assert found("--title", "Beets and dill")[1] == ""
    assert found("--title", "Wombat soufflé with dill")[1].endswith("ignored by the model: wombat, soufflé\n")
    assert found("--title", "Wombat", "--ingredients", "dill")[1] == ""
    (line,) = found(*recipe, "--exclude", "dill, wombat, wombat")[1].splitlines()
    assert line.startswith("--exclude wombat: in no recipe; check the spelling")


def test_searching_with_parts_command(kitchen, tmp_path, capsys):
    command = ["--workdir", str(kitchen / "run")]
    assert search.main([*command, "--ingredients", "beets, dragon fruit", "--title", "Soup", "--top", "2"]) == 0
    printed = capsys.readouterr()
    assert printed.err == "unknown ingredient 'dragon fruit', ignored by the model\n"
    head, _, *lines = printed.out.splitlines()
    assert head == f"recipe (“Soup”, 2 ingredients) → photos of {kitchen}/run/gallery/test (12)"
    assert [line.split()[0] for line in lines] == ["1", "2"]

    path = tmp_path / "r.json"
    path.write_text(json.dumps({"ingredients": ["3 beets", "dill"], "instructions": ["Stir the beets."]}))
    assert (
        search.main(
            [*command, "--recipe", str(path), "--without", "beets,leek,dragon fruit", "--with", "salt", "--top", "12"]
        )
        == 0
    )
    printed = capsys.readouterr()
    assert "--without leek: not in the recipe; it is subtracted from the embedding instead" in printed.err
    assert "unknown ingredient 'dragon fruit'" in printed.err
    former = [int(line.split("(was ")[1].rstrip(")")) for line in printed.out.splitlines()[2:]]
    assert sorted(former) == list(range(1, 13))

    assert search.main([*command, "--recipe", str(path), "--class", "cake", "--in", "recipes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {item["class"] for item in found} == {"cake"}
    assert found[0].keys() == {
        "place",
        "similarity",
        "id",
        "title",
        "class",
        "ingredients",
        "instructions",
        "photo",
        "language",
        "tags",
    }


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ([], "no query: give --image"),
        (["--title", "  "], "--title: empty value"),
        (["--title", "a", "--recipe", "r.json"], "--recipe and --title: give only one of"),
        (["--recipe", "nowhere.json"], "nowhere.json: cannot be read"),
        (["--image", "nowhere.jpg"], "nowhere.jpg: cannot be read (No such file or directory)"),
        (["--title", "soup", "--top", "0"], "--top 0: expected at least 1"),
        (["--title", "beets", "--class", "stew"], "no class 'stew'"),
        (["--title", "beets", "--class", ""], "no class ''"),
        (["--title", "soup", "--gallery", "nowhere"], "nowhere: no such folder; build the gallery with `python -m"),
        (["--ingredients", "salt", "--without", "salt"], "nothing is left of the recipe"),
    ],
)
def test_mistakes_are_reported_in_one_line(kitchen, capsys, flags, message):
    assert search.main(["--workdir", str(kitchen / "run"), *flags]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_another_models_gallery_is_refused(kitchen, tmp_path, capsys):
    train(tiny.small_config(kitchen / "data", epochs=0, seed=5, model__recipe__max_words=12), tmp_path / "other")
    gallery = str(tmp_path / "other" / "gallery" / "test")
    assert search.main(["--workdir", str(kitchen / "run"), "--title", "soup", "--gallery", gallery]) == 2
    assert "built by another model (step 0 of" in capsys.readouterr().err


def test_batches_are_more_than_half_full():
    for count in range(200):
        batches = list(_batches(count, (1, 8, 64)))
        ends = [start + size for start, size in batches]
        assert [start for start, _ in batches] == [0, *ends[:-1]][: len(batches)]
        assert sum(size for _, size in batches) >= count
        assert all(min(size, count - start) > size / 2 for start, size in batches)


def test_a_model_of_precomputed_features_reports_what_it_cannot_embed(model, monkeypatch):
    config = model.trained.config.copy_and_resolve_references()
    config.model.recipe.instructions = "vectors"
    towers = AdaMine(FeatureTower(8), model.trained.model.recipe_tower)
    changed = vars(model.trained) | {"config": config, "model": towers}
    monkeypatch.setattr(model, "trained", type(model.trained)(**changed))
    with pytest.raises(UserError, match="reads image features computed by another encoder"):
        model.embed_photos([io.BytesIO().getvalue()])
    with pytest.raises(UserError, match="recipe 1: the model reads precomputed sentence vectors"):
        model.embed_recipes([{"ingredients": ["salt"], "instructions": ["Stir."]}])
