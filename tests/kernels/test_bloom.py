"""Bloom filters: never wrongly no, wrongly yes at their rate."""

from __future__ import annotations

import numpy as np
import pytest
from ultrakernels import bloom


@pytest.mark.parametrize(("n_known", "rate"), [(1, 0.1), (500, 0.01), (500, 0.3), (3, 1e-9)])
def test_the_kernel_is_the_reference(n_known: int, rate: float) -> None:
    keys = np.random.default_rng(n_known).integers(0, 2**64, 2 * n_known, dtype=np.uint64)
    keys[-1] = 2**64 - 1
    n_words, n_functions = bloom.bloom_size(n_known, rate)
    words = np.zeros(n_words, dtype=np.uint64)
    bloom.add(words, n_functions, keys[:n_known])
    there = bloom.has(words, n_functions, keys)
    assert there.tolist() == bloom.reference(keys[:n_known], n_words, n_functions, keys)
    assert there[:n_known].all()


def test_the_rate_is_the_rate() -> None:
    keys = np.random.default_rng(0).integers(0, 2**64, 220_000, dtype=np.uint64)
    n_words, n_functions = bloom.bloom_size(20_000, 0.01)
    words = np.zeros(n_words, dtype=np.uint64)
    bloom.add(words, n_functions, keys[:20_000])
    wrong = bloom.has(words, n_functions, keys[20_000:]).mean()
    assert abs(wrong - 0.01) < 0.0015
    assert abs(bloom.false_positive_rate(n_words, n_functions, 20_000) - 0.01) < 0.001
