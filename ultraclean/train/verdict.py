"""Does a candidate help? The statistics of `verify.anneal`: numbers in, a verdict out, no torch.

A difference is the control's bits per byte minus the arm's, of one seed: more is better. The rule
is fixed before a run. Accepted: the lower bound of the mean difference lies above the smallest
effect that matters. Rejected: the upper bound lies below it, or a guard is violated. Else
undecided, which says how many seeds would decide.

Bounds are one-sided paired t bounds. Seeds may be added in a few looks; alpha is split evenly over
all that are planned. Several candidates share alpha by Holm's method, which holds for accepting;
a rejection costs a candidate, not a wrong claim, and keeps the alpha of its look.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Outcome = Literal["accepted", "rejected", "undecided"]

POWER = 0.8
"""How probably the smallest visible effect is seen."""
MOST_SEEDS = 1000


@dataclass(frozen=True)
class Rule:
    """What is decided before the run."""

    minimum_effect: float = 0.005
    """Bits per byte below which a gain does not matter."""
    alpha: float = 0.05
    looks: tuple[int, ...] = (3, 5, 8)
    """Seeds at which the verdict is read."""
    least_order: float = -0.03
    """The order guard: how much less than the control an arm may prefer natural to shuffled text."""
    most_gain_ratio: float = 5.0
    """The duplication guard: gain on candidate text seen over gain on candidate text held out."""

    @property
    def alpha_of_look(self) -> float:
        return self.alpha / len(self.looks)


@dataclass(frozen=True)
class Measured:
    """Differences to the control of one arm, one number per seed."""

    primary: tuple[float, ...]
    order: tuple[float, ...]
    """Of the order advantage: bits per byte of word-shuffled minus of natural evaluation text."""
    seen: tuple[float, ...] = ()
    """On candidate text that the arm was trained on; empty where there is none."""
    held_out: tuple[float, ...] = ()
    """On candidate text that it was not trained on."""


@dataclass(frozen=True)
class Verdict:
    """What is said of an arm after some seeds."""

    outcome: Outcome
    reason: str
    n_seeds: int
    mean: float
    deviation: float
    low: float
    high: float
    """One-sided bounds of the mean, each at `alpha`."""
    alpha: float
    """The alpha at which the arm was, or would have been, accepted: split over looks and by Holm."""
    p_value: float
    """Of a gain of no more than the minimum effect."""
    smallest_effect: float
    """The true gain that so many seeds would have accepted with a probability of 0.8."""
    seeds_to_decide: int | None
    """Seeds, in all, that would probably decide; none if it is decided or no number would do."""


# --- verdicts -------------------------------------------------------------------------------------


def judge(
    rule: Rule, measured: Mapping[str, Measured], n_candidates: int | None = None, n_before: int = 0
) -> dict[str, Verdict]:
    """Verdicts of one look over the candidates that are still undecided.

    `n_candidates` are those of the whole job, of which `n_before` were accepted at earlier looks.
    """
    n_all = n_candidates or len(measured)
    p_values = {name: p_value(one.primary, rule.minimum_effect) for name, one in measured.items()}
    verdicts: dict[str, Verdict] = {}
    n_accepted = n_before
    for name in sorted(measured, key=lambda name: p_values[name]):
        # Holm: each acceptance leaves one hypothesis less; the first failure ends accepting.
        verdicts[name] = verdict(rule, measured[name], rule.alpha_of_look / (n_all - n_accepted))
        n_accepted += verdicts[name].outcome == "accepted"
    return {name: verdicts[name] for name in measured}


def verdict(rule: Rule, measured: Measured, alpha: float) -> Verdict:
    """The verdict on one arm, accepted at `alpha` and rejected at the alpha of a look."""
    values = measured.primary
    mean, deviation = mean_and_deviation(values)
    low, _ = bounds(values, alpha)
    _, high = bounds(values, rule.alpha_of_look)
    outcome, reason = _outcome(rule, measured, low, high, mean)
    needed = None
    if outcome == "undecided":
        needed = seeds_to_decide(mean - rule.minimum_effect, deviation, alpha)
        reason += _more_seeds(needed, len(values))
    return Verdict(
        outcome=outcome,
        reason=reason,
        n_seeds=len(values),
        mean=mean,
        deviation=deviation,
        low=low,
        high=high,
        alpha=alpha,
        p_value=p_value(values, rule.minimum_effect),
        smallest_effect=rule.minimum_effect + visible_effect(deviation, len(values), alpha),
        seeds_to_decide=needed,
    )


def in_doubt(found: Verdict, placebo: Verdict) -> Verdict:
    """The verdict on a candidate, beside that on its own words shuffled.

    As long as the placebo is not rejected, the measure may not tell text from words: a base that
    has not learned the order of words is not hurt by disorder, and its order guard sees nothing.
    """
    if found.outcome != "accepted" or placebo.outcome == "rejected":
        return found
    reason = (
        f"{found.reason}, but its words shuffled are {placebo.outcome} too "
        f"({placebo.mean:+.4f}): the base does not tell text from words; train it longer"
    )
    return replace(found, outcome="undecided", reason=reason)


def _outcome(
    rule: Rule, measured: Measured, low: float, high: float, mean: float
) -> tuple[Outcome, str]:
    order, _ = mean_and_deviation(measured.order)
    if bounds(measured.order, rule.alpha_of_look)[1] < rule.least_order:
        return "rejected", (
            f"order guard: natural text gains {order:+.3f} bits per byte against word-shuffled "
            f"text, the limit is {rule.least_order:+.3f}; what it teaches is words, not text"
        )
    ratio = gain_ratio(measured, rule.minimum_effect)
    by_heart = ratio >= rule.most_gain_ratio
    if by_heart and bounds(_excess(rule, measured), rule.alpha_of_look)[0] > 0:
        return "rejected", (
            f"duplication guard: the gain on candidate text seen is {ratio:.1f} times that on "
            f"candidate text held out, the limit is {rule.most_gain_ratio:g}; it is learned by heart"
        )
    minimum = rule.minimum_effect
    if high < minimum:
        return "rejected", f"the gain is below {minimum:g} (upper bound {high:+.4f})"
    if low > minimum and order > rule.least_order and not by_heart:
        return "accepted", f"the gain is above {minimum:g} (lower bound {low:+.4f})"
    if low > minimum:
        guard = "duplication" if by_heart else "order"
        return "undecided", f"the gain is above {minimum:g}, the {guard} guard is in doubt"
    return "undecided", f"the gain of {mean:+.4f} lies between {low:+.4f} and {high:+.4f}"


def _more_seeds(needed: int | None, n_seeds: int) -> str:
    if needed is None:
        return f"; more than {MOST_SEEDS} seeds would be needed: a longer anneal shows more"
    if needed <= n_seeds:
        return "; a few more seeds would probably decide"
    return f"; about {needed} seeds in all would probably decide"


def _excess(rule: Rule, measured: Measured) -> list[float]:
    """By seed, how far the gain on seen text exceeds what the limit allows beside the held-out."""
    pairs = zip(measured.seen, measured.held_out, strict=True)
    return [seen - rule.most_gain_ratio * max(0.0, held_out) for seen, held_out in pairs]


def gain_ratio(measured: Measured, minimum_effect: float) -> float:
    """Gain on seen over gain on held-out candidate text; 0 where the seen gain does not matter."""
    if not measured.seen or not measured.held_out:
        return 0.0
    seen, held_out = statistics.fmean(measured.seen), statistics.fmean(measured.held_out)
    if seen <= minimum_effect:
        return 0.0
    return seen / held_out if held_out > 0 else math.inf


# --- bounds ---------------------------------------------------------------------------------------


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample deviation; the deviation of fewer than two values is not a number."""
    mean = statistics.fmean(values) if values else math.nan
    return mean, statistics.stdev(values) if len(values) > 1 else math.nan


