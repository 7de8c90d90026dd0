from collections import Counter

import numpy as np
import pytest

from data_builders.recipe1m.report.counters import FrequentTexts


def stream(seed, number=20_000):
    """Texts of which few are frequent and many rare, as words are."""
    rng = np.random.default_rng(seed)
    return [f"w{rank}" for rank in rng.zipf(1.3, number).clip(max=10**9)]


def test_counts_are_exact_while_there_is_room():
    texts = stream(0, 2000)
    counter = FrequentTexts(capacity=len(set(texts)) // 2 + 1)
    counter.add(texts)
    expected = sorted(Counter(texts).items(), key=lambda item: (-item[1], item[0]))
    assert counter.most_common(len(expected) + 1) == expected
    assert counter.error == 0


@pytest.mark.parametrize("capacity", [1, 10, 100, 1000])
def test_counts_are_lower_bounds_when_rare_texts_are_forgotten(capacity):
    texts, counter = stream(capacity), FrequentTexts(capacity)
    for start in range(0, len(texts), 7):
        counter.add(texts[start : start + 7])
        assert len(counter) <= 2 * capacity
    assert 0 < counter.error <= len(texts) / (capacity + 1)
    exact, found = Counter(texts), dict(counter.most_common(len(texts)))
    for text, count in exact.items():
        assert found.get(text, 0) <= count <= found.get(text, 0) + counter.error


def test_texts_without_end_take_no_room_without_end():
    counter = FrequentTexts()
    counter.add(["x" * 10**6, "x" * 10**6 + "y"])
    ((text, count),) = counter.most_common(5)
    assert len(text) <= 100
    assert count == 2
