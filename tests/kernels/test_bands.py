"""Rows that share band keys, by radix partitions against dictionaries."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from ultrakernels import bands

KEYS = st.one_of(st.integers(0, 5), st.integers(0, 2**64 - 1))


def same(keys: bands.Keys, node: bands.Ids) -> None:
    distinct, first, root = bands.meet(keys, node)
    slow_distinct, slow_first, slow_root = bands.reference(keys, node)
    assert sorted(zip(distinct, first, strict=True)) == sorted(
        zip(slow_distinct, slow_first, strict=True)
    )
    assert np.array_equal(root, slow_root)


@given(
    arrays.arrays(np.uint64, st.tuples(st.integers(0, 30), st.integers(1, 4)), elements=KEYS),
    st.randoms(use_true_random=False),
)
@settings(max_examples=200, deadline=None)
def test_kernel_is_the_reference(keys: bands.Keys, chance: object) -> None:
    node = np.arange(len(keys), dtype=np.int64) * 3
    same(keys, node)
    chance.shuffle(node)  # type: ignore[attr-defined]
    same(keys, node)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_many_partitions(share: float) -> None:
    chance = np.random.default_rng(7)
    keys = chance.integers(0, 2**64, (70_000, 3), dtype=np.uint64)
    copies = np.flatnonzero(chance.random(len(keys)) < share)
    keys[copies, 1] = keys[0, 1]  # a hot key, up to every row
    distinct, first, root = bands.meet(keys, np.arange(len(keys), dtype=np.int64))
    expected = np.arange(len(keys))
    if len(copies):
        expected[copies] = 0
    assert np.array_equal(root, expected)
    assert len(distinct) == 3 * len(keys) - max(len(np.union1d(copies, [0])) - 1, 0)
    assert np.array_equal(np.unique(distinct), np.unique(keys))
    band_of_first = (keys[first] == distinct[:, None]).any(axis=1)
    assert band_of_first.all()


def test_a_node_that_comes_twice_meets_itself() -> None:
    keys = np.array([[5], [5], [9]], dtype=np.uint64)
    _, _, root = bands.meet(keys, np.array([4, 4, 1]))
    assert root.tolist() == [0, 0, 2]


def test_no_rows() -> None:
    distinct, first, root = bands.meet(np.zeros((0, 2), np.uint64), np.zeros(0, np.int64))
    assert len(distinct) == len(first) == len(root) == 0
