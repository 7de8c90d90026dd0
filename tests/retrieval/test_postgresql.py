"""A gallery in PostgreSQL changes and is searched like one in a folder."""

import contextlib
import threading

import numpy as np
import psycopg
import pytest

from adamine_jax import embed
from adamine_jax.base.errors import UserError
from adamine_jax.gallery import duplicates, maintenance, opening, store
from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.folder import exact
from adamine_jax.gallery.items import DTYPES, MODALITIES, BusyGallery, Item, MissingItem, TakenId
from adamine_jax.gallery.postgresql import index
from adamine_jax.gallery.postgresql import store as postgresql
from tests.changing_gallery import ABOUT, DIM, embeddings, item, numbered, state, vector, write
from tests.databases import at


@pytest.fixture
def place(database, request):
    """The URL of a schema of the test's own."""
    return at(database, f"t{abs(hash(request.node.name)) % 10**12}")


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
        query = (
            f"EXPLAIN SELECT row FROM {arguments[0].items} ORDER BY (recipe::halfvec({DIM})) <#> %s::halfvec LIMIT 5"
        )
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


def test_a_gallery_of_another_model_is_not_searched(place):
    gallery = opening.opened(write(place, range(3)))
    with opening.writer(place, ABOUT | {"model": "other"}, MODALITIES, DIM) as writer:
        writer.write(embeddings(range(4)), [item(n) for n in range(4)])
        writer.finish()
    with pytest.raises(BusyGallery, match="replaced by a gallery of another model"):
        gallery.nearest(vector(1), "recipes", 3)
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


HOSTILE = "nul \0 and \udcff and 'quotes\" %s {} \\ \n" + "w" * 5000


def test_any_text_is_stored_and_found(place):
    write(place, range(2))
    gallery = opening.opened(place)
    strange = Item(HOSTILE[:300], HOSTILE, HOSTILE, (HOSTILE, ""), (HOSTILE * 100,), b"x", "en", ((HOSTILE, HOSTILE),))
    with gallery.editor() as editor:
        editor.add([strange], embeddings([2]))
        assert editor.has(strange.id)
    row = gallery.row_of(strange.id)
    stored = gallery.item(row)
    cleaned = HOSTILE.replace("\0", "\ufffd").replace("\udcff", "?")
    assert (stored.title, stored.class_name, stored.tags) == (cleaned, cleaned, ((cleaned, cleaned),))
    where = Filter(class_name=cleaned, include=(HOSTILE,), language="en", tags=((HOSTILE, HOSTILE),))
    assert gallery.nearest(vector(1), "recipes", 5, where=where)[1].tolist() == [[row]]
    assert gallery.count(Filter(exclude=("quotes",))) == sum(bool(item(n).ingredients) for n in range(2))
    assert gallery.search_words(HOSTILE, top=1)[0].row == row
    with gallery.editor() as editor:
        assert editor.remove([strange.id]) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://cook:secret@localhost:1/x", r"postgresql://localhost:1/x\?schema=adamine: cannot be reached \("),
        ("postgresql://cook:secret@h/x?schema=a;drop", "a schema has at most 41 lower-case letters"),
        ("postgresql://cook:secret@h/x?wrong=1", "not a PostgreSQL URL"),
        ("postgresql://cook:secret%zz@h/x", "not a PostgreSQL URL"),
        ("postgresql://cook:a/secret@h/x", "not a PostgreSQL URL"),
        ("postgresql://[secret/x", "not a PostgreSQL URL"),
    ],
)
def test_a_wrong_url_is_one_line_without_the_password(kitchen, capsys, url, message):
    with pytest.raises(UserError, match=message):
        opening.opened(url)
    assert embed.main(["--workdir", str(kitchen / "run"), "--store", url]) == 2
    error = capsys.readouterr().err
    assert "secret" not in error
    assert len(error.strip().split("\n")) == 1


