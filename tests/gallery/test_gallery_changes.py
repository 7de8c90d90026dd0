"""Galleries change while they are searched, each change completely or not at all."""

import contextlib
import errno
import shutil
import sqlite3
import subprocess
import sys
import threading

import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.folder import database, editing
from adamine_jax.gallery.folder.editing import Editor
from adamine_jax.gallery.folder.store import Gallery
from adamine_jax.gallery.items import MODALITIES, MissingItem
from tests.changing_gallery import embeddings, item, numbered, state, vector, write


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


def test_readers_see_whole_changes_while_a_writer_works(tmp_path, monkeypatch):
    monkeypatch.setattr(editing, "SEGMENT", 4)
    folder = write(tmp_path / "g", range(10))
    stop, problems = threading.Event(), []

    def read():
        gallery = Gallery(folder)
        while not stop.is_set():
            rows = gallery.nearest(vector(3), "recipes", 50)[1][0].tolist()
            if len(rows) % 2 or len(set(rows)) != len(rows):  # items come and go in pairs
                problems.append(rows)
            (hits,) = gallery.search(vector(3), "recipes", 50)  # without items that are removed meanwhile
            if [hit.place for hit in hits] != list(range(1, len(hits) + 1)):
                problems.append(hits)

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
from adamine_jax.gallery.folder import editing, vectors
from tests.gallery import test_gallery_changes as t
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
