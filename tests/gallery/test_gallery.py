"""Galleries appear only when complete, can be resumed, and are read as they were written."""

import contextlib
import dataclasses
import json
import os
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.folder import editing
from adamine_jax.gallery.folder.store import Gallery
from adamine_jax.gallery.folder.writer import GalleryWriter
from adamine_jax.gallery.items import MODALITIES, Item
from adamine_jax.gallery.opening import open_gallery

NAMES = ["background", "soup", "cake"]
ABOUT = {"model": "abc", "step": 3, "source": {"split": "test"}}
DIM = 6


def item(number):
    photo = None if number % 4 == 3 else f"photo {number}".encode()
    title = f"Dish {number}: Crème “brûlée” 🍮\u2028{'x' * number}"
    return Item(f"{number:010x}", title, NAMES[number % 3], (f"{number} eggs", "salt\n"), ("Stir.",), photo)


def rows(numbers, modality="image"):
    table = np.random.default_rng(len(modality)).normal(size=(100, DIM)).astype(np.float32)
    return table[list(numbers)]


def block(numbers):
    return {modality: rows(numbers, modality) for modality in MODALITIES}, [item(number) for number in numbers]


def write(folder, blocks, about=ABOUT, finish=True):
    with GalleryWriter(folder, about, MODALITIES, DIM) as writer:
        for numbers in blocks:
            if numbers[0] >= writer.taken:
                writer.write(*block(numbers))
        return writer.finish() if finish else len(writer)


def content(folder):
    """The items with the content of their photos, and the embeddings."""
    gallery = Gallery(folder)
    items = [gallery.item(row) for row in gallery.rows]
    photos = [found.photo and found.photo.read_bytes() for found in items]
    texts = [dataclasses.replace(found, photo=None) for found in items]
    return texts, photos, [gallery.embeddings(modality).tolist() for modality in gallery.modalities]


def test_a_gallery_round_trips(tmp_path):
    assert write(tmp_path / "g", [range(5), range(5, 11)]) == 11
    assert [path.name for path in tmp_path.iterdir()] == ["g"]
    gallery = Gallery(tmp_path / "g")
    assert len(gallery) == 11
    for modality in MODALITIES:
        np.testing.assert_array_equal(gallery.embeddings(modality), rows(range(11), modality))
        np.testing.assert_array_equal(np.load(tmp_path / "g" / f"{modality}.npy"), rows(range(11), modality))
    for number in (10, 0, 3, 7):
        found, expected = gallery.item(number), item(number)
        for field in ("id", "title", "class_name", "ingredients", "instructions"):
            assert getattr(found, field) == getattr(expected, field)
        assert (found.photo.read_bytes() if found.photo else None) == expected.photo
    np.testing.assert_array_equal(gallery.rows_of_class("soup"), [1, 4, 7, 10])
    assert gallery.row_of(item(6).id) == 6
    assert gallery.ids.tolist() == [item(number).id for number in range(11)]
    with pytest.raises(UserError, match=r"no class 'stew'; the largest of 3 classes are: background, soup, cake"):
        gallery.rows_of_class("stew")
    with pytest.raises(UserError, match="no item has the id 'x'"):
        gallery.row_of("x")


def test_omitted_items_have_no_rows(tmp_path):
    with GalleryWriter(tmp_path / "g", ABOUT, ("image",), DIM) as writer:
        writer.write({"image": rows(range(4))}, [item(0), None, item(2), None])
        assert (writer.taken, len(writer)) == (4, 2)
        assert writer.finish() == 2
    gallery = Gallery(tmp_path / "g")
    np.testing.assert_array_equal(gallery.embeddings("image"), rows([0, 2]))
    assert [gallery.item(row).id for row in range(2)] == [item(0).id, item(2).id]
    with pytest.raises(UserError, match="contains only photos, no recipes; search it with --in photos"):
        gallery.embeddings("recipe")


