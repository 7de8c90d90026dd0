"""Galleries change while they are searched, each change whole or not at all; filters hold; words find titles."""

import contextlib
import dataclasses
import errno
import random
import shutil
import sqlite3
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.base.errors import UserError
from adamine_jax.gallery import database, editing, exact, index
from adamine_jax.gallery.editing import Editor
from adamine_jax.gallery.files import MODALITIES, Item, MissingItem
from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.store import Gallery
from adamine_jax.gallery.words import fused
from adamine_jax.gallery.writer import GalleryWriter
from adamine_jax.recipes.ingredient_names import ingredient_names
from adamine_jax.recipes.mentions import mention
from tests.tiny_gallery import photo_of

DIM = 8
ABOUT = {"model": "m", "step": 1, "source": {}}
FOODS = [
    "tomatoes",
    "olive oil",
    "cherry tomato",
    "peanuts",
    "nut",
    "berries",
    "egg",
    "eggplant",
    "Crème fraîche",
    "oil",
]
CLASSES = ["soup", "Cake", "background"]


def vector(number):
    row = np.random.default_rng(number).normal(size=(1, DIM)).astype(np.float32)
    return row / np.linalg.norm(row)


def item(number, **fields):
    rng = random.Random(number)
    lines = tuple(f"{rng.randint(1, 9)} cups {food}, chopped" for food in rng.sample(FOODS, rng.randint(0, 4)))
    whole = Item(
        id=f"id {number}",
        title=f"Dish {number} of {rng.choice(FOODS)}",
        class_name=rng.choice(CLASSES),
        ingredients=lines,
        instructions=("Stir it and then boil it for an hour.",),
        photo=photo_of(number % 60),
        language=rng.choice(["en", "de"]),
        tags=(("cuisine", rng.choice(["Thai", "French"])), ("minutes", str(rng.randint(1, 3)))),
    )
    return dataclasses.replace(whole, **fields)


def embeddings(numbers):
    rows = np.concatenate([vector(number) for number in numbers])
    return {"image": rows, "recipe": -rows}


def write(folder, numbers, dtype="float32"):
    with GalleryWriter(folder, ABOUT, MODALITIES, DIM, dtype) as writer:
        writer.write(embeddings(numbers), [item(number) for number in numbers])
        writer.finish()
    return folder


def state(folder):
    """The number of each item, by its id, and whether everything belongs together."""
    gallery = Gallery(folder)
    gallery.check()
    found = {}
    for row, recipe in zip(gallery.rows, gallery.embeddings("recipe"), strict=True):
        stored = gallery.item(row)
        (number,) = [n for n in range(100) if np.allclose(-vector(n)[0], recipe, atol=2e-3)]
        expected = item(number, id=stored.id)
        assert (stored.title, stored.ingredients, sorted(stored.tags)) == (
            expected.title,
            expected.ingredients,
            sorted(expected.tags),
        )
        assert stored.photo.read_bytes() == expected.photo
        found[stored.id] = number
    for text in (f"Dish {number}" for number in found.values()):
        assert gallery.search_words(text, top=1)
    return found