def bounds(values: Sequence[float], alpha: float) -> tuple[float, float]:
    """One-sided t bounds of the mean, each at `alpha`; without two values there is no bound."""
    if len(values) < 2:
        return -math.inf, math.inf
    mean, deviation = mean_and_deviation(values)
    reach = t_quantile(1 - alpha, len(values) - 1) * deviation / math.sqrt(len(values))
    return mean - reach, mean + reach


def p_value(values: Sequence[float], least: float) -> float:
    """How probably a mean as large as this one arises if the true one is no more than `least`."""
    if len(values) < 2:
        return 1.0
    mean, deviation = mean_and_deviation(values)
    if deviation == 0:
        return 0.0 if mean > least else 1.0
    t = (mean - least) * math.sqrt(len(values)) / deviation
    return 1 - t_probability(t, len(values) - 1)


def visible_effect(deviation: float, n_seeds: int, alpha: float) -> float:
    """How far above a limit the true mean must lie for its bound to clear it, with POWER."""
    if n_seeds < 2:
        return math.inf
    reach = t_quantile(1 - alpha, n_seeds - 1) + t_quantile(POWER, n_seeds - 1)
    return reach * deviation / math.sqrt(n_seeds)


def seeds_to_decide(distance: float, deviation: float, alpha: float) -> int | None:
    """Seeds after which a mean so far from the limit is decided with POWER."""
    if math.isnan(deviation) or visible_effect(deviation, MOST_SEEDS, alpha) > abs(distance):
        return None
    low, high = 1, MOST_SEEDS  # the visible effect falls with the seeds
    while high - low > 1:
        middle = (low + high) // 2
        if visible_effect(deviation, middle, alpha) > abs(distance):
            low = middle
        else:
            high = middle
    return high


def clopper_pearson(n_hits: int, n_trials: int, alpha: float = 0.05) -> tuple[float, float]:
    """The exact two-sided interval of a proportion."""
    low = 0.0 if n_hits == 0 else _beta_quantile(alpha / 2, n_hits, n_trials - n_hits + 1)
    high = 1.0
    if n_hits < n_trials:
        high = _beta_quantile(1 - alpha / 2, n_hits + 1, n_trials - n_hits)
    return low, high


# --- Student's t, without scipy, which the base install does not have -----------------------------


def t_probability(t: float, freedom: int) -> float:
    """The probability of a value below `t`."""
    tail = 0.5 * beta_probability(freedom / (freedom + t * t), freedom / 2, 0.5)
    return 1 - tail if t > 0 else tail


@functools.lru_cache(maxsize=4096)
def t_quantile(probability: float, freedom: int) -> float:
    """The value below which Student's t lies with a probability."""
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while t_probability(high, freedom) < probability:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        if t_probability(middle, freedom) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta_quantile(probability: float, a: float, b: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(100):
        middle = (low + high) / 2
        if beta_probability(middle, a, b) < probability:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def beta_probability(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges quickly on the other side only
        return 1 - beta_probability(1 - x, b, a)
    logarithm = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    front = math.exp(logarithm + a * math.log(x) + b * math.log1p(-x)) / a
    tiny = 1e-300
    c, d = 1.0, 1 / max(1 - (a + b) * x / (a + 1), tiny)
    fraction = d
    for m in range(1, 1000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        before = fraction
        for term in (even, odd):
            d = 1 / (1 + term * d or tiny)
            c = 1 + term / c or tiny
            fraction *= c * d
        if abs(fraction - before) < 1e-15 * abs(fraction):
            break
    return front * fraction
