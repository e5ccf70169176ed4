"""What would a larger model score? A prediction from the losses of several small ones.

ModelTunnel v2 of MiniCPM4 (arXiv 2506.07900, section 3): the loss on reasoning and answer, given the
task (ScalingBench), falls smoothly with size where scores are still chance; a sigmoid leads from
that loss to the score. The report gives no coefficients. Here the loss is a power law of the size
with a floor, the score a sigmoid of the loss from chance to 1, and the interval comes from fitting
again without each point in turn and to residuals drawn anew. All models must share a vocabulary.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ultraclean.errors import DataError

if TYPE_CHECKING:
    from ultraclean.train.model import MiniCPM4

FEWEST: Final = 4
RESAMPLES: Final = 300
FLOORS: Final = 60
"""Floors of the power law that are tried, from none to just below the lowest loss."""
EDGE: Final = 0.02
"""Scores within so much of chance or of 1 say nothing about the slope of a sigmoid."""


@dataclass(frozen=True)
class Point:
    """A trained model: its size, its loss on reasoning and answers, and its score if that is known."""

    size: float
    """Parameters outside the embedding, or operations of training: the same for all points."""
    loss: float
    score: float | None = None


@dataclass(frozen=True)
class Prediction:
    """For a target size, with 90 % intervals."""

    loss: float
    loss_low: float
    loss_high: float
    score: float
    score_low: float
    score_high: float
    beyond: float
    """The target over the largest fitted size: how far this is extrapolated."""


def answer_loss(
    model: MiniCPM4, tokenizer: Any, items: Sequence[tuple[str, str]], **how: Any
) -> dict[str, float]:
    """Nats per token and bits per byte of (reasoning and answer), given the task."""
    from ultraclean.train.evaluate import encode_pair, score

    pairs = [encode_pair(tokenizer, task, answer) for task, answer in items]
    nats = -sum(one.nats for one in score(model, pairs, **how))
    n_tokens = sum(len(answer) for _, answer in pairs)
    n_bytes = sum(len(answer.encode()) for _, answer in items)
    return {
        "loss": nats / max(n_tokens, 1),
        "bits_per_byte": nats / math.log(2) / max(n_bytes, 1),
        "n_items": float(len(items)),
    }


def predict(
    small: Sequence[Point], scored: Sequence[Point], target: float, chance: float
) -> Prediction:
    """The score of a model of the size `target`.

    `small` are models of several sizes on one recipe; `scored` any models, also other people's with
    the same vocabulary, whose scores are above chance: they say how loss becomes score.
    """
    sizes = np.array([point.size for point in small])
    losses = np.array([point.loss for point in small])
    known = [point for point in scored if point.score is not None]
    _refuse(sizes, losses, known, target, chance)
    at = np.array([point.loss for point in known])
    scores = np.array([point.score for point in known])

    law = power_law(sizes, losses)
    curve = sigmoid(at, scores, chance)
    loss = float(loss_at(law, target))
    chances = random.Random(0)
    found: list[tuple[float, float]] = []
    for _ in range(RESAMPLES):
        drawn = loss_at(law, sizes) + _residuals(losses - loss_at(law, sizes), 3, chances)
        again = sigmoid(at, _redrawn(at, scores, curve, chance, chances), chance)
        one = float(loss_at(power_law(sizes, drawn), target))
        found.append((one, float(score_at(again, one, chance))))
    for left_out in range(len(sizes)):
        rest = np.arange(len(sizes)) != left_out
        if len(sizes) > FEWEST:
            one = float(loss_at(power_law(sizes[rest], losses[rest]), target))
            found.append((one, float(score_at(curve, one, chance))))
    low, high = np.quantile(np.array(found), [0.05, 0.95], axis=0)
    return Prediction(
        loss=loss,
        loss_low=float(low[0]),
        loss_high=float(high[0]),
        score=float(score_at(curve, loss, chance)),
        score_low=float(low[1]),
        score_high=float(high[1]),
        beyond=float(target / sizes.max()),
    )


def _refuse(
    sizes: np.ndarray[Any, Any],
    losses: np.ndarray[Any, Any],
    known: Sequence[Point],
    target: float,
    chance: float,
) -> None:
    if len(set(sizes.tolist())) < FEWEST:
        raise DataError(
            f"{len(set(sizes.tolist()))} sizes: a power law with a floor needs {FEWEST}"
        )
    if not (np.isfinite(losses).all() and (losses > 0).all() and (sizes > 0).all() and target > 0):
        raise DataError("sizes and losses must be positive numbers")
    usable = [p for p in known if p.score is not None and chance + EDGE < p.score < 1 - EDGE]
    if len({point.loss for point in usable}) < 3:
        raise DataError(
            f"{len(usable)} of {len(known)} scores lie between chance ({chance:g}) and 1: a sigmoid "
            "needs three; add larger models, also other people's with the same vocabulary"
        )


# --- the two curves -------------------------------------------------------------------------------

Law = tuple[float, float, float]
"""floor, factor, exponent: loss = floor + factor * size ** -exponent"""


def power_law(sizes: np.ndarray[Any, Any], losses: np.ndarray[Any, Any]) -> Law:
    """The floor by search, the rest by least squares on logarithms; the best in losses wins."""
    floors = np.linspace(0, losses.min() * 0.98, FLOORS)[:, None]
    over = np.log(losses - floors)  # float[floors, points]
    x = np.log(sizes) - np.log(sizes).mean()
    exponents = -(over @ x / (x @ x))[:, None]
    factors = np.exp(over.mean(axis=1, keepdims=True) + exponents * np.log(sizes).mean())
    errors = ((floors + factors * sizes**-exponents - losses) ** 2).sum(axis=1)
    best = int(errors.argmin())
    return float(floors[best, 0]), float(factors[best, 0]), float(exponents[best, 0])


def loss_at(law: Law, size: Any) -> Any:
    floor, factor, exponent = law
    return floor + factor * np.asarray(size, dtype=float) ** -exponent


def sigmoid(
    losses: np.ndarray[Any, Any], scores: np.ndarray[Any, Any], chance: float
) -> tuple[float, float]:
    """(slope, middle) of the score over the loss, by least squares on the log-odds above chance."""
    share = np.clip((scores - chance) / (1 - chance), 1e-6, 1 - 1e-6)
    useful = (scores > chance + EDGE) & (scores < 1 - EDGE)
    odds = np.log(share[useful] / (1 - share[useful]))
    slope, start = np.polyfit(losses[useful], odds, 1)
    return float(slope), float(start)


def score_at(curve: tuple[float, float], loss: Any, chance: float) -> Any:
    slope, start = curve
    return chance + (1 - chance) / (1 + np.exp(-(slope * np.asarray(loss, dtype=float) + start)))


def _residuals(
    residuals: np.ndarray[Any, Any], n_parameters: int, chances: random.Random
) -> np.ndarray[Any, Any]:
    """Residuals drawn anew with either sign, widened by the parameters that were fitted."""
    freedom = max(len(residuals) - n_parameters, 1)
    wide = math.sqrt(len(residuals) / freedom)
    return np.array([wide * chances.choice(residuals) * chances.choice((-1, 1)) for _ in residuals])


def _redrawn(
    losses: np.ndarray[Any, Any],
    scores: np.ndarray[Any, Any],
    curve: tuple[float, float],
    chance: float,
    chances: random.Random,
) -> np.ndarray[Any, Any]:
    """Scores drawn anew around the curve, kept where the curve is used."""
    fitted = score_at(curve, losses, chance)
    useful = (scores > chance + EDGE) & (scores < 1 - EDGE)
    drawn = scores.copy()
    moved = fitted[useful] + _residuals((scores - fitted)[useful], 2, chances)
    drawn[useful] = np.clip(moved, chance + 1.01 * EDGE, 1 - 1.01 * EDGE)
    return drawn
