"""The tables of a gallery in PostgreSQL, and items as rows of them.

`about` has one row: the gallery's description, the items taken from its source while it is written, and the values of
each index. `items` has the items, their texts as `tsvector`, the stems of their ingredients and their embeddings.
"""

import dataclasses
import hashlib
import json
import re
import time
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from adamine_jax.gallery.filters import stems_of
from adamine_jax.gallery.items import NOT_READ, Item
from adamine_jax.gallery.postgresql.connections import Address, run
from adamine_jax.recipes.languages import language_of

if TYPE_CHECKING:
    import psycopg

TYPES = {"float32": "vector", "float16": "halfvec"}
"""Type of the embeddings' columns."""
CONFIGURATIONS = {
    "en": "english",
    "de": "german",
    "fr": "french",
    "es": "spanish",
    "it": "italian",
    "nl": "dutch",
    "pt": "portuguese",
    "da": "danish",
    "sv": "swedish",
    "no": "norwegian",
    "fi": "finnish",
    "hu": "hungarian",
    "ro": "romanian",
    "ru": "russian",
    "tr": "turkish",
}
"""Language → PostgreSQL's text search configuration; other languages use "simple"."""
MARK = "gallery of adamine_jax"
"""Comment of a schema that is a gallery."""
_CREATE = """
CREATE SCHEMA "{schema}";
COMMENT ON SCHEMA "{schema}" IS '{mark}';
CREATE TABLE "{schema}".about (about jsonb NOT NULL, taken bigint NOT NULL DEFAULT 0,
    indices jsonb NOT NULL DEFAULT '{{}}');
CREATE TABLE "{schema}".items (row bigint GENERATED ALWAYS AS IDENTITY (START WITH {first}) PRIMARY KEY,
    id text NOT NULL, title text NOT NULL, class text NOT NULL, language text NOT NULL, ingredients text[] NOT NULL,
    instructions text[] NOT NULL, tags text[] NOT NULL, tag_keys text[] NOT NULL, photo bytea,
    names text NOT NULL, lines text NOT NULL, words tsvector NOT NULL{vectors});
CREATE UNIQUE INDEX items_id ON "{schema}".items (md5(id));
"""
# Created after all items of a new gallery are written, which is faster than updating them with every item.
_INDICES = """
CREATE INDEX IF NOT EXISTS items_class ON {items} USING hash (class);
CREATE INDEX IF NOT EXISTS items_language ON {items} USING hash (language);
CREATE INDEX IF NOT EXISTS items_title ON {items} (md5(lower(title)));
CREATE INDEX IF NOT EXISTS items_tags ON {items} USING gin (tag_keys);
CREATE INDEX IF NOT EXISTS items_names ON {items} USING gin (string_to_array(names, ' '));
CREATE INDEX IF NOT EXISTS items_lines ON {items} USING gin (string_to_array(lines, ' '));
CREATE INDEX IF NOT EXISTS items_words ON {items} USING gin (words);
ANALYZE {items};
"""
_WEIGHTED = "setweight(to_tsvector(%s::regconfig, %s), %s)"
_INSERT = (
    "INSERT INTO {items} (id, title, class, language, ingredients, instructions, tags, tag_keys, photo, names, "
    f"lines, words{{columns}}) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, "
    f"{' || '.join([_WEIGHTED] * 3)}{{values}}) RETURNING row"
)
COLUMNS = "id, title, class, ingredients, instructions, photo IS NOT NULL, language, tags"
_MAX_WORD = 200  # PostgreSQL does not index much longer ones
_MAX_TEXT = 50_000  # characters of each part whose words are found: PostgreSQL stores at most 1 MB of words