def test_what_is_no_gallery_is_reported_and_kept(place, database):
    with pytest.raises(UserError, match=r"contains no gallery; build it with `python -m adamine_jax\.embed … --store"):
        opening.opened(place)
    schema = place.partition("schema=")[2]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        connection.execute(f"CREATE VIEW {schema}.orders AS SELECT 1 AS n")
        with pytest.raises(UserError, match="the schema exists and is not a gallery; choose another one"):
            opening.check_replaceable(place, MODALITIES)
        with opening.writer(place, ABOUT, MODALITIES, DIM) as writer:  # created meanwhile
            writer.write(embeddings(range(2)), [item(n) for n in range(2)])
            with pytest.raises(UserError, match="already exists"):
                writer.finish()
        # What somebody has added to the schema of a gallery is kept, too.
        other = write(at(database, f"{schema}_b"), range(2))
        connection.execute(f"CREATE TABLE {schema}_b.mine (n int)")
        with pytest.raises(UserError, match="cannot drop schema"):
            write(other, range(3))
        assert len(opening.opened(other)) == 2
        assert connection.execute(f"SELECT count(*) FROM {schema}_b.mine").fetchone() == (0,)
        assert connection.execute(f"SELECT n FROM {schema}.orders").fetchone() == (1,)


@pytest.mark.parametrize("schema", ["public", "pg_catalog", "information_schema", "a_unfinished"])
def test_schemas_that_are_no_gallerys_are_refused(database, schema):
    with pytest.raises(UserError, match="a gallery needs a schema of its own"):
        opening.check_replaceable(at(database, schema), MODALITIES)


def test_reserved_words_and_options_of_the_url_are_allowed(database):
    place = at(database, "order") + "&application_name=a%20b&options=-c%20statement_timeout%3D50000"
    gallery = opening.opened(write(place, range(2)))
    with gallery.connection() as connection:
        (name,) = connection.execute("SHOW application_name").fetchone()
        (timeout,) = connection.execute("SHOW statement_timeout").fetchone()
    assert (len(gallery), name, timeout) == (2, "a b", "50s")


def test_words_beside_signs_are_found(place, tmp_path):
    strange = item(1, ingredients=("salt/pepper", "oil-butter"), instructions=("Chop the onions.Add garlic.Stir.",))
    for each in (place, tmp_path / "g"):
        with opening.writer(each, ABOUT, MODALITIES, DIM) as writer:
            writer.write(embeddings([1]), [strange])
            writer.finish()
        gallery = opening.opened(each)
        for word in ("salt", "pepper", "oil", "butter", "onions", "garlic", "Stir"):
            assert [found.row for found in gallery.search_words(word)] == gallery.rows.tolist(), word


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
    gallery.build_index("recipe")

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(index, "_watched", interrupted)
        with pytest.raises(KeyboardInterrupt):
            gallery.build_index("recipe")
    assert not gallery.has_index("recipe")
    gallery.build_index("recipe")
    assert gallery.has_index("recipe")


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


def test_long_ids_and_texts_are_stored(place):
    identity = "".join(chr(0x4E00 + n) for n in range(3000))
    long = item(1, id=identity, instructions=(" ".join(chr(0x4E00 + n % 20000) * 3 for n in range(100_000)),))
    gallery = opening.opened(write(place, range(2)))
    with gallery.editor() as editor:
        (row,) = editor.add([long], embeddings([5]))
    assert gallery.row_of(identity) == row
    assert gallery.item(row).instructions == long.instructions


def test_damage_duplicates_and_exports(place, database, tmp_path):
    gallery = opening.opened(write(place, range(6)))
    with gallery.editor() as editor:
        editor.add([item(2, id="again")], embeddings([2]))
    assert duplicates.groups(gallery) == [["id 2", "again"]]
    found = maintenance.stats(gallery)
    assert (found["items"], found["tags"]["cuisine"], found["indexed"]) == (7, 2, [])
    assert maintenance.export(gallery, tmp_path / "items.parquet") == 7
    schema = place.partition("schema=")[2]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"UPDATE {schema}.items SET photo = NULL WHERE id = 'id 3'")
        with pytest.raises(UserError, match="the photo of 'id 3' is missing"):
            gallery.verify()
        connection.execute(f"UPDATE {schema}.items SET recipe = recipe * recipe WHERE id = 'id 4'")
    with pytest.raises(UserError, match="the recipe embedding of 'id 4' is not a unit vector"):
        gallery.verify()


def test_a_server_that_restarts_is_reached_again(place, database):
    gallery = opening.opened(write(place, range(3)))
    with psycopg.connect(database, autocommit=True) as connection:
        others = "pid <> pg_backend_pid() AND backend_type = 'client backend'"
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}".encode())
    assert len(gallery) == 3
    assert gallery.nearest(vector(1), "recipes", 3)[1].shape == (1, 3)
