"""`rare_gc` restores the settings of the garbage collector, even after an error."""

import gc

import pytest

from data_builders.gc_tuning import rare_gc


def settings():
    return gc.get_threshold(), gc.get_freeze_count()


def test_the_collector_is_as_before_even_after_an_error():
    gc.unfreeze()  # Python 3.12 starts with a few hundred objects frozen
    before = settings()
    with rare_gc():
        (youngest, *_), frozen = settings()
    assert youngest > 10 * before[0][0]
    assert frozen > 1000
    assert settings() == before
    with pytest.raises(KeyError), rare_gc():
        raise KeyError
    assert settings() == before
