"""The settings of the cycle collector are those of before, whatever happens."""

import gc

import pytest

from data_builders.garbage import seldom_collected


def settings():
    return gc.get_threshold(), gc.get_freeze_count()


def test_the_collector_is_as_before_even_after_an_error():
    gc.unfreeze()  # Python 3.12 starts with a few hundred objects frozen
    before = settings()
    with seldom_collected():
        (youngest, *_), frozen = settings()
    assert youngest > 10 * before[0][0]
    assert frozen > 1000
    assert settings() == before
    with pytest.raises(KeyError), seldom_collected():
        raise KeyError
    assert settings() == before
