"""What a database may contain, and what its URL may be."""

import psycopg
import pytest

from adamine_jax import embed
from adamine_jax.base.errors import UserError
from adamine_jax.gallery import duplicates, maintenance, opening
from adamine_jax.gallery.filters import Filter
from adamine_jax.gallery.items import MODALITIES, Item
from tests.changing_gallery import ABOUT, DIM, embeddings, item, numbered, state, vector, write
from tests.databases import at

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


def test_long_ids_and_texts_are_stored(place):
    identity = "".join(chr(0x4E00 + n) for n in range(3000))
    long = item(1, id=identity, instructions=(" ".join(chr(0x4E00 + n % 20000) * 3 for n in range(100_000)),))
    gallery = opening.opened(write(place, range(2)))
    with gallery.editor() as editor:
        (row,) = editor.add([long], embeddings([5]))
    assert gallery.row_of(identity) == row
    assert gallery.item(row).instructions == long.instructions


def test_words_beside_signs_are_found(place, tmp_path):
    strange = item(1, ingredients=("salt/pepper", "oil-butter"), instructions=("Chop the onions.Add garlic.Stir.",))
    for each in (place, tmp_path / "g"):
        with opening.writer(each, ABOUT, MODALITIES, DIM) as writer:
            writer.write(embeddings([1]), [strange])
            writer.finish()
        gallery = opening.opened(each)
        for word in ("salt", "pepper", "oil", "butter", "onions", "garlic", "Stir"):
            assert [found.row for found in gallery.search_words(word)] == gallery.rows.tolist(), word


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


def test_others_keep_their_rights_through_a_rebuild(place, database):
    write(place, range(2))
    schema = place.partition("schema=")[2]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {schema}_reader LOGIN")
        connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO {schema}_reader")
        connection.execute(f"GRANT SELECT ON {schema}.about, {schema}.items TO {schema}_reader")
    reader = place.replace("postgres:@", f"{schema}_reader:@")
    gallery = opening.opened(reader)
    write(place, range(5))
    assert len(gallery) == len(opening.opened(reader)) == 5
    with gallery.editor() as editor, pytest.raises(UserError, match="permission denied"):
        editor.remove(["id 1"])
    assert gallery.nearest(vector(1), "recipes", 2, class_name=item(1).class_name.lower())[1].shape[0] == 1


def test_a_gallery_without_a_table_is_built_again(place, database):
    write(place, range(2))
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(f"DROP TABLE {place.partition('schema=')[2]}.items")
    assert state(write(place, range(3))) == numbered(0, 1, 2)


@pytest.mark.parametrize(
    "flag", [["--store", "postgresql+psycopg://u:hunter2@h/d"], ["--out", "postgresql://u:hunter2@h/d"]]
)
def test_a_url_in_the_wrong_place_is_not_shown(kitchen, capsys, flag):
    with pytest.raises(SystemExit):
        embed.main(["--workdir", str(kitchen / "run"), *flag])
    assert "hunter2" not in capsys.readouterr().err