def create(connection: "psycopg.Connection", address: Address, about: dict[str, Any]) -> None:
    """Creates the schema of an empty gallery. Its row numbers are no earlier gallery's, whose items may be cached."""
    first = time.time_ns() // 1000
    vectors = "".join(f", {side} {TYPES[about['dtype']]}({about['dim']}) NOT NULL" for side in about["sides"])
    with connection.transaction():
        run(connection, _CREATE.format(schema=address.schema, mark=MARK, first=first, vectors=vectors))
        run(connection, f"INSERT INTO {address.about} VALUES (%s)", [json.dumps(about)])


def create_indices(connection: "psycopg.Connection", address: Address) -> None:
    """Creates the indices of filters and words."""
    for statement in _INDICES.format(items=address.items).strip().split("\n"):
        run(connection, statement)


def insert(
    connection: "psycopg.Connection",
    address: Address,
    about: dict[str, Any],
    items: Sequence[Item],
    embeddings: dict[str, np.ndarray],
) -> list[int]:
    """Adds n items with (n, D) embeddings of each modality; returns their rows."""
    sides = about["sides"]
    columns = "".join(f", {side}" for side in sides)
    statement = _INSERT.format(items=address.items, columns=columns, values=", %s" * len(sides))
    values = [
        (*_values(item, about["words"]), *(as_vector(embeddings[side][number], about["dtype"]) for side in sides))
        for number, item in enumerate(items)
    ]
    rows = []
    with connection.cursor() as cursor:
        cursor.executemany(statement.encode(), values, returning=True)
        for result in cursor.results():
            rows += [row for (row,) in result]
    return rows


def as_vector(row: np.ndarray, dtype: str) -> Any:
    """Returns a (D,) embedding as a value of its column."""
    import pgvector

    return pgvector.HalfVector(row) if dtype == "float16" else pgvector.Vector(row)


def with_language(item: Item) -> Item:
    """Returns an item with its language, if that is recognised."""
    return dataclasses.replace(item, language=item.language or language_of(item.ingredients, item.instructions))


def item_of(found: Sequence[Any]) -> Item:
    """Returns the item of a row's `COLUMNS`."""
    identity, title, class_name, ingredients, instructions, has_photo, language, tags = found
    pairs = tuple(zip(tags[::2], tags[1::2], strict=True))
    photo = NOT_READ if has_photo else None
    return Item(identity, title, class_name, tuple(ingredients), tuple(instructions), photo, language, pairs)


def text(given: str) -> str:
    """Returns a text without what PostgreSQL cannot store: lone surrogates and zeros."""
    return given.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def folded(given: str) -> str:
    """Returns the words of a text without diacritics, with spaces between them.

    PostgreSQL would take "salt/pepper" for a path, and "onions.Add" for the name of a computer.
    """
    decomposed = unicodedata.normalize("NFKD", text(given[:_MAX_TEXT]))
    letters = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return " ".join(re.findall(r"[^\W_]+", letters))[:_MAX_TEXT]


def _values(item: Item, configuration: str) -> tuple[Any, ...]:
    photo = item.photo
    assert photo is None or isinstance(photo, bytes), "photos must be the content of files"
    lists = [[text(line) for line in each] for each in (item.ingredients, item.instructions)]
    names, lines = map(bounded, stems_of(lists[0], item.language))
    tags = [text(each) for pair in item.tags for each in pair]
    keys = sorted({tag_key(name, value) for name, value in item.tags})
    weighted = zip(map(folded, (item.title, "\n".join(lists[0]), "\n".join(lists[1]))), "ABC", strict=True)
    words = [each for part, weight in weighted for each in (configuration, part, weight)]
    head = [text(each) for each in (item.id, item.title, item.class_name, item.language)]
    return (*head, *lists, tags, keys, photo, names, lines, *words)


def bounded(stems: str) -> str:
    """Returns stems without the end of words that PostgreSQL would not index."""
    return " ".join(word[:_MAX_WORD] for word in stems.split(" "))


def tag_key(name: str, value: str) -> str:
    """Returns what the column `tag_keys` has of a tag."""
    key = text(f"{name}={value}").lower()
    return key if len(key) <= _MAX_WORD else hashlib.sha256(key.encode()).hexdigest()
