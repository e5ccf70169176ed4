"""Predictions of scores: known curves are found again, and what cannot be fitted is refused."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import pytest

from ultraclean.errors import DataError
from ultraclean.train.predict import Point, answer_loss, predict

SIZES = (5.2e6, 31e6, 106e6, 245e6, 477e6, 828e6)
"""The reference models of the densing law."""
CHANCE = 0.25


def loss(size: float) -> float:
    return 0.9 + 18 * size**-0.17


def score(at: float) -> float:
    return CHANCE + (1 - CHANCE) / (1 + math.exp(6 * (at - 1.4)))


def points(noise: float, seed: int) -> tuple[list[Point], list[Point]]:
    chance = random.Random(seed)
    small = [Point(size, loss(size) + chance.gauss(0, noise)) for size in SIZES]
    # Above chance only the large ones of other people.
    scored = [
        Point(size, loss(size), score(loss(size)) + chance.gauss(0, noise))
        for size in (4e8, 1e9, 2e9, 4e9, 2e10)
    ]
    return small, scored


def test_a_known_curve_is_found_again() -> None:
    found = predict(*points(0.0, 1), target=8e9, chance=CHANCE)
    assert found.loss == pytest.approx(loss(8e9), abs=0.02)
    assert found.score == pytest.approx(score(loss(8e9)), abs=0.02)
    assert found.beyond == pytest.approx(8e9 / 828e6)


def test_the_interval_holds_the_truth_nearly_as_often_as_it_says() -> None:
    inside = 0
    for seed in range(40):
        found = predict(*points(0.005, seed), target=4e9, chance=CHANCE)
        assert found.score_low <= found.score_high
        inside += found.score_low <= score(loss(4e9)) <= found.score_high
    assert inside >= 30, f"{inside} of 40 intervals of 90 % hold the truth"


def test_what_cannot_be_fitted_is_refused() -> None:
    small, scored = points(0.0, 1)
    with pytest.raises(DataError, match="3 sizes: a power law with a floor needs 4"):
        predict(small[:3], scored, 8e9, CHANCE)
    chance_only = [Point(point.size, point.loss, CHANCE) for point in scored]
    with pytest.raises(DataError, match=r"0 of 5 scores lie between chance \(0\.25\) and 1"):
        predict(small, chance_only, 8e9, CHANCE)
    with pytest.raises(DataError, match="positive numbers"):
        predict([Point(1e6, math.nan), *small], scored, 8e9, CHANCE)


def test_the_loss_is_of_the_answer_alone(make_model: Callable[..., Any], tokenizer: Any) -> None:
    model = make_model(vocab_size=tokenizer.get_vocab_size())
    items = [("What is two and two?", " Two and two make four. 4"), ("One?", " 1")]
    found = answer_loss(model, tokenizer, items)
    assert found["n_items"] == 2 and 0 < found["bits_per_byte"] < 40
    changed = answer_loss(model, tokenizer, [items[0], ("Another question?", " 1")])
    assert changed["loss"] != found["loss"]
