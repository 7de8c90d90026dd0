"""Types of command-line flags that several commands share."""

import argparse
from pathlib import Path


def given_path(text: str) -> Path:
    """Converts an argument to a path; rejects '', often an unset variable, which would mean the current folder.

    Raises:
        ArgumentTypeError: The argument is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a path")
    return Path(text)
