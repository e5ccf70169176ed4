"""Heads on vectors: exact solutions, and the same bits for a batch cut anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from ultraclean.text import linear


def test_ridge_is_the_closed_form() -> None:
    chance = np.random.default_rng(1)
    vectors = chance.standard_normal((300, 5)).astype(np.float32) * [1, 10, 0.1, 1, 0]
    vectors = vectors.astype(np.float32)
    target = vectors @ [1, 0.2, 3, 0, 9] + 2 + 0.1 * chance.standard_normal(300)
    head = linear.fit(vectors, target, 1e-12, logistic=False)
    design = np.column_stack([vectors[:, :4], np.ones(300)])
    expected, *_ = np.linalg.lstsq(design, target, rcond=None)
    assert head.weight[:4] == pytest.approx(expected[:4], rel=1e-4, abs=1e-4)
    assert head.weight[4] == 0 and head.bias == pytest.approx(expected[4], rel=1e-4)
    heavy = linear.fit(vectors, target, 1e6, logistic=False)
    assert np.abs(heavy.weight).max() < 1e-3 and heavy.bias == pytest.approx(target.mean(), abs=0.1)


@pytest.mark.parametrize("apart", [0.5, 50.0])
def test_logistic_has_no_gradient_left(apart: float) -> None:
    chance = np.random.default_rng(2)
    target = chance.integers(0, 2, 9000).astype(float)
    vectors = (chance.standard_normal((9000, 3)) + apart * target[:, None]).astype(np.float32)
    head = linear.fit(vectors, target, 0.01, logistic=True)
    standard = (vectors - vectors.mean(axis=0, dtype=float)) / vectors.std(axis=0, dtype=float)
    weight = head.weight * vectors.std(axis=0, dtype=float)
    gradient = standard.T @ (head(vectors) - target) / 9000 + 0.01 * weight
    assert np.abs(gradient).max() < 1e-6
    assert ((head(vectors) > 0.5) == target).mean() > 0.6
    parts = [head(vectors[at : at + 1]) for at in range(50)]
    assert np.concatenate(parts).tolist() == head(vectors[:50]).tolist()