def numbered(*numbers):
    return {f"id {number}": number for number in numbers}


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("segment", [2, 3, 1000])
def test_items_are_added_replaced_removed_and_compacted(tmp_path, monkeypatch, segment, dtype):
    monkeypatch.setattr(editing, "SEGMENT", segment)
    folder = write(tmp_path / "g", range(5), dtype)
    opened = Gallery(folder)
    assert len(opened) == 5
    with Editor(folder) as editor:
        assert editor.add([item(5), item(6)], embeddings([5, 6])) == [5, 6]
        assert len(opened) == 7  # an open gallery sees it
        assert editor.remove(["id 1", "id 5", "unknown"]) == 2
        assert editor.add([item(7, id="id 2")], embeddings([7]), replace=True) == [7]
        with pytest.raises(UserError, match="the id 'id 3' is taken"):
            editor.add([item(8), item(9, id="id 3")], embeddings([8, 9]))
        expected = numbered(0, 3, 4, 6) | {"id 2": 7}
        assert state(folder) == expected
        opened.refresh()
        assert opened.rows.tolist() == [0, 3, 4, 6, 7]
        rows = opened.rows
        assert editor.compact() == 3
        assert state(folder) == expected
        opened.refresh()
        np.testing.assert_array_equal(opened.rows, rows)  # row numbers stay
        assert editor.add([item(10)], embeddings([10])) == [8]
        assert editor.compact() == 0
    assert state(folder) == expected | numbered(10)
    photos = {path.name for path in (folder / "photos").iterdir()}
    assert photos == {f"{row:08d}.jpg" for row in (*rows, 8)}
    with contextlib.closing(sqlite3.connect(folder / database.NAME)) as connection:
        named = {name for (name,) in connection.execute("SELECT name FROM segments")}
    assert {path.name for path in folder.glob("*.npy")} == {
        f"{side}{name}.npy" for side in MODALITIES for name in named
    }


