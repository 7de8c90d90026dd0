"""The SQLite file of a gallery: its items and their words, its rows, and where their embeddings are.

An item keeps its row number until it is changed; a changed item gets a new one. Every change is one transaction.
"""

import contextlib
import json
import os
import sqlite3
import urllib.parse
from collections import Counter
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

import numpy as np

from adamine_jax.base.errors import DiskFull, UserError
from adamine_jax.base.files import check_regular
from adamine_jax.gallery.filters import stems_of
from adamine_jax.gallery.folder.files import reading
from adamine_jax.gallery.items import BusyGallery, Item, MissingItem

NAME = "gallery.sqlite"
_WAIT_SECONDS = 30
_BLOCK = 1000
_SCHEMA = """
PRAGMA auto_vacuum = INCREMENTAL;
CREATE TABLE items (row INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, title TEXT NOT NULL, class TEXT NOT NULL,
    language TEXT NOT NULL, ingredients TEXT NOT NULL, instructions TEXT NOT NULL, photo TEXT);
CREATE INDEX items_title ON items(title COLLATE NOCASE);
CREATE INDEX items_class ON items(class);
CREATE INDEX items_language ON items(language);
CREATE INDEX items_bare ON items(row) WHERE ingredients = '[]';
CREATE TABLE tags (name TEXT, value TEXT, row INTEGER, PRIMARY KEY (name, value, row)) WITHOUT ROWID;
CREATE INDEX tags_row ON tags(row);
CREATE TABLE removed (row INTEGER PRIMARY KEY);
CREATE TABLE segments (start INTEGER PRIMARY KEY, name TEXT NOT NULL, count INTEGER NOT NULL, rows BLOB);
CREATE TABLE pending (row INTEGER PRIMARY KEY, image BLOB, recipe BLOB);
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO counters VALUES ('next_row', 0), ('taken', 0), ('generation', 0);
"""
# `words` ranks by BM25 and takes its texts from `items`. `stems` has the stems of the words of each ingredient's name
# and line; rows that were removed stay in it until it is made again.
_WORDS = """
CREATE VIRTUAL TABLE words USING fts5(
    title, ingredients, instructions, content='items', content_rowid='row', tokenize='{tokenizer}');
CREATE TRIGGER words_insert AFTER INSERT ON items BEGIN
    INSERT INTO words(rowid, title, ingredients, instructions)
    VALUES (new.row, new.title, new.ingredients, new.instructions);
END;
CREATE TRIGGER words_delete AFTER DELETE ON items BEGIN
    INSERT INTO words(words, rowid, title, ingredients, instructions)
    VALUES ('delete', old.row, old.title, old.ingredients, old.instructions);
END;
INSERT INTO words(words, rank) VALUES ('rank', 'bm25(10.0, 3.0, 1.0)');
INSERT INTO words(words) VALUES ('rebuild');
CREATE VIRTUAL TABLE stems USING fts5(names, lines, content='', tokenize='unicode61');
"""
_COLUMNS = "row, id, title, class, language, ingredients, instructions, photo"


def create(path: Path) -> None:
    """Creates the file of an empty gallery."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(_SCHEMA)


def connect(path: Path) -> sqlite3.Connection:
    """Opens the file, without locks if its folder is not writable.

    Raises:
        UserError: The file is missing or not a database, or SQLite has no full-text search.
    """
    with reading(path):
        check_regular(path)
        # A killed writer's journal is rolled back by the next reader, which must be able to write.
        can_write = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
        name = urllib.parse.quote(str(path.absolute()))
        connection = sqlite3.connect(
            f"file:{name}?mode={'rw' if can_write else 'ro&immutable=1'}",
            timeout=_WAIT_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            uri=True,
        )
        try:
            connection.execute("SELECT count(*) FROM counters")
            if not connection.execute("SELECT sqlite_compileoption_used('ENABLE_FTS5')").fetchone()[0]:
                raise UserError("this SQLite has no full-text search; with TensorFlow, import adamine_jax before it")
        except BaseException:
            connection.close()
            raise
        return connection


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection, path: Path) -> Generator[None]:
    """Commits the changes of the block, or none of them if it raises.

    Raises:
        BusyGallery: Another process does not end its change.
        DiskFull: The disk is full.
        UserError: The folder cannot be written.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("COMMIT")
    except BaseException as error:
        with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back already after some errors
            connection.execute("ROLLBACK")
        if not isinstance(error, sqlite3.OperationalError):
            raise
        code = error.sqlite_errorcode & 0xFF  # without the extension
        if code == sqlite3.SQLITE_FULL:
            raise DiskFull(OSError(None, None, str(path))) from None
        if code == sqlite3.SQLITE_BUSY:
            raise BusyGallery(f"{path.parent}: another process is changing the gallery; try again later") from None
        if code == sqlite3.SQLITE_READONLY:
            raise UserError(f"{path.parent}: cannot be written; change its permissions") from None
        raise