@pytest.mark.parametrize("segment", [2, 5, 1000])
def test_an_interrupted_gallery_is_resumed(tmp_path, monkeypatch, segment):
    monkeypatch.setattr(editing, "SEGMENT", segment)
    blocks = [range(0, 4), range(4, 8), range(8, 11)]
    write(tmp_path / "whole", blocks)
    assert write(tmp_path / "g", blocks[:2], finish=False) == 8
    assert not (tmp_path / "g").exists()
    with GalleryWriter(tmp_path / "g", ABOUT, MODALITIES, DIM) as writer:
        assert (writer.taken, len(writer)) == (8, 8)
        writer.write(*block(blocks[2]))
        assert writer.finish() == 11
    assert content(tmp_path / "g") == content(tmp_path / "whole")
    assert content(tmp_path / "g")[2] == [rows(range(11), modality).tolist() for modality in MODALITIES]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "progress.json").write_text("{"),
        lambda folder: (folder / "progress.json").unlink(),
        lambda folder: os.truncate(folder / "image.npy", 130),
        lambda folder: os.truncate(folder / "gallery.sqlite", 30),
        lambda folder: (folder / "recipe.npy").unlink(),
    ],
)
def test_a_damaged_unfinished_gallery_is_restarted(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(editing, "SEGMENT", 2)
    write(tmp_path / "whole", [range(4)])
    write(tmp_path / "g", [range(3)], finish=False)
    damage(tmp_path / ".g.unfinished")
    assert write(tmp_path / "g", [range(4)]) == 4
    assert content(tmp_path / "g") == content(tmp_path / "whole")


@pytest.mark.parametrize("change", [{"model": "def"}, {"source": {"split": "val"}}])
def test_another_source_or_model_restarts_the_gallery(tmp_path, change):
    write(tmp_path / "g", [range(3)], finish=False)
    with GalleryWriter(tmp_path / "g", ABOUT | change, MODALITIES, DIM) as writer:
        assert writer.taken == 0


def test_an_older_gallery_remains_until_the_new_one_is_complete(tmp_path):
    write(tmp_path / "g", [range(5)])
    before = content(tmp_path / "g")
    write(tmp_path / "g", [range(3)], finish=False)
    assert content(tmp_path / "g") == before
    write(tmp_path / "g", [range(3)])
    assert len(Gallery(tmp_path / "g")) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["g"]


def test_a_second_writer_is_rejected(tmp_path):
    with (
        GalleryWriter(tmp_path / "g", ABOUT, MODALITIES, DIM),
        pytest.raises(UserError, match="another process is writing this gallery"),
    ):
        GalleryWriter(tmp_path / "g", ABOUT, MODALITIES, DIM)


def test_other_folders_and_empty_galleries_are_not_written(tmp_path):
    (tmp_path / "g").mkdir()
    (tmp_path / "g" / "thesis.tex").write_text("x")
    with pytest.raises(UserError, match="exists and is not a gallery"):
        GalleryWriter(tmp_path / "g", ABOUT, MODALITIES, DIM)
    with (
        pytest.raises(UserError, match="nothing could be embedded"),
        GalleryWriter(tmp_path / "h", ABOUT, MODALITIES, DIM) as writer,
    ):
        writer.finish()


def test_only_the_model_that_built_a_gallery_can_search_it(tmp_path):
    write(tmp_path / "g", [range(3)])
    assert len(open_gallery(tmp_path / "g", "abc")) == 3
    with pytest.raises(
        UserError, match=r"built by another model \(step 3 of abc instead of def\).*; rebuild the gallery"
    ):
        open_gallery(tmp_path / "g", "def")
    (tmp_path / "g" / "gallery.json").unlink()
    with pytest.raises(UserError, match=r"gallery.json is missing; build the gallery with"):
        open_gallery(tmp_path / "g", "abc")
    with pytest.raises(UserError, match=r"nowhere: no such folder; build the gallery with"):
        open_gallery(tmp_path / "nowhere", "abc")


def test_search_ranks_by_similarity_and_rejects_invalid_queries(tmp_path):
    write(tmp_path / "g", [range(9)])
    gallery = Gallery(tmp_path / "g")
    query = rows([2, 5], "recipe")
    first_hits, second_hits = gallery.search(query, among="photos", top=4)
    expected = np.argsort(-(rows(range(9)) @ query[0]))[:4]
    assert [hit.row for hit in first_hits] == expected.tolist()
    assert [hit.place for hit in second_hits] == [1, 2, 3, 4]
    assert first_hits[0].item.id == item(expected[0]).id
    assert first_hits[0].similarity == pytest.approx(float(rows([expected[0]])[0] @ query[0]), rel=1e-5)
    (in_class,) = gallery.search(query[:1], among="photos", top=5, class_name="cake")
    assert sorted(hit.row for hit in in_class) == [2, 5, 8]
    assert gallery.search(query[:1], among="photos", top=5, class_name="Cake") == [in_class]
    for invalid, message in (
        ({"among": "dishes"}, "expected 'recipes' or 'photos'"),
        ({"top": 0}, "expected at least 1"),
        ({"queries": query[0]}, r"queries have shape \(6,\)"),
        ({"approximate": True}, "the recipe embeddings have no index"),
        ({"class_name": "Cakes"}, "no class 'Cakes'; did you mean cake"),
        ({"class_name": "wombat"}, "no class 'wombat'; the largest of"),
    ):
        with pytest.raises(UserError, match=message):
            gallery.search(**({"queries": query} | invalid))


def test_threads_read_items_concurrently(tmp_path):
    write(tmp_path / "g", [range(40)])
    gallery, start = Gallery(tmp_path / "g"), threading.Barrier(8)

    def read_ids(_):
        start.wait(60)
        return [gallery.item(row).id for row in range(40)]

    with ThreadPoolExecutor(8) as pool:
        assert all(ids == [item(row).id for row in range(40)] for ids in pool.map(read_ids, range(8)))


@pytest.mark.parametrize(
    "fields",
    [
        {"model": None},
        {"dim": 6.0},
        {"dim": 0},
        {"dtype": "int8"},
        {"sides": []},
        {"sides": None},
        {"sides": ["image", "image"]},
        {"sides": ["../../etc/passwd"]},
    ],
)
def test_malformed_fields_are_named(tmp_path, fields):
    write(tmp_path / "g", [range(11)])
    file = tmp_path / "g" / "gallery.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))
    with pytest.raises(UserError, match=rf"gallery\.json: cannot be read \(malformed fields: {next(iter(fields))}\)"):
        Gallery(tmp_path / "g")


@pytest.mark.parametrize("name", ["gallery.json", "image.npy", "recipe.npy", "gallery.sqlite"])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_a_file_that_is_no_file_is_named(tmp_path, name, make):
    write(tmp_path / "g", [range(11)])
    (tmp_path / "g" / name).unlink()
    make(tmp_path / "g" / name)
    with pytest.raises(UserError, match=rf"{name}: cannot be read \(not a regular file\)"):
        Gallery(tmp_path / "g")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM items WHERE row = 4",
        "INSERT INTO removed VALUES (100)",
        "UPDATE segments SET start = 1",
        "INSERT INTO pending VALUES (3, x'', x'')",
        "DROP TABLE removed",
    ],
)
def test_a_database_that_does_not_fit_the_embeddings_is_refused(tmp_path, statement):
    write(tmp_path / "g", [range(11)])
    with contextlib.closing(sqlite3.connect(tmp_path / "g" / "gallery.sqlite", isolation_level=None)) as connection:
        connection.execute(statement)
    with pytest.raises(UserError, match=r"do not belong together|cannot be read"):
        Gallery(tmp_path / "g").check()


