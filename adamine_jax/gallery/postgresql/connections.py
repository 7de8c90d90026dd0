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
POOL = 16
"""Maximum number of connections of a process."""
_MIN_VECTOR = (0, 8)  # the first with iterative scans, which filters need
_SECONDS = 10


class Address(NamedTuple):
    """Where a gallery is.

    Attributes:
        url: URL of the database.
        schema: Name of the gallery's schema.
        name: URL in messages, without user and password.
    """

    url: str
    schema: str
    name: str


def address_of(url: str) -> Address:
    """Returns the address that `postgresql://USER:PASSWORD@HOST/DATABASE?schema=NAME` gives.

    Raises:
        ModuleNotFoundError: A package is missing.
        UserError: The URL is malformed.
    """
    require("psycopg", "psycopg_pool", "pgvector")
    import psycopg
    import psycopg.conninfo

    parts = urllib.parse.urlsplit(url)
    query = urllib.parse.parse_qsl(parts.query, keep_blank_values=True)
    schema = dict(query).get("schema", SCHEMA)
    host = parts.netloc.rpartition("@")[2]
    name = f"postgresql://{host}{parts.path}?schema={schema}"
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,40}", schema):
        raise UserError(f"{name}: a schema has lower-case letters, digits and underscores, and no digit at the start")
    rest = urllib.parse.urlencode([(key, value) for key, value in query if key != "schema"])
    whole = urllib.parse.urlunsplit(parts._replace(query=rest))
    try:
        psycopg.conninfo.conninfo_to_dict(whole)
    except psycopg.Error as error:
        raise UserError(f"{name}: not a PostgreSQL URL ({_reason(error)})") from None
    return Address(whole, schema, name)


def connect(address: Address) -> "psycopg.Connection":
    """Opens a connection, in which every statement is a transaction, and creates pgvector's types if they are missing.

    Raises:
        UserError: The server cannot be reached, or has no pgvector.
    """
    import psycopg

    with errors(address):
        connection = psycopg.connect(address.url, autocommit=True, connect_timeout=_SECONDS, prepare_threshold=None)
        try:
            found = run(connection, "SELECT extversion FROM pg_extension WHERE extname = 'vector'")
            if not found:
                try:
                    connection.execute("CREATE EXTENSION vector")
                except psycopg.Error as error:
                    raise UserError(
                        f"{address.name}: the database has no pgvector ({_reason(error)}); install it and run "
                        "CREATE EXTENSION vector as a superuser"
                    ) from None
            elif tuple(map(int, found[0][0].split(".")[:2])) < _MIN_VECTOR:
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


@contextlib.contextmanager
def errors(address: Address) -> Generator[None]:
    """Turns the errors of a database into a `UserError`.

    Raises:
        BusyGallery: The server cannot be reached.
        DiskFull: The server's disk is full.
        UserError: Any other error.
    """
    import psycopg
    import psycopg_pool

    try:
        yield
    except psycopg.errors.DiskFull:
        raise DiskFull(OSError(None, None, address.name)) from None
    except psycopg.errors.UndefinedTable:
        raise UserError(
            f"{address.name}: contains no gallery; build it with `python -m adamine_jax.embed … --store URL`"
        ) from None
    except (psycopg.OperationalError, psycopg_pool.PoolClosed) as error:
        raise BusyGallery(f"{address.name}: cannot be reached ({_reason(error)})") from None
    except psycopg.Error as error:
        raise UserError(f"{address.name}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """Returns the first line of an error; further ones repeat it for each address that was tried."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
