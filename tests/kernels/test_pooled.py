"""Sums of table rows by token ids, against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from ultrakernels import pooled as kernel


@pytest.mark.parametrize("dim", [1, 7, 256])
def test_equals_the_reference(dim: int) -> None:
    chance = np.random.default_rng(dim)
    lengths = np.concatenate([[0, 0], chance.integers(0, 40, 30), [5000, 0]])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = chance.integers(-1, 50, offsets[-1]).astype(np.int32)
    table = (chance.standard_normal((50, dim)) * 10.0 ** chance.integers(-6, 6, (50, 1))).astype(
        np.float32
    )
    found = kernel.pooled(ids, offsets, table)
    np.testing.assert_allclose(found, kernel.reference(ids, offsets, table), rtol=1e-6, atol=1e-4)
    assert not found[0].any() and not found[-1].any()
    # a part of the documents by itself, bit for bit
    np.testing.assert_array_equal(kernel.pooled(ids, offsets[3:9], table), found[3:8])

    rows = chance.standard_normal((len(lengths), dim)).astype(np.float32)
    out = np.zeros((50, dim))
    kernel.scattered(ids, offsets, rows, out)
    expected = kernel.reference_scattered(ids, offsets, rows, 50)
    np.testing.assert_allclose(out, expected, rtol=1e-9, atol=1e-9)
