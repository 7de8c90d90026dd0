"""Changes a gallery in PostgreSQL: adds, replaces and removes items."""

import contextlib
from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.items import Item, TakenId, check_unchanged
from adamine_jax.gallery.postgresql import connections, schema
from adamine_jax.gallery.postgresql.connections import Address, run

if TYPE_CHECKING:
    import psycopg


class PostgresEditor(contextlib.AbstractContextManager):
    """Changes a gallery. Used as a context manager, it closes its connection at the end.

    Args:
        address: Where the gallery is.
        about: Description of the gallery when it was opened; None = as it is now.
        connection: Connection to use; None opens one.

    Raises:
        UserError: The database cannot be reached or contains no such gallery.
    """

    def __init__(
        self,
        address: Address,
        about: dict[str, Any] | None = None,
        connection: "psycopg.Connection | None" = None,
    ):
        self._address = address
        self.connection = connection or connections.connect(address)
        try:
            with connections.errors(address):
                self.about = about or self._read_about()
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
        """Adds items; see `store.Editor.add`. `taken`, the number taken from a source, is stored with them."""
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
        """A transaction that begins after those of other editors, if the gallery is of the same model still."""
        with self.connection.transaction():
            connections.lock(self.connection, self._address)
            now = self._read_about()
            check_unchanged(self._address.name, self.about, now)
            self.about = now  # the type of the embeddings may be another one
            yield

    def _read_about(self) -> dict[str, Any]:
        return run(self.connection, f"SELECT about FROM {self._address.about}")[0][0]

    def _delete(self, ids: Iterable[str]) -> int:
        query = f"DELETE FROM {self._address.items} WHERE md5(id) = ANY(SELECT md5(unnest(%s::text[]))) RETURNING row"
        return len(run(self.connection, query, [[schema.text(each) for each in ids]]))
