"""How well scores of a judge agree with those of people: at data-set, user and pair level.

The three levels of LLMasEvaluator (Zhang et al. 2024, arXiv 2406.03248): all rows at once; per user,
averaged; per user and item, averaged. Different on purpose: a row without one of the two values is
left out and counted (there, a missing value became 3 or 0), and a group in which either side is
constant has no correlation, so that it is skipped and counted instead of making NaN. Intervals are
a percentile bootstrap over whole groups, because rows of one user are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MEASURES: Final = ("pearson", "spearman", "kendall")
LEVELS: Final = ("dataset", "user", "pair")


@dataclass(frozen=True)
class Agreement:
    """One measure at one level. `value` is None where no group has a correlation."""

    level: str
    measure: str
    value: float | None
    low: float | None
    high: float | None
    n_rows: int
    n_groups: int
    n_constant: int
    """Groups that were skipped because one side has the same value throughout, or a single row."""
    n_missing: int
    """Rows that were left out because one side has no value."""


def agreement(
    judge: Sequence[float | None],
    people: Sequence[float | None],
    users: Sequence[Hashable],
    items: Sequence[Hashable],
    *,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[Agreement]:
    """All measures at all levels; the four sequences have one entry per judged row."""
    if not len(judge) == len(people) == len(users) == len(items):
        raise ValueError("judge, people, users and items must have one entry per row")
    x, y = _floats(judge), _floats(people)
    present = ~(np.isnan(x) | np.isnan(y))
    n_missing = int((~present).sum())
    x, y = x[present], y[present]
    kept: list[int] = np.flatnonzero(present).tolist()
    by_level: dict[str, list[Hashable]] = {
        "dataset": [0] * len(kept),
        "user": [users[at] for at in kept],
        "pair": [(users[at], items[at]) for at in kept],
    }
    found = []
    for level, names in by_level.items():
        groups = _groups(names)
        clusters = _groups(by_level["user"]) if level == "dataset" else None
        for measure in MEASURES:
            function = _MEASURES[measure]
            values = [function(x[group], y[group]) for group in groups]
            known = np.array([value for value in values if value is not None])
            if clusters is not None:
                samples = _resampled_rows(function, x, y, clusters, n_bootstrap, seed)
            else:
                samples = _resampled_groups(known, n_bootstrap, seed)
            low, high = _interval(samples, confidence)
            value = float(known.mean()) if len(known) else None
            found.append(
                Agreement(
                    level, measure, value, low, high, len(kept), len(groups),
                    len(groups) - len(known), n_missing,
                )
            )  # fmt: skip
    return found


def ensemble(
    judges: Mapping[str, Sequence[float | None]], *, standardise: bool = True
) -> list[float | None]:
    """The mean of several judges per row; a judge without a value is left out of its row.

    Standardised, each judge counts the same whatever its scale; a constant judge counts nothing.
    """
    table = np.vstack([_floats(scores) for scores in judges.values()])
    if standardise:
        with np.errstate(invalid="ignore", divide="ignore"):
            centre = np.array([_mean(row) for row in table])[:, None]
            spread = np.array([math.sqrt(_mean((row - _mean(row)) ** 2)) for row in table])[:, None]
            table = np.where(spread > 0, (table - centre) / spread, np.nan)
    return [None if np.isnan(row).all() else _mean(row) for row in table.T]


def _mean(row: Floats) -> float:
    known = row[~np.isnan(row)]
    return float(known.mean()) if len(known) else math.nan


def _floats(values: Sequence[float | None]) -> Floats:
    return np.array([math.nan if value is None else float(value) for value in values], dtype=float)


def _groups(names: Sequence[Hashable]) -> list[NDArray[np.int64]]:
    rows: dict[Hashable, list[int]] = {}
    for at, name in enumerate(names):
        rows.setdefault(name, []).append(at)
    return [np.array(group) for group in rows.values()]


# --- measures: None where one side is constant --------------------------------------------------


def pearson(x: Floats, y: Floats) -> float | None:
    """The product-moment correlation."""
    if _constant(x) or _constant(y):
        return None
    a, b = x - x.mean(), y - y.mean()
    scale = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
    return float(np.clip((a @ b) / scale, -1.0, 1.0)) if scale > 0 else None


def spearman(x: Floats, y: Floats) -> float | None:
    """Pearson's of the ranks, ties getting their mean rank."""
    return pearson(ranks(x), ranks(y))


