"""A gallery in PostgreSQL changes and is searched like one in a folder."""

import contextlib
import threading

import numpy as np
import pytest

from adamine_jax.base.errors import UserError
from adamine_jax.gallery import opening, store
from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.folder import exact
from adamine_jax.gallery.items import DTYPES, MODALITIES, BusyGallery, Item, MissingItem, TakenId
from adamine_jax.gallery.postgresql import index
from adamine_jax.gallery.postgresql import store as postgresql
from tests.changing_gallery import ABOUT, DIM, embeddings, item, numbered, state, vector, write


def similar_rows(count):
    """(count, DIM) unit rows in a few dimensions, in which neighbours are near."""
    rng = np.random.default_rng(0)
    rows = np.tanh(rng.normal(size=(count, 3)) @ rng.normal(size=(3, DIM))).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_items_are_added_replaced_removed_and_compacted(place, dtype):
    opened = opening.opened(write(place, range(5), dtype))
    with opened.editor() as editor:
        first, second = editor.add([item(5), item(6)], embeddings([5, 6]))
        assert second == first + 1
        assert len(opened) == 7  # an open gallery sees it
        assert editor.has("id 5")
        assert editor.remove(["id 1", "id 5", "unknown"]) == 2
        (row,) = editor.add([item(7, id="id 2")], embeddings([7]), replace=True)
        assert row > second
        with pytest.raises(TakenId, match="the id of an item is taken"):
            editor.add([item(8), item(9, id="id 3")], embeddings([8, 9]))
        expected = numbered(0, 3, 4, 6) | {"id 2": 7}
        assert state(place) == expected
        rows = opened.rows
        editor.compact()
        assert state(place) == expected
        np.testing.assert_array_equal(opened.rows, rows)
    with pytest.raises(MissingItem):
        opened.item(first)
    with pytest.raises(MissingItem):
        opened.embedding("image", first)
    with pytest.raises(UserError, match="no item has the id 'id 5'"):
        opened.row_of("id 5")


@pytest.mark.parametrize("dtype", DTYPES)
def test_exact_results_equal_those_of_a_folder(place, tmp_path, dtype):
    rows = np.concatenate([similar_rows(400), similar_rows(100)])  # the last ones are ties
    items = [Item(f"{n}", "", "soup" if n % 3 else "cake") for n in range(500)]
    stores = []
    for each in (tmp_path / "g", place):
        with opening.writer(each, ABOUT, ("recipe",), DIM, dtype) as writer:
            writer.write({"recipe": rows}, items)
            writer.finish()
        stores.append(opening.opened(each))
    queries = similar_rows(450)[400:]
    for where in (None, Filter(class_name="cake")):
        (one, a), (two, b) = (each.nearest(queries, "recipes", 20, where=where) for each in stores)
        np.testing.assert_allclose(one, two, atol=1e-6)
        b = b - stores[1].rows[0]
        differing = np.argwhere(a != b)
        for number, position in differing:  # similarities that are equal but for rounding
            assert abs(one[number, position] - rows[b[number, position]] @ queries[number]) < 1e-3
        assert len(differing) < 0.02 * a.size
    assert stores[1].nearest(queries, "recipes", 600)[1].shape == (50, 500)


