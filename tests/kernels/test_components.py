"""Union-find against lowering labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ultrakernels import components

IDS = st.one_of(st.integers(0, 12), st.integers(-(2**63), 2**63 - 1))


@given(st.lists(st.tuples(IDS, IDS), max_size=40))
@settings(max_examples=200, deadline=None)
def test_kernel_is_the_reference(edges: list[tuple[int, int]]) -> None:
    left = np.array([a for a, _ in edges], dtype=np.int64)
    right = np.array([b for _, b in edges], dtype=np.int64)
    nodes, roots = components.components(left, right)
    slow_nodes, slow_roots = components.reference(left, right)
    assert np.array_equal(nodes, slow_nodes)
    assert np.array_equal(roots, slow_roots)


@pytest.mark.parametrize("seed", range(3))
def test_a_long_chain_in_any_order(seed: int) -> None:
    links = np.random.default_rng(seed).permutation(50_000)
    nodes, roots = components.components(links.astype(np.int64), links.astype(np.int64) + 1)
    assert len(nodes) == 50_001
    assert (roots == 0).all()


def test_no_edges() -> None:
    nodes, roots = components.components(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    assert len(nodes) == len(roots) == 0