def test_a_gallery_of_an_earlier_version_is_named(tmp_path):
    write(tmp_path / "g", [range(11)])
    (tmp_path / "g" / "items.jsonl").write_text("{}")
    with pytest.raises(UserError, match="a gallery of an earlier version; rebuild the gallery with"):
        Gallery(tmp_path / "g")
    write(tmp_path / "g", [range(3)])
    assert len(Gallery(tmp_path / "g")) == 3


def write_unit_rows(folder):
    write(folder, [range(11)])
    for modality in MODALITIES:
        table = np.load(folder / f"{modality}.npy")
        np.save(folder / f"{modality}.npy", table / np.linalg.norm(table, axis=1, keepdims=True))


@pytest.mark.parametrize("value", [0.0, 100.0, np.nan, np.inf])
def test_embeddings_that_are_not_unit_rows_are_noticed(tmp_path, value):
    write_unit_rows(tmp_path / "g")
    table = np.load(tmp_path / "g" / "recipe.npy")
    table[7] *= value
    np.save(tmp_path / "g" / "recipe.npy", table)
    with pytest.raises(UserError, match="the recipe embedding of row 7 is not a unit vector"):
        Gallery(tmp_path / "g").check()
    if not np.isfinite(value):
        with pytest.raises(UserError, match=r"row 7 \(from 0\) of the gallery's embeddings is not finite"):
            Gallery(tmp_path / "g").search(table[:1], "recipes")
