"""Settings of Python's cyclic garbage collector."""

import contextlib
import gc
from collections.abc import Generator


@contextlib.contextmanager
def rare_gc() -> Generator[None]:
    """Runs the cyclic garbage collector rarely within the block: a conversion allocates millions of acyclic objects."""
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