def test_an_index_finds_the_nearest_within_filters_and_after_changes(place, monkeypatch, capsys):
    monkeypatch.setattr(store, "SMALLEST", 100)
    monkeypatch.setattr(postgresql, "EXACT", 20)
    rows = similar_rows(3000)
    items = [Item(f"{n}", "", "soup" if n % 10 == 0 else "cake") for n in range(3000)]
    with opening.writer(place, ABOUT, ("recipe",), DIM) as writer:
        writer.write({"recipe": rows[:2500]}, items[:2500])
        writer.finish()
    gallery = opening.opened(place)
    first = gallery.rows[0]
    assert not gallery.has_index("recipe")
    assert gallery.nearest(rows[:1], "recipes", 1, approximate=True)[1] == [[first]]  # exact without an index
    gallery.build_index("recipe")
    assert gallery.has_index("recipe")
    assert "recall@10" in capsys.readouterr().out
    with gallery.editor() as editor:
        editor.add(items[2500:], {"recipe": rows[2500:]})
        editor.remove([f"{n}" for n in range(0, 3000, 3)])
    alive = np.array([n for n in range(3000) if n % 3])
    queries = rows[np.random.default_rng(1).choice(3000, 50)]
    plans = []

    def watched(connection, *arguments):
        near = approximate(connection, *arguments)
        assert connection.execute("SHOW enable_seqscan").fetchone() == ("on",)  # for an exact search
        ordered = f"{arguments[0].address.items} ORDER BY (recipe::halfvec({DIM})) <#> %s::halfvec"
        query = f"EXPLAIN SELECT row FROM {ordered} LIMIT 5"
        plans.append(str(connection.execute(query.encode(), [str(rows[0].tolist())]).fetchall()))
        return near

    approximate = index.approximate
    monkeypatch.setattr(index, "approximate", watched)
    for candidates, where in ((alive, None), (alive[alive % 10 == 0], Filter(class_name="soup"))):
        found = gallery.nearest(queries, "recipes", 10, where=where, approximate=True)[1] - first
        expected = exact.search(rows, queries, 10, candidates)[1]
        assert np.isin(found, candidates).all()
        assert np.mean([np.isin(a, b).mean() for a, b in zip(expected, found, strict=True)]) > 0.95
    assert len(plans) == 100
    assert all("items_recipe" in plan for plan in plans)
    # Few items pass: the search is exact, and finds all of them.
    with gallery.editor() as editor:
        added = [Item(f"rare {n}", "", "rare") for n in range(7)]
        editor.add(added, {"recipe": rows[:7]})
    found = gallery.nearest(queries, "recipes", 10, class_name="rare", approximate=True)[1]
    assert found.shape == (50, 7)


def test_a_filter_finds_as_many_items_as_pass(place, monkeypatch):
    monkeypatch.setattr(store, "SMALLEST", 100)
    monkeypatch.setattr(postgresql, "EXACT", 2)
    monkeypatch.setattr(index, "_SCANNED", 1)  # the graph search gives up at once
    rows = similar_rows(1000)
    with opening.writer(place, ABOUT, ("recipe",), DIM) as writer:
        writer.write({"recipe": rows}, [Item(f"{n}", "", "soup" if n % 100 == 0 else "cake") for n in range(1000)])
        writer.finish()
    gallery = opening.opened(place)
    gallery.build_index("recipe")
    found = gallery.nearest(rows[:20], "recipes", 8, class_name="soup", approximate=True)[1] - gallery.rows[0]
    np.testing.assert_array_equal(found, exact.search(rows, rows[:20], 8, np.arange(0, 1000, 100))[1])


def test_an_interrupted_writer_is_resumed_and_replaces_the_old_gallery_at_the_end(place, capsys):
    write(place, range(3))
    gallery = opening.opened(place)
    about = ABOUT | {"source": {"new": "one"}}
    with contextlib.suppress(KeyboardInterrupt), opening.writer(place, about, MODALITIES, DIM) as writer:
        writer.write(embeddings(range(10, 14)), [item(n) for n in range(10, 14)])
        raise KeyboardInterrupt
    assert len(gallery) == 3
    with opening.writer(place, about, MODALITIES, DIM) as writer:
        assert (writer.taken, len(writer)) == (4, 4)
        assert "resuming after 4 items" in capsys.readouterr().out
        with pytest.raises(UserError, match="another process is writing this gallery"):
            opening.writer(place, about, MODALITIES, DIM)
        writer.write(embeddings([14]), [None])
        writer.write(embeddings([15]), [item(15)])
        assert writer.taken == 6
        assert writer.finish() == 5
    assert state(place) == numbered(10, 11, 12, 13, 15)
    assert len(gallery) == 5  # the same model: an open gallery continues with the new items
    with opening.writer(place, about, MODALITIES, DIM) as writer:
        writer.write(embeddings([1]), [item(1)])
    with opening.writer(place, ABOUT, MODALITIES, DIM) as writer:
        assert writer.taken == 0  # another source
        with pytest.raises(UserError, match="nothing could be embedded"):
            writer.finish()
    assert state(place) == numbered(10, 11, 12, 13, 15)


def test_a_gallery_of_another_model_is_not_searched_or_changed(place):
    gallery = opening.opened(write(place, range(3)))
    editor = gallery.editor()
    with opening.writer(place, ABOUT | {"model": "other"}, MODALITIES, DIM) as writer:
        writer.write(embeddings(range(4)), [item(n) for n in range(4)])
        writer.finish()
    with pytest.raises(BusyGallery, match="replaced by a gallery of another model"):
        gallery.nearest(vector(1), "recipes", 3)
    for each in (editor, gallery.editor()):
        with each, pytest.raises(BusyGallery, match="replaced by a gallery of another model"):
            each.add([item(9)], embeddings([9]))
    assert len(opening.opened(place)) == 4
    with pytest.raises(UserError, match="built by another model"):
        opening.open_gallery(place, "m")
    with pytest.raises(UserError, match="contains a gallery of pairs, not of recipes; choose another schema"):
        opening.check_replaceable(place, ("recipe",))


