"""Values of flags that several commands take."""

import argparse
from pathlib import Path


def given_path(text: str) -> Path:
    """A path, as argparse's `type`; an empty one, often a variable that is not set, would be the current folder.

    Raises:
        ArgumentTypeError: it is empty.
    """
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a path")
    return Path(text)
