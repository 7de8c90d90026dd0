"""Writes a gallery to PostgreSQL in blocks. It can be resumed, and appears only when it is complete.

It grows in the schema `<name>_unfinished`, which then takes the place of the older one.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery import store
from adamine_jax.gallery.items import KINDS, Item
from adamine_jax.gallery.postgresql import connections, index, schema
from adamine_jax.gallery.postgresql.connections import Address, run
from adamine_jax.gallery.postgresql.editing import PostgresEditor

if TYPE_CHECKING:
    import psycopg


class PostgresWriter(contextlib.AbstractContextManager):
    """Writes a gallery; see `folder.writer.GalleryWriter`, whose arguments and attributes it has.

    Raises:
        UserError: Another process is writing the gallery, or the database cannot be reached.
    """

    def __init__(
        self, address: Address, about: dict[str, Any], modalities: Sequence[str], dim: int, dtype: str = "float32"
    ):
        self._address, self._modalities = address, tuple(modalities)
        about = {"model": about["model"], "step": about.get("step"), "source": about["source"]}
        self._about = json.loads(json.dumps(about | {"dim": dim, "sides": self._modalities, "dtype": dtype}))
        self._unfinished = address._replace(schema=f"{address.schema}{connections.UNFINISHED}")
        # The lock belongs to this connection, which makes all changes.
        self._connection = connections.connect(address, creates=True)
        self._editor: PostgresEditor | None = None
        try:
            with connections.errors(address):
                self.taken = self._resumed()
        except BaseException:
            self._connection.close()
            raise
        if self.taken:
            print(f"{address.name}: resuming after {self.taken:,} items", flush=True)

    def __len__(self) -> int:
        if self._editor is None:
            return 0
        with connections.errors(self._address):
            return run(self._connection, f"SELECT count(*) FROM {self._unfinished.items}")[0][0]

    def write(self, embeddings: dict[str, np.ndarray], items: Sequence[Item | None]) -> None:
        """Appends a block of n items; see `folder.writer.GalleryWriter.write`."""
        kept = [number for number, item in enumerate(items) if item is not None]
        chosen = [schema.with_language(item) for item in items if item is not None]
        taken = self.taken + len(items)
        if chosen and self._editor is None:
            # The language of the first items decides how words are stemmed.
            ((language, _),) = Counter(item.language for item in chosen).most_common(1)
            about = self._about | {"words": schema.CONFIGURATIONS.get(language, "simple")}
            with connections.errors(self._address):
                schema.create(self._connection, self._unfinished, about)
            self._editor = PostgresEditor(self._unfinished, connection=self._connection)
        if self._editor is not None:
            self._editor.add(chosen, {side: embeddings[side][kept] for side in self._modalities}, taken=taken)
        self.taken = taken

    def finish(self) -> int:
        """Completes the gallery, which takes the place of the older one, and returns its number of items.

        It gets the indices that the older one has.
        """
        if not (items := len(self)):
            raise UserError(f"{self._address.name}: nothing could be embedded, so no gallery is written")
        connection, old = self._connection, self._address
        with connections.errors(old):
            schema.create_indices(connection, self._unfinished)
            if items >= store.SMALLEST and _is_gallery(connection, old):
                for modality in index.built(connection, old):
                    index.build(self._unfinished, self._about, modality)
            with connection.transaction():
                connections.lock(connection, old)  # of editors, which then see the new gallery
                grants = _grants(connection, old)
                _drop(connection, old)
                run(connection, f'ALTER SCHEMA "{self._unfinished.schema}" RENAME TO "{old.schema}"')
                for grant in grants:
                    run(connection, grant)
        return items

    def __exit__(self, *_) -> None:
        self._connection.close()

    def _resumed(self) -> int:
        """Returns the number of items taken by an interrupted writer of the same gallery; removes any other one."""
        lock = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
        if not run(self._connection, lock, [f"adamine {self._address.schema}"])[0][0]:
            raise UserError(
                f"{self._address.name}: another process is writing this gallery; wait for it or use another schema"
            )
        if _is_gallery(self._connection, self._unfinished):
            ((about, taken),) = run(self._connection, f"SELECT about, taken FROM {self._unfinished.about}")
            if {key: value for key, value in about.items() if key != "words"} == self._about:
                self._editor = PostgresEditor(self._unfinished, connection=self._connection)
                return taken
        _drop(self._connection, self._unfinished)
        return 0


def check_replaceable(address: Address, modalities: Sequence[str]) -> None:
    """Raises a `UserError` if the schema contains anything but a gallery of the same modalities."""
    with connections.errors(address), connections.connect(address, creates=True) as connection:
        if _is_gallery(connection, address):
            ((sides,),) = run(connection, f"SELECT about -> 'sides' FROM {address.about}")
            if tuple(sides) != tuple(modalities):
                raise UserError(
                    f"--store {address.name}: contains a gallery of {KINDS[tuple(sides)]}, not of "
                    f"{KINDS[tuple(modalities)]}; choose another schema"
                )
        elif run(connection, "SELECT 1 FROM pg_namespace WHERE nspname = %s", [address.schema]):
            raise UserError(f"--store {address.name}: the schema exists and is not a gallery; choose another one")


def _is_gallery(connection: "psycopg.Connection", address: Address) -> bool:
    """Whether the schema was created for a gallery."""
    comment = "SELECT 1 FROM pg_namespace WHERE nspname = %s AND obj_description(oid, 'pg_namespace') = %s"
    return bool(run(connection, comment, [address.schema, schema.MARK]))


def _drop(connection: "psycopg.Connection", address: Address) -> None:
    """Drops a gallery, if there is one. Anything else in its schema is an error, and kept."""
    if _is_gallery(connection, address):
        with connection.transaction():
            # Locks the tables in the same order as searches do, to avoid deadlocks.
            for table in (address.about, address.items):
                if run(connection, "SELECT to_regclass(%s) IS NOT NULL", [table])[0][0]:
                    run(connection, f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            run(connection, f"DROP TABLE IF EXISTS {address.about}, {address.items}")
            run(connection, f'DROP SCHEMA "{address.schema}"')


def _grants(connection: "psycopg.Connection", address: Address) -> list[str]:
    """Returns the statements that give others the rights that they have on the schema and its tables."""
    to = "CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END"
    schemas = (
        f"SELECT format('GRANT %%s ON SCHEMA %%I TO %%s', privilege_type, nspname, {to}) "
        "FROM pg_namespace, aclexplode(nspacl) WHERE nspname = %s AND grantee <> nspowner"
    )
    tables = (
        f"SELECT format('GRANT %%s ON %%I.%%I TO %%s', privilege_type, nspname, relname, {to}) "
        "FROM pg_class JOIN pg_namespace ON relnamespace = pg_namespace.oid, aclexplode(relacl) "
        "WHERE nspname = %s AND relkind = 'r' AND grantee <> relowner"
    )
    return [grant for query in (schemas, tables) for (grant,) in run(connection, query, [address.schema])]
