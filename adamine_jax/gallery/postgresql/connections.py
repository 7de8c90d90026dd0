"""Connections to a PostgreSQL database that contains galleries, each in a schema of its own."""

import contextlib
import re
import urllib.parse
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from adamine_jax.base.errors import DiskFull, UserError
from adamine_jax.base.extras import require
from adamine_jax.gallery.items import BusyGallery

if TYPE_CHECKING:
    import psycopg
    import psycopg_pool

SCHEMA = "adamine"
"""Schema of a gallery whose URL names none."""
UNFINISHED = "_unfinished"
"""End of the name of the schema in which a gallery is written."""
POOL = 16
"""Maximum number of connections of a process."""
_MIN_VECTOR = (0, 8)  # the first with iterative scans, which filters need
_SECONDS = 10
_TEMPORARY = ("08", "40", "53", "55", "57")  # no connection, deadlock, too many connections, locked, shut down


class Address(NamedTuple):
    """Where a gallery is.

    Attributes:
        url: URL of the database.
        schema: Name of the gallery's schema.
        name: Address in messages, without user and password.
    """

    url: str
    schema: str
    name: str

    @property
    def items(self) -> str:
        """The table of the items in SQL."""
        return f'"{self.schema}".items'

    @property
    def about(self) -> str:
        """The table of the description in SQL."""
        return f'"{self.schema}".about'


def address_of(url: str) -> Address:
    """Returns the address that `postgresql://USER:PASSWORD@HOST/DATABASE?schema=NAME` gives.

    Raises:
        ModuleNotFoundError: A package is missing.
        UserError: The URL is malformed.
    """
    require("psycopg", "psycopg_pool", "pgvector")
    import psycopg
    import psycopg.conninfo

    start, _, query = url.partition("?")
    options = query.split("&") if query else []
    named = [urllib.parse.unquote(option.removeprefix("schema=")) for option in options if option.startswith("schema=")]
    rest = "&".join(option for option in options if not option.startswith("schema="))
    whole = f"{start}?{rest}" if rest else start
    try:
        parts = psycopg.conninfo.conninfo_to_dict(whole)
    except psycopg.Error:  # whose text may contain the password
        parts = {}
    if not parts or "@" in str(parts.get("dbname", "")):
        raise UserError(
            "--store: not a PostgreSQL URL; expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE?schema=NAME, in "
            "which the signs / ? # @ % of a password are written %2F %3F %23 %40 %25"
        )
    schema = named[-1] if named else SCHEMA
    port = f":{parts['port']}" if "port" in parts else ""
    name = f"postgresql://{parts.get('host', '')}{port}/{parts.get('dbname', '')}?schema={schema}"
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,40}", schema):
        raise UserError(
            f"{name}: a schema has at most 41 lower-case letters, digits and underscores, and does not start with a "
            "digit"
        )
    if schema in ("public", "information_schema") or schema.startswith("pg_") or schema.endswith(UNFINISHED):
        raise UserError(f"{name}: a gallery needs a schema of its own; choose another name")
    return Address(whole, schema, name)


def connect(address: Address, *, creates: bool = False) -> "psycopg.Connection":
    """Opens a connection, in which every statement is a transaction.

    Args:
        address: Where the gallery is.
        creates: Whether to create pgvector's types if they are missing.

    Raises:
        UserError: The server cannot be reached, or has no pgvector.
    """
    import psycopg

    with errors(address):
        connection = psycopg.connect(address.url, autocommit=True, connect_timeout=_SECONDS, prepare_threshold=None)
        try:
            query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
            if not (found := run(connection, query)) and creates:
                with contextlib.suppress(psycopg.Error):
                    run(connection, "CREATE EXTENSION IF NOT EXISTS vector")
                found = run(connection, query)
            if not found:
                raise UserError(
                    f"{address.name}: the database has no pgvector; install it and run CREATE EXTENSION vector as a "
                    "superuser"
                )
            if tuple(map(int, found[0][0].split(".")[:2])) < _MIN_VECTOR:
                raise UserError(f"{address.name}: pgvector {found[0][0]} is too old; 0.8 or newer is needed")
            configure(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def configure(connection: "psycopg.Connection") -> None:
    """Lets a connection send and receive vectors."""
    from pgvector.psycopg import register_vector

    register_vector(connection)


def pool(address: Address) -> "psycopg_pool.ConnectionPool":
    """Opens a pool of connections, which replaces those that the server has closed."""
    from psycopg_pool import ConnectionPool

    connect(address).close()  # reports what is wrong in one line
    return ConnectionPool(
        address.url,
        kwargs={"autocommit": True, "connect_timeout": _SECONDS, "prepare_threshold": None},
        min_size=1,
        max_size=POOL,
        timeout=_SECONDS,
        configure=configure,
        check=ConnectionPool.check_connection,
        open=True,
    )


def run(connection: "psycopg.Connection", query: str, arguments: Sequence[Any] = ()) -> list[tuple]:
    """Runs a statement and returns its rows.

    Args:
        connection: Connection to the database.
        query: SQL, whose only variable parts are checked names of schemas and modalities; several statements without
            arguments are one transaction.
        arguments: Values of its `%s`.
    """
    is_read = query.startswith("SELECT")
    cursor = connection.execute(query.encode(), arguments or None, binary=is_read)
    return cursor.fetchall() if cursor.description else []


def lock(connection: "psycopg.Connection", address: Address) -> None:
    """Waits for the changes of others, which then wait until the transaction ends."""
    run(connection, "SELECT pg_advisory_xact_lock(hashtextextended(%s, 1))", [f"adamine {address.schema}"])


@contextlib.contextmanager
def errors(address: Address) -> Generator[None]:
    """Turns the errors of a database into a `UserError`.

    Raises:
        BusyGallery: The server cannot be reached, or the error is temporary, such as a deadlock.
        DiskFull: The server's disk is full.
        UserError: Any other error.
    """
    import psycopg

    try:
        yield
    except psycopg.errors.DiskFull:
        raise DiskFull(OSError(None, None, address.name)) from None
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        raise UserError(
            f"{address.name}: contains no gallery; build it with `python -m adamine_jax.embed … --store URL`"
        ) from None
    except psycopg.Error as error:
        if isinstance(error, psycopg.OperationalError) and (error.sqlstate or "08")[:2] in _TEMPORARY:
            raise BusyGallery(f"{address.name}: cannot be reached ({_reason(error)})") from None
        raise UserError(f"{address.name}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Returns the first line of an error; further ones repeat it for each address that was tried."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
