"""Exact search agrees with a full sort."""

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamine_jax.gallery.folder import exact


def by_sorting(embeddings, queries, top, candidates=None):
    rows = np.arange(len(embeddings)) if candidates is None else candidates
    found = []
    for query in queries:
        similarities = {int(row): float(np.float32(embeddings[row] @ query)) for row in rows}
        found.append(sorted(similarities, key=lambda row: (-similarities[row], row))[:top])
    return found


# Small integers: sums are exact and ties are frequent.
tables = st.integers(1, 40).flatmap(
    lambda n: arrays.arrays(np.float32, (n, 3), elements=st.integers(-2, 2).map(float), fill=st.just(0.0))
)


@settings(deadline=None)
@given(tables, st.integers(1, 50), st.integers(1, 9), st.data())
def test_results_equal_a_sort_with_ties_broken_by_row(embeddings, top, block, data):
    queries = data.draw(arrays.arrays(np.float32, (2, 3), elements=st.integers(-2, 2).map(float)))
    chosen = data.draw(st.none() | st.sets(st.integers(0, len(embeddings) - 1), min_size=1))
    candidates = None if chosen is None else np.array(sorted(chosen))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "BLOCK", block)
        similarities, rows = exact.search(embeddings, queries, top, candidates)
    assert rows.tolist() == by_sorting(embeddings, queries, top, candidates)
    np.testing.assert_array_equal(similarities, np.take_along_axis(queries @ embeddings.T, rows, axis=1))


def test_random_rows_in_several_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    embeddings, queries = rng.normal(size=(3000, 16)).astype(np.float32), rng.normal(size=(5, 16)).astype(np.float32)
    monkeypatch.setattr(exact, "BLOCK", 700)
    similarities, rows = exact.search(embeddings, queries, 20)
    expected = np.argsort(-(queries @ embeddings.T), axis=1)[:, :20]
    np.testing.assert_array_equal(rows, expected)
    assert similarities.shape == (5, 20)
    assert similarities.dtype == np.float32