def insert(connection: sqlite3.Connection, row: int, item: Item, photo: str | None) -> None:
    """Adds an item; raises `sqlite3.IntegrityError` if its id is taken."""
    texts = [text(each) for each in (item.id, item.title, item.class_name, item.language)]
    lists = [text(json.dumps(lines, ensure_ascii=False)) for lines in (item.ingredients, item.instructions)]
    connection.execute(f"INSERT INTO items({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (row, *texts, *lists, photo))
    tags = [(text(name), text(value), row) for name, value in item.tags]
    connection.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?, ?)", tags)
    if has_words(connection):
        _insert_stems(connection, row, item.ingredients, item.language)


def delete(connection: sqlite3.Connection, row: int) -> None:
    """Deletes the item of a row, whose embeddings are no longer found."""
    connection.execute("DELETE FROM items WHERE row = ?", (row,))
    connection.execute("DELETE FROM tags WHERE row = ?", (row,))
    connection.execute("INSERT INTO removed VALUES (?)", (row,))


def item_of(connection: sqlite3.Connection, row: int, folder: Path) -> Item:
    """Returns the item of a row.

    Raises:
        MissingItem: No item has this row.
        UserError: Its fields are damaged.
    """
    with reading(f"{folder / NAME}, row {row}"):
        found = connection.execute(f"SELECT {_COLUMNS} FROM items WHERE row = ?", (row,)).fetchone()
        if found is None:
            raise MissingItem(f"{folder}: no item has row {row}")
        _, identity, title, class_name, language, ingredients, instructions, photo = found
        lists = json.loads(ingredients), json.loads(instructions)
        if not all(isinstance(lines, list) and all(isinstance(line, str) for line in lines) for lines in lists):
            raise ValueError("ingredients and instructions must be lists of texts")
        if not all(isinstance(text, str) for text in (identity, title, class_name, photo or "")) or "\0" in (
            photo or ""
        ):
            raise ValueError("id, title, class and photo must be texts")
        tags = connection.execute("SELECT name, value FROM tags WHERE row = ?", (row,)).fetchall()
        path = folder / photo if photo else None
        return Item(identity, title, class_name, tuple(lists[0]), tuple(lists[1]), path, language, tuple(tags))


def create_words(connection: sqlite3.Connection) -> None:
    """Creates the tables of words, which later changes keep up to date; English words are found by their stems."""
    languages = Counter(dict(connection.execute("SELECT language, count(*) FROM items GROUP BY language")))
    is_english = languages["en"] >= 0.5 * languages.total()
    tokenizer = "porter unicode61" if is_english else "unicode61 remove_diacritics 2"
    for statement in _statements(_WORDS.format(tokenizer=tokenizer)):
        connection.execute(statement)
    rebuild_stems(connection)


def rebuild_stems(connection: sqlite3.Connection) -> None:
    """Makes `stems` again, without the rows that were removed."""
    connection.execute("INSERT INTO stems(stems) VALUES ('delete-all')")
    items = connection.execute("SELECT row, ingredients, language FROM items ORDER BY row")
    while block := items.fetchmany(_BLOCK):
        for row, ingredients, language in block:
            _insert_stems(connection, row, json.loads(ingredients), language)


def has_words(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'stems'").fetchone() is not None


def rows(connection: sqlite3.Connection, query: str, arguments: Iterable = ()) -> np.ndarray:
    """Returns the (n,) int64 row numbers that a query selects as `row`, in ascending order.

    They are read as one text: sqlite3 releases the interpreter lock for each row that it reads, and a server's other
    threads would take it each time.
    """
    cleaned = [text(each) if isinstance(each, str) else each for each in arguments]
    joined = connection.execute(f"SELECT group_concat(row) FROM ({query})", cleaned).fetchone()[0]
    return np.sort(np.fromstring(joined, np.int64, sep=",")) if joined else np.zeros(0, np.int64)


def _insert_stems(connection: sqlite3.Connection, row: int, lines: Sequence[str], language: str) -> None:
    found = stems_of(lines, language)
    connection.execute("INSERT INTO stems(rowid, names, lines) VALUES (?, ?, ?)", (row, *found))


def text(given: str) -> str:
    """Returns a text without lone surrogates, which SQLite cannot store."""
    return given.encode("utf-8", "replace").decode()


def _statements(script: str) -> list[str]:
    """Splits a script, because `executescript` would commit the transaction."""
    found, statement = [], ""
    for line in script.strip().split("\n"):
        statement += f"{line}\n"
        if sqlite3.complete_statement(statement):
            found.append(statement)
            statement = ""
    return found