def test_searches_see_whole_changes_while_others_write(place):
    gallery = opening.opened(write(place, range(10)))
    stop, problems = threading.Event(), []

    def read():
        while not stop.is_set():
            found = gallery.nearest(vector(3), "recipes", 50)[1][0]
            if len(found) % 2 or len(set(found.tolist())) != len(found):  # items come and go in pairs
                problems.append(found)

    def change(start):
        with gallery.editor() as editor:
            for number in range(start, start + 10, 2):
                editor.add([item(number), item(number + 1)], embeddings([number, number + 1]))
                editor.remove([f"id {number - 10}", f"id {number - 9}"])

    threads = [threading.Thread(target=read) for _ in range(3)]
    writers = [threading.Thread(target=change, args=(start,)) for start in (10, 30)]
    for thread in (*threads, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in threads:
        thread.join()
    assert problems == []
    assert state(place) == numbered(*range(10, 20), *range(30, 40))


def test_a_new_gallery_has_new_rows_and_the_indices_of_the_old_one(place, monkeypatch):
    monkeypatch.setattr(store, "SMALLEST", 100)
    rows = similar_rows(300)
    for start in (0, 100):
        with opening.writer(place, ABOUT, ("recipe",), DIM) as writer:
            writer.write({"recipe": rows[start:]}, [Item(f"{n}", "") for n in range(start, 300)])
            writer.finish()
        if start == 0:
            gallery = opening.opened(place)
            gallery.build_index("recipe")
            before = gallery.rows
    assert not set(before) & set(gallery.rows)
    assert gallery.has_index("recipe")
    assert gallery.item(gallery.nearest(rows[150:151], "recipes", 1, approximate=True)[1][0, 0]).id == "150"


def test_an_interrupted_build_leaves_no_index(place, monkeypatch):
    monkeypatch.setattr(store, "SMALLEST", 100)
    rows = similar_rows(300)
    with opening.writer(place, ABOUT, ("recipe",), DIM) as writer:
        writer.write({"recipe": rows}, [Item(f"{n}", "") for n in range(300)])
        writer.finish()
    gallery = opening.opened(place)
    creating = b"SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND state = 'active'"

    def interrupted_at_once(*_):
        raise KeyboardInterrupt

    def interrupted(*_):
        while watching.execute(creating).fetchone() == (0,):
            pass
        raise KeyboardInterrupt

    with gallery.connection() as watching, gallery.connection() as connection:
        with connection.transaction(), monkeypatch.context() as patch:
            # The build waits for this lock, so that Ctrl-C comes while it runs.
            connection.execute(f"LOCK TABLE {gallery.address.items} IN ROW EXCLUSIVE MODE".encode())
            patch.setattr(index, "_show_progress", interrupted)
            with pytest.raises(KeyboardInterrupt):
                gallery.build_index("recipe")
            assert watching.execute(creating).fetchone() == (0,)
        assert not gallery.has_index("recipe")
        gallery.build_index("recipe")
        assert gallery.has_index("recipe")
        with monkeypatch.context() as patch:  # while there is one already
            patch.setattr(index, "_create", interrupted_at_once)
            with pytest.raises(KeyboardInterrupt):
                gallery.build_index("recipe")
        assert not gallery.has_index("recipe")


def test_editors_that_replace_one_item_wait_for_each_other(place):
    gallery, failed = opening.opened(write(place, range(3))), []

    def replace():
        try:
            with gallery.editor() as editor:
                for _ in range(20):
                    editor.add([item(1)], embeddings([1]), replace=True)
        except UserError as error:
            failed.append(error)

    stop = threading.Event()

    def search():
        while not stop.is_set():
            (hits,) = gallery.search(vector(1), "recipes", 3)
            if [hit.place for hit in hits] != list(range(1, len(hits) + 1)):
                failed.append(hits)

    threads = [threading.Thread(target=replace) for _ in range(3)]
    searching = threading.Thread(target=search)
    for thread in (searching, *threads):
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    searching.join()
    assert failed == []
    assert state(place) == numbered(0, 1, 2)
