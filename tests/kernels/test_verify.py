"""The greedy loop with linked lists against the loop as one would say it."""

from __future__ import annotations

import random

import numpy as np
import pytest
from ultrakernels import verify


@pytest.mark.parametrize("seed", range(30))
def test_kernel_is_the_reference(seed: int) -> None:
    draw = random.Random(seed)
    n_rows, n_bands = draw.randrange(1, 60), draw.choice([1, 3, 14])
    n_keys = draw.choice([1, 5, 100])
    bands = np.array(
        [[band * 1000 + draw.randrange(n_keys) for band in range(n_bands)] for _ in range(n_rows)],
        dtype=np.uint64,
    )
    sets = [sorted(draw.sample(range(12), draw.randrange(1, 12))) for _ in range(n_rows)]
    offsets = np.cumsum([0, *map(len, sets)]).astype(np.int64)
    shingles = np.array(sum(sets, []), dtype=np.uint64)  # noqa: RUF017 (a handful)
    for threshold in (0.2, 0.5, 0.75, 1.0):
        fast = verify.verify(bands, shingles, offsets, threshold)
        slow = verify.reference(bands, shingles, offsets, threshold)
        assert np.array_equal(fast[0], slow[0])
        assert np.array_equal(fast[1], slow[1], equal_nan=True)
        assert np.array_equal(fast[2], slow[2])


def test_only_kept_rows_drop_others() -> None:
    """A~B~C: B goes because of A, so nothing is left to drop C."""
    sets = [list(range(0, 10)), list(range(2, 12)), list(range(4, 14))]
    offsets = np.array([0, 10, 20, 30])
    shingles = np.array(sum(sets, []), dtype=np.uint64)  # noqa: RUF017 (a handful)
    copy_of, jaccard, n_compared = verify.verify(np.ones((3, 1), np.uint64), shingles, offsets, 0.6)
    assert copy_of.tolist() == [-1, 0, -1]
    assert jaccard[1] == 8 / 12
    assert n_compared.sum() == 2
