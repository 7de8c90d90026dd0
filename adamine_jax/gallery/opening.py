"""Opens galleries wherever they are: folders, and schemas of a PostgreSQL database."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from adamine_jax.base import storage
from adamine_jax.gallery.store import Store

POSTGRESQL = ("postgresql://", "postgres://")


def open_gallery(place: str | Path, digest: str) -> Store:
    """Opens a gallery to search it with a model.

    Args:
        place: Folder written by `python -m adamine_jax.embed`, or `postgresql://` URL.
        digest: Digest of the model that embeds the queries.

    Raises:
        UserError: The gallery cannot be read, or another model built it.
    """
    gallery = opened(place)
    gallery.check_model(digest)
    return gallery


def opened(place: str | Path, *, shared: bool = False) -> Store:
    """Opens a gallery.

    Args:
        place: Its folder or `postgresql://` URL.
        shared: Whether several processes search it.
    """
    if is_database(place):
        from adamine_jax.gallery.postgresql.connections import address_of
        from adamine_jax.gallery.postgresql.store import PostgresStore

        return PostgresStore(address_of(str(place)))
    from adamine_jax.gallery.folder.store import Gallery

    return Gallery(storage.local(place), shared=shared)


def writer(place: str | Path, about: dict[str, Any], modalities: Sequence[str], dim: int, dtype: str = "float32"):
    """Returns a writer of a gallery; see `folder.writer.GalleryWriter`."""
    if is_database(place):
        from adamine_jax.gallery.postgresql.connections import address_of
        from adamine_jax.gallery.postgresql.writing import PostgresWriter

        return PostgresWriter(address_of(str(place)), about, modalities, dim, dtype)
    from adamine_jax.gallery.folder.writer import GalleryWriter

    return GalleryWriter(Path(place), about, modalities, dim, dtype)


def check_replaceable(place: str | Path, modalities: Sequence[str]) -> None:
    """Raises a `UserError` if there is anything but a gallery of the same modalities."""
    if is_database(place):
        from adamine_jax.gallery.postgresql import connections, writing

        writing.check_replaceable(connections.address_of(str(place)), modalities)
    else:
        from adamine_jax.gallery.folder import writer as folders

        folders.check_replaceable(Path(place), modalities)


def name_of(url: str) -> str:
    """Returns the URL of a database in messages, without user and password."""
    from adamine_jax.gallery.postgresql.connections import address_of

    return address_of(url).name


def is_database(place: str | Path) -> bool:
    """Whether a place is the URL of a PostgreSQL database."""
    return isinstance(place, str) and place.startswith(POSTGRESQL)


def add_store_flag(parser: argparse._ActionsContainer) -> None:
    """Adds `--store`, the URL of a gallery in PostgreSQL."""
    parser.add_argument(
        "--store",
        type=database_url,
        metavar="URL",
        help="gallery in PostgreSQL: postgresql://USER@HOST/DATABASE?schema=NAME",
    )


def database_url(text: str) -> str:
    """Type of `--store`.

    Raises:
        ArgumentTypeError: It is no URL of a PostgreSQL database.
    """
    if not is_database(text):
        raise argparse.ArgumentTypeError("expected postgresql://USER@HOST/DATABASE?schema=NAME")
    return text
