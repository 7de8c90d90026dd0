"""Types of command-line flags that several commands share."""

import argparse
from pathlib import Path

from adamine_jax.base import storage


def given_path(text: str) -> Path:
    """Converts an argument to a path, and a URL to the path of its local copy (see `storage.local`).

    Rejects '', often an unset variable, which would mean the current folder.

    Raises:
        ArgumentTypeError: The argument is empty.
        StoreError: The store of a URL cannot be read.
    """
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a path")
    if text.startswith(("postgresql:", "postgres:")):  # whose text may contain a password
        raise argparse.ArgumentTypeError("is the URL of a database; give it as --store")
    return storage.local(text)


def local_path(text: str) -> Path:
    """Converts an argument to a path like `given_path`, but refuses URLs.

    Raises:
        ArgumentTypeError: The argument is empty or a URL.
    """
    if storage.is_url(text):
        raise argparse.ArgumentTypeError(f"{text} is a URL; give a path on this machine")
    return given_path(text)