def kendall(x: Floats, y: Floats) -> float | None:
    """Tau-b, which corrects for ties."""
    if _constant(x) or _constant(y):
        return None
    _, i, counts_x = np.unique(x, return_inverse=True, return_counts=True)
    _, j, counts_y = np.unique(y, return_inverse=True, return_counts=True)
    if len(counts_x) * len(counts_y) <= 2**22:
        net = _net_by_table(i, j, len(counts_x), len(counts_y))
    else:
        net = _net_by_pairs(x, y)
    n_pairs = len(x) * (len(x) - 1) / 2
    untied = [n_pairs - float((c * (c - 1) / 2).sum()) for c in (counts_x, counts_y)]
    return net / math.sqrt(untied[0]) / math.sqrt(untied[1])


def _net_by_table(i: NDArray[Any], j: NDArray[Any], n_x: int, n_y: int) -> float:
    """Concordant minus discordant pairs from the table of counts: ratings have few values."""
    table = np.zeros((n_x, n_y))
    np.add.at(table, (i, j), 1)
    below = np.zeros((n_x + 1, n_y + 1))
    below[1:, 1:] = table.cumsum(0).cumsum(1)
    less = below[:-1, :-1]  # pairs smaller in both
    crossed = below[:-1, -1:] - below[:-1, 1:]  # smaller in x, larger in y
    return float((table * (less - crossed)).sum())


def _net_by_pairs(x: Floats, y: Floats) -> float:
    net = 0.0
    for start in range(0, len(x), 512):  # in blocks: n^2 signs need not be in memory at once
        dx = np.sign(x[start : start + 512, None] - x[None, :])
        dy = np.sign(y[start : start + 512, None] - y[None, :])
        net += float((dx * dy).sum())
    return net / 2


def ranks(x: Floats) -> Floats:
    """Ranks from 1, ties getting their mean rank."""
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[inverse], dtype=float)


def _constant(x: Floats) -> bool:
    return len(x) < 2 or bool((x == x[0]).all())


_MEASURES: Final[Mapping[str, Callable[[Floats, Floats], float | None]]] = {
    "pearson": pearson,
    "spearman": spearman,
    "kendall": kendall,
}


# --- intervals ----------------------------------------------------------------------------------


def _resampled_rows(
    measure: Callable[[Floats, Floats], float | None],
    x: Floats,
    y: Floats,
    clusters: list[NDArray[np.int64]],
    n_bootstrap: int,
    seed: int,
) -> Floats:
    """The measure over all rows of users that are drawn with replacement."""
    if len(clusters) < 2:
        clusters = [np.array([at]) for at in range(len(x))]
    rng = np.random.default_rng(seed)
    # Kendall's is quadratic: fewer samples of a large table give the same interval in less time.
    if measure is kendall:
        n_bootstrap = min(n_bootstrap, max(50, int(2e8 / max(len(x), 1) ** 2)))
    samples = []
    for _ in range(n_bootstrap):
        drawn = rng.integers(len(clusters), size=len(clusters))
        rows = np.concatenate([clusters[at] for at in drawn]) if clusters else np.array([], int)
        value = measure(x[rows], y[rows])
        if value is not None:
            samples.append(value)
    return np.array(samples)


def _resampled_groups(values: Floats, n_bootstrap: int, seed: int) -> Floats:
    if len(values) < 2:
        return np.array([])
    rng = np.random.default_rng(seed)
    return np.asarray(rng.choice(values, (n_bootstrap, len(values))).mean(axis=1))


def _interval(samples: Floats, confidence: float) -> tuple[float | None, float | None]:
    if len(samples) < 2:
        return None, None
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)
