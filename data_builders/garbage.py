"""Looking for cycles seldom: a conversion makes many objects, which hold none, and Python would look through them."""

import contextlib
import gc
from collections.abc import Generator


@contextlib.contextmanager
def seldom_collected() -> Generator[None]:
    """Within it, cycles are looked for after many objects more than usual, and not among what was there before."""
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
