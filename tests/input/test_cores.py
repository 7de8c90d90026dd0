import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adamine_jax.base import cores


@given(count=st.integers(0, 300), available=st.integers(1, 80))
def test_chunks_cover_all_items_once_and_in_order(count, available):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cores, "available_cores", lambda: available)
        chunks = cores.map_chunks(list, count)
    assert list(itertools.chain(*chunks)) == list(range(count))
    assert all(0 < len(chunk) <= cores.LARGEST_CHUNK for chunk in chunks)
    assert len(chunks) >= min(count, available)  # no core is idle


def test_an_error_in_a_chunk_is_raised_in_the_caller():
    def fails(chunk):
        if 20 in chunk:
            raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        cores.map_chunks(fails, 100)


def test_concurrent_callers_share_the_threads():
    seen = set()

    def work(chunk):
        seen.add(threading.get_ident())
        return sum(chunk)

    with ThreadPoolExecutor(8) as callers:
        sums = list(callers.map(lambda count: sum(cores.map_chunks(work, count)), [200] * 40))
    assert sums == [sum(range(200))] * 40
    assert len(seen) <= cores.available_cores()