def naive(numbers, chosen):
    """The numbers of the items that pass a filter."""

    def passes(found):
        names = [name for line in found.ingredients for name, _ in ingredient_names(line)]
        tags = [(name.lower(), value.lower()) for name, value in found.tags]
        return (
            (chosen.class_name is None or found.class_name.lower() == chosen.class_name.lower())
            and (not chosen.language or found.language == chosen.language)
            and all((name.lower(), value.lower()) in tags for name, value in chosen.tags)
            and all(any(mention(food).search(name) for name in names) for food in chosen.include)
            and not any(mention(food).search(line) for food in chosen.exclude for line in found.ingredients)
            and (not chosen.exclude or found.ingredients != ())
        )

    return [number for number in numbers if passes(item(number))]


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A gallery with removed and added items, and their numbers."""
    folder = write(tmp_path_factory.mktemp("filters") / "g", range(60))
    with Editor(folder) as editor:
        editor.remove([f"id {number}" for number in range(0, 60, 7)])
        editor.add([item(number) for number in range(60, 80)], embeddings(range(60, 80)))
    return Gallery(folder), [number for number in range(80) if number >= 60 or number % 7]


foods = st.lists(st.sampled_from([*FOODS, "tomato", "nuts", "berry", "eggs", "cherry", "TOMATO"]), max_size=2).map(
    tuple
)
filters = st.builds(
    Filter,
    class_name=st.sampled_from([None, "soup", "cake"]),
    include=foods,
    exclude=foods,
    language=st.sampled_from(["", "en", "de"]),
    tags=st.sampled_from([(), (("cuisine", "thai"),), (("Minutes", "2"), ("cuisine", "French"))]),
)


@settings(deadline=None, max_examples=200)
@given(filters, st.integers(0, 1000), st.integers(1, 12))
def test_filtered_results_are_those_of_a_naive_search(changed, chosen, seed, top):
    gallery, numbers = changed
    allowed = naive(numbers, chosen)
    assert gallery.count(chosen) == len(allowed)
    query = vector(10_000 + seed)
    (hits,) = gallery.search(query, "recipes", top, where=chosen)
    expected = sorted(allowed, key=lambda number: -float(-vector(number)[0] @ query[0]))[:top]
    assert [hit.item.id for hit in hits] == [f"id {number}" for number in expected]
    for found in gallery.search_words("dish tomato", top=top, where=chosen):
        assert int(gallery.item(found.row).id.split()[1]) in allowed


def test_an_index_finds_what_was_added_and_not_what_was_removed(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "SMALLEST", 100)
    monkeypatch.setattr(index, "EXACT", 20)
    rng = np.random.default_rng(0)
    rows = np.tanh(rng.normal(size=(3000, 3)) @ rng.normal(size=(3, DIM))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    items = [Item(f"{n}", "", CLASSES[0] if n % 10 == 0 else CLASSES[1]) for n in range(3000)]
    with GalleryWriter(tmp_path / "g", ABOUT, ("recipe",), DIM) as writer:
        writer.write({"recipe": rows[:2500]}, items[:2500])
        writer.finish()
    gallery = Gallery(tmp_path / "g")
    index.build(gallery, "recipe")
    with Editor(tmp_path / "g") as editor:
        editor.add(items[2500:], {"recipe": rows[2500:]})
        editor.remove([f"{n}" for n in range(0, 3000, 3)])
    gallery.refresh()
    alive = np.array([n for n in range(3000) if n % 3])
    queries = rows[rng.choice(3000, 50)]
    for candidates, where in ((alive, None), (alive[alive % 10 == 0], Filter(class_name="soup"))):
        found = gallery.nearest(queries, "recipes", 10, where=where, approximate=True)[1]
        expected = exact.search(rows, queries, 10, candidates)[1]
        assert np.isin(found, candidates).all()
        assert np.mean([np.isin(a, b).mean() for a, b in zip(expected, found, strict=True)]) > 0.95
        with Editor(tmp_path / "g") as editor:
            editor.compact()
        gallery.refresh()


def test_words_find_titles_first_and_fusion_shows_the_places(changed):
    gallery, numbers = changed
    for number in numbers[::5]:
        title = item(number).title
        found = gallery.search_words(title.upper(), vector(number + 1), "recipes", 5)
        assert gallery.item(found[0].row).id == f"id {number}"
        assert found[0].places["title"] == 1
        assert "embedding" in found[1].places
        (first, *_) = gallery.search_words(title, top=3)
        assert first.row == found[0].row
    assert gallery.search_words("?!") == gallery.search_words("wombat") == []
    assert [each.row for each in fused({"a": [1, 2], "b": [2, 3]}, [], 3)] == [2, 1, 3]


def test_a_filter_needs_words_and_known_classes(changed):
    gallery, _ = changed
    with pytest.raises(UserError, match="'!!': an ingredient needs at least one word"):
        gallery.count(Filter(exclude=("!!",)))
    with pytest.raises(UserError, match="no class 'stew'"):
        gallery.count(Filter(class_name="stew"))


def test_readers_see_whole_changes_while_a_writer_works(tmp_path, monkeypatch):
    monkeypatch.setattr(editing, "SEGMENT", 4)
    folder = write(tmp_path / "g", range(10))
    stop, problems = threading.Event(), []

    def read():
        gallery = Gallery(folder)
        while not stop.is_set():
            try:
                (hits,) = gallery.search(vector(3), "recipes", 50)
                ids = [hit.item.id for hit in hits]
                if len(ids) % 2 or len(set(ids)) != len(ids):  # items come and go in pairs
                    problems.append(ids)
            except MissingItem:
                pass  # removed between the search and the reading of the item

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(10, 40, 2):
            with Editor(folder) as editor:
                editor.add([item(number), item(number + 1)], embeddings([number, number + 1]))
                editor.remove([f"id {number - 10}", f"id {number - 9}"])
                if number % 6 == 0:
                    editor.compact()
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert problems == []
    assert state(folder) == numbered(*range(30, 40))


def test_a_full_disk_leaves_the_old_state(tmp_path, monkeypatch):
    folder = write(tmp_path / "g", range(5))
    with Editor(folder) as editor:
        pages = editor.connection.execute("PRAGMA page_count").fetchone()[0]
        editor.connection.execute(f"PRAGMA max_page_count = {pages}")

        def fill():
            for number in range(5, 60):
                editor.add([item(number)], embeddings([number]))

        with pytest.raises(UserError, match=r"gallery\.sqlite.*: no space left on device"):
            fill()
        added = editor.counter("next_row")
    assert state(folder) == numbered(*range(added))

    def fail(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(editing, "write_segment", fail)
    with Editor(folder) as editor, pytest.raises(OSError, match="full"):
        editor.compact()
    assert state(folder) == numbered(*range(added))


KILLED = """
import sys, os, shutil
from pathlib import Path
from adamine_jax.gallery import editing, vectors
from tests.retrieval import test_gallery_changes as t
editing.SEGMENT = 3
source, scratch, change = Path(sys.argv[1]), Path(sys.argv[2]), t.CHANGES[sys.argv[3]]
for point in range(10_000):
    folder = scratch / str(point)
    shutil.copytree(source, folder)
    if not (child := os.fork()):
        left = point
        def count(*_):
            global left
            left -= 1
            if left < 0:
                os._exit(9)
        sys.addaudithook(lambda event, _: event in ("open", "os.rename", "os.remove") and count())
        with editing.Editor(folder) as editor:
            editor.connection.set_trace_callback(count)
            change(editor)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
