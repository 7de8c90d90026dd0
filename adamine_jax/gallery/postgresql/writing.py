"""Writes a gallery to PostgreSQL in blocks. It can be resumed, and appears only when it is complete.

It grows in the schema `<name>_unfinished`, which then takes the place of the older one.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from adamine_jax.base.errors import UserError
from adamine_jax.gallery.items import KINDS, Item
from adamine_jax.gallery.postgresql import connections, schema
from adamine_jax.gallery.postgresql.connections import Address, run
from adamine_jax.gallery.postgresql.editing import PostgresEditor

_HAS_ABOUT = "SELECT to_regclass(%s) IS NOT NULL"


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
        self._unfinished = address._replace(schema=f"{address.schema}_unfinished")
        self._connection = connections.connect(address)
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
        return run(self._connection, f"SELECT count(*) FROM {self._unfinished.schema}.items")[0][0]

    def write(self, embeddings: dict[str, np.ndarray], items: Sequence[Item | None]) -> None:
        """Appends a block of n items; see `folder.writer.GalleryWriter.write`."""
        kept = [number for number, item in enumerate(items) if item is not None]
        chosen = [schema.with_language(item) for item in items if item is not None]
        if self._editor is None:
            # The language of the first items decides how words are stemmed.
            (language, _), *_ = Counter(item.language for item in chosen).most_common(1) or [("", 0)]
            about = self._about | {"words": schema.CONFIGURATIONS.get(language, "simple")}
            with connections.errors(self._address):
                schema.create(self._connection, self._unfinished.schema, about)
            self._editor = PostgresEditor(self._unfinished)
        rows = {modality: embeddings[modality][kept] for modality in self._modalities}
        self._editor.add(chosen, rows, taken=self.taken + len(items))
        self.taken += len(items)

    def finish(self) -> int:
        """Completes the gallery, which takes the place of the older one, and returns its number of items."""
        if not (items := len(self)):
            raise UserError(f"{self._address.name}: nothing could be embedded, so no gallery is written")
        with connections.errors(self._address):
            schema.create_indices(self._connection, self._unfinished.schema)
            with self._connection.transaction():
                run(self._connection, f"DROP SCHEMA IF EXISTS {self._address.schema} CASCADE")
                run(self._connection, f"ALTER SCHEMA {self._unfinished.schema} RENAME TO {self._address.schema}")
        return items

    def __exit__(self, *_) -> None:
        if self._editor is not None:
            self._editor.__exit__()
        self._connection.close()

    def _resumed(self) -> int:
        """Returns the number of items taken by an interrupted writer of the same gallery; removes any other one."""
        lock = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
        if not run(self._connection, lock, [f"adamine {self._address.schema}"])[0][0]:
            raise UserError(
                f"{self._address.name}: another process is writing this gallery; wait for it or use another schema"
            )
        name = self._unfinished.schema
        if run(self._connection, _HAS_ABOUT, [f"{name}.about"])[0][0]:
            ((about, taken),) = run(self._connection, f"SELECT about, taken FROM {name}.about")
            if {key: value for key, value in about.items() if key != "words"} == self._about:
                self._editor = PostgresEditor(self._unfinished)
                return taken
        run(self._connection, f"DROP SCHEMA IF EXISTS {name} CASCADE")
        return 0


def check_replaceable(address: Address, modalities: Sequence[str]) -> None:
    """Raises a `UserError` if the schema contains anything but a gallery of the same modalities."""
    with connections.errors(address), connections.connect(address) as connection:
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = %s AND tablename NOT IN ('about', 'items')"
        if run(connection, tables, [address.schema])[0][0]:
            raise UserError(f"--store {address.name}: the schema is not a gallery; choose another one")
        if not run(connection, _HAS_ABOUT, [f"{address.schema}.about"])[0][0]:
            return
        ((sides,),) = run(connection, f"SELECT about -> 'sides' FROM {address.schema}.about")
        if tuple(sides) != tuple(modalities):
            raise UserError(
                f"--store {address.name}: contains a gallery of {KINDS[tuple(sides)]}, not of "
                f"{KINDS[tuple(modalities)]}; choose another schema"
            )
