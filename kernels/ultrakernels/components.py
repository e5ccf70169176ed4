"""Connected components of an edge list, by union-find towards the smallest id."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]


def components(left: Ids, right: Ids) -> tuple[Ids, Ids]:
    """(nodes, roots): every id that an edge names, sorted, and the smallest id that it reaches."""
    nodes, index = np.unique(np.concatenate([left, right]), return_inverse=True)
    parents = _union(index[: len(left)], index[len(left) :], len(nodes))
    return nodes, nodes[parents]


def reference(left: Ids, right: Ids) -> tuple[Ids, Ids]:
    """`components`, by lowering labels until nothing changes."""
    label = {int(node): int(node) for node in np.concatenate([left, right])}
    changed = True
    while changed:
        changed = False
        for a, b in zip(left.tolist(), right.tolist(), strict=True):
            low = min(label[a], label[b])
            changed |= label[a] != low or label[b] != low
            label[a] = label[b] = low
    nodes = np.array(sorted(label), dtype=np.int64)
    return nodes, np.array([label[int(node)] for node in nodes], dtype=np.int64)


@numba.njit(cache=True, nogil=True)
def _root(parents: Ids, node: int) -> int:
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@numba.njit(cache=True, nogil=True)
def _union(left: Ids, right: Ids, n_nodes: int) -> Ids:
    parents = np.arange(n_nodes)
    for i in range(len(left)):
        a, b = _root(parents, left[i]), _root(parents, right[i])
        # A smaller root wins, so the root of a component is its smallest id in any order of edges.
        if a < b:
            parents[b] = a
        elif b < a:
            parents[a] = b
    for node in range(n_nodes):
        parents[node] = _root(parents, node)
    return parents