print(point)
"""
CHANGES = {
    "add": lambda editor: editor.add([item(n) for n in (10, 11)], embeddings([10, 11])),
    "replace": lambda editor: editor.add([item(12, id="id 1")], embeddings([12]), replace=True),
    "remove": lambda editor: editor.remove(["id 0", "id 4"]),
    "compact": lambda editor: editor.compact(),
}
AFTER = {
    "add": numbered(0, 1, 3, 4, 5, 10, 11),
    "replace": numbered(0, 3, 4, 5) | {"id 1": 12},
    "remove": numbered(1, 3, 5),
    "compact": numbered(0, 1, 3, 4, 5),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_that_is_killed_at_any_write_is_whole_or_absent(tmp_path, monkeypatch, change):
    monkeypatch.setattr(editing, "SEGMENT", 3)
    before = write(tmp_path / "g", range(6))
    with Editor(before) as editor:
        editor.remove(["id 2"])
    (tmp_path / "scratch").mkdir()
    command = [sys.executable, "-c", KILLED, str(before), str(tmp_path / "scratch"), change]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    points = int(printed)
    assert points > 5
    expected = [state(before), AFTER[change]]
    reached = 0
    for point in range(points):
        folder = tmp_path / "scratch" / str(point)
        found = expected.index(state(folder))
        assert found >= reached  # what was once reached stays
        reached = found
        with Editor(folder) as editor:  # later changes work
            CHANGES["compact"](editor)
            assert state(folder) == expected[found]
        shutil.rmtree(folder)
    assert state(tmp_path / "scratch" / str(points)) == AFTER[change]


def test_a_folder_that_cannot_be_written_is_read(tmp_path):
    folder = write(tmp_path / "g", range(5))
    with contextlib.ExitStack() as stack:
        for path in (folder / database.NAME, folder):
            path.chmod(0o500)
            stack.callback(path.chmod, 0o700)
        assert state(folder) == numbered(*range(5))


def test_a_reader_follows_changes_between_compactions(tmp_path, monkeypatch):
    monkeypatch.setattr(editing, "SEGMENT", 4)
    folder = write(tmp_path / "g", range(10))
    opened = Gallery(folder)

    def agrees():
        opened.refresh()
        assert opened.rows.tolist() == Gallery(folder).rows.tolist()
        np.testing.assert_array_equal(opened.embeddings("image"), Gallery(folder).embeddings("image"))
        assert state(folder)

    for rounds in range(3):
        with Editor(folder) as editor:  # an item that only the reader's buffer has seen
            editor.add([item(50)], embeddings([50]))
            agrees()
            editor.remove(["id 50"])
            editor.compact()
            agrees()
        with Editor(folder) as editor:  # everything is replaced, segments included
            editor.remove(opened.ids.tolist())
            editor.compact()
            numbers = range(20 + 5 * rounds, 25 + 5 * rounds)
            editor.add([item(n) for n in numbers], embeddings(numbers))
            editor.flush()
        agrees()


def test_an_index_forgets_what_was_compacted(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "SMALLEST", 100)
    rng = np.random.default_rng(0)
    rows = np.tanh(rng.normal(size=(2000, 3)) @ rng.normal(size=(3, DIM))).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    with GalleryWriter(tmp_path / "g", ABOUT, ("recipe",), DIM) as writer:
        writer.write({"recipe": rows}, [Item(f"{n}", "") for n in range(2000)])
        writer.finish()
    gallery = Gallery(tmp_path / "g")
    index.build(gallery, "recipe")
    for removed in (range(1990, 2000), range(0, 1990, 4)):
        with Editor(tmp_path / "g") as editor:
            editor.remove([f"{n}" for n in removed])
            editor.compact()
            added = [Item(f"new {n}", "") for n in removed]
            new = embeddings(range(5000 + removed.start, 5000 + removed.start + len(added)))["recipe"]
            editor.add(added, {"recipe": new})
        gallery.refresh()
        found = gallery.nearest(rows, "recipes", 5, approximate=True)[1]
        assert np.isin(found, gallery.rows).all()
        assert all(len(set(each)) == 5 for each in found.tolist())
        itself = gallery.nearest(new, "recipes", 1, approximate=True)[1][:, 0]
        assert itself.tolist() == gallery.rows[-len(added) :].tolist()


def test_an_embedding_of_a_new_or_removed_row(tmp_path):
    folder = write(tmp_path / "g", range(5))
    gallery = Gallery(folder)
    with Editor(folder) as editor:
        editor.add([item(5)], embeddings([5]))
        np.testing.assert_array_equal(gallery.embedding("image", 5), vector(5)[0])
        editor.remove(["id 2"])
        editor.compact()
    gallery.refresh()
    with pytest.raises(MissingItem):
        gallery.embedding("image", 2)


def test_another_process_that_changes_the_gallery_is_waited_for(tmp_path, monkeypatch):
    folder = write(tmp_path / "g", range(5))
    with Editor(folder) as other:
        monkeypatch.setattr(database, "_WAIT_SECONDS", 0)
        other.connection.execute("BEGIN IMMEDIATE")
        with Editor(folder) as editor, pytest.raises(UserError, match="another process is changing the gallery"):
            editor.compact()
        other.connection.execute("ROLLBACK")
    assert state(folder) == numbered(*range(5))


def test_a_failed_change_leaves_no_photos(tmp_path):
    folder = write(tmp_path / "g", range(5))
    with Editor(folder) as editor, pytest.raises(UserError, match="is taken"):
        editor.add([item(8), item(9, id="id 3")], embeddings([8, 9]))
    assert len(list((folder / "photos").iterdir())) == 5
    assert state(folder) == numbered(*range(5))


def test_ids_that_are_no_unicode(tmp_path):
    folder = write(tmp_path / "g", range(2))
    with Editor(folder) as editor:
        editor.add([item(5, id="caf\udce9.jpg")], embeddings([5]))
        assert editor.has("caf\udce9.jpg")
        assert Gallery(folder).search_words("caf\udce9", vector(5), "photos", 1)
        assert editor.remove(["caf\udce9.jpg"]) == 1


PLURALS = (
    "cookie cookies, brioche brioches, quiche quiches, brownie brownies, berry berries, tomato tomatoes, pie pies, "
    "shoe shoes, peach peaches, radish radishes, glass glasses, box boxes, nut nuts, egg eggs, turkey turkeys, "
    "cheese cheeses, sauce sauces, olive olives, anchovy anchovies, smoothie smoothies, avocado avocados, chive chives"
)


@pytest.mark.parametrize("pair", PLURALS.split(", "))
def test_filters_find_the_singular_and_the_plural(tmp_path, pair):
    one, many = pair.split()
    with GalleryWriter(tmp_path / "g", ABOUT, MODALITIES, DIM) as writer:
        lines = (f"1 {one}",), (f"2 {many}, chopped",), ("1 cup water",)
        writer.write(embeddings(range(3)), [item(n, ingredients=each) for n, each in enumerate(lines)])
        writer.finish()
    gallery = Gallery(tmp_path / "g")
    for word in (one, many):
        assert gallery.count(Filter(include=(word,))) == 2
        assert gallery.count(Filter(exclude=(word,))) == 1
