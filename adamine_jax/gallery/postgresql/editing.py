"""Changes a gallery in PostgreSQL: adds, replaces and removes items."""

import contextlib
from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.items import Item, TakenId
from adamine_jax.gallery.postgresql import connections, schema
from adamine_jax.gallery.postgresql.connections import Address, run

if TYPE_CHECKING:
    import psycopg


class PostgresEditor(contextlib.AbstractContextManager):
    """Changes a gallery. Used as a context manager, it closes its connection at the end.

    Args:
        address: Where the gallery is.
        connection: Connection to use; None opens one.

    Raises:
        UserError: The database cannot be reached or contains no such gallery.
    """

    def __init__(self, address: Address, connection: "psycopg.Connection | None" = None):
        self._address = address
        self.connection = connection or connections.connect(address)
        try:
            with connections.errors(address):
                self.about = run(self.connection, f"SELECT about FROM {address.about}")[0][0]
        except BaseException:
            self.connection.close()
            raise

    def __exit__(self, *_) -> None:
        self.connection.close()

    def add(
        self,
        items: Sequence[Item],
        embeddings: dict[str, np.ndarray],
        *,
        replace: bool = False,
        taken: int | None = None,
    ) -> list[int]:
        """Adds n items in one transaction; see `store.Editor.add`.

        Args:
            items: Items, with photos as the content of JPEG files.
            embeddings: Modality → (n, D) float32 unit rows, of every modality of the gallery.
            replace: Whether an item replaces the one that has its id.
            taken: Number of items taken from a source, to be stored in the same transaction.
        """
        import psycopg

        items = [schema.with_language(item) for item in items]
        with connections.errors(self._address):
            try:
                with self._change():
                    if replace:
                        self._delete(item.id for item in items)
                    rows = schema.insert(self.connection, self._address, self.about, items, embeddings)
                    if taken is not None:
                        run(self.connection, f"UPDATE {self._address.about} SET taken = %s", [taken])
            except psycopg.errors.UniqueViolation:
                remedy = "update the item, or give another id"
                raise TakenId(f"{self._address.name}: the id of an item is taken; {remedy}") from None
        return rows

    def remove(self, ids: Iterable[str]) -> int:
        """Removes the items with these ids in one transaction; returns their number. Unknown ids are ignored."""
        with connections.errors(self._address), self._change():
            return self._delete(ids)

    def has(self, identity: str) -> bool:
        """Whether an item has this id."""
        with connections.errors(self._address):
            query = f"SELECT 1 FROM {self._address.items} WHERE md5(id) = md5(%s)"
            return bool(run(self.connection, query, [schema.text(identity)]))

    def compact(self) -> int:
        """Frees the space of removed items; returns their number, as the server estimates it."""
        warnings: list[str] = []

        def warned(notice: "psycopg.errors.Diagnostic") -> None:
            if notice.severity_nonlocalized == "WARNING":
                warnings.append(notice.message_primary or "")

        self.connection.add_notice_handler(warned)
        try:
            with connections.errors(self._address):
                query = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relid = %s::regclass"
                ((count,),) = run(self.connection, query, [self._address.items])
                run(self.connection, f"VACUUM (ANALYZE) {self._address.items}")
        finally:
            self.connection.remove_notice_handler(warned)
        if warnings:
            raise UserError(f"{self._address.name}: {warnings[0]}")
        return count

    @contextlib.contextmanager
    def _change(self) -> Generator[None]:
        """A transaction that begins when those of other editors have ended."""
        with self.connection.transaction():
            lock = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))"
            run(self.connection, lock, [f"adamine {self._address.schema}"])
            yield

    def _delete(self, ids: Iterable[str]) -> int:
        query = f"DELETE FROM {self._address.items} WHERE md5(id) = ANY(SELECT md5(unnest(%s::text[]))) RETURNING row"
        return len(run(self.connection, query, [[schema.text(each) for each in ids]]))
