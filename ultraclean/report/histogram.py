"""Histograms of measurements: bins chosen from the values, with an edge at the threshold.

A bar then never holds documents from both sides of a threshold, whole numbers get bins of whole
width, and a long tail goes into the last bin rather than squeezing everything into the first.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

N_BINS: Final = 40


@dataclass(frozen=True)
class Threshold:
    """Where a rule cuts: `comparison` is how a document is kept (`>=`, `>`, `<=`, `<`)."""

    reason: str
    value: float
    comparison: str

    @property
    def edge(self) -> float:
        """The bin edge that has all kept values on one side; bins are [edge, next edge)."""
        value = np.float32(self.value)
        if self.comparison in {">=", "<"}:
            return float(value)
        return float(np.nextafter(value, np.float32(np.inf)))


@dataclass(frozen=True)
class Bins:
    """Edges of bins; values below the first or above the last edge are counted in the end bins."""

    edges: NDArray[np.float64]
    log: bool
    whole: bool
    low_open: bool
    high_open: bool

    def counts(self, values: NDArray[np.float32]) -> NDArray[np.int64]:
        """int64[n_bins]; NaN is not counted."""
        values = values[~np.isnan(values)]
        places = np.searchsorted(self.edges, values, side="right") - 1
        places = np.clip(places, 0, len(self.edges) - 2)
        return np.bincount(places, minlength=len(self.edges) - 1)


def choose_bins(
    values: NDArray[np.float32], thresholds: Sequence[Threshold] = (), n_bins: int = N_BINS
) -> Bins | None:
    """Bins for finite values; None if there is none."""
    values = values[np.isfinite(values)]
    if not len(values):
        return None
    lowest, highest = float(values.min()), float(values.max())
    whole = bool((values == np.round(values)).all()) and highest < 2**24
    cuts = [one.edge for one in thresholds if lowest <= one.value <= highest]
    if whole and highest - lowest <= n_bins:
        edges = np.arange(lowest, highest + 2) - 0.5
        return Bins(edges, False, True, False, False)
    if lowest == highest:
        width = max(abs(lowest) * 0.1, 1e-6)
        return Bins(np.array([lowest - width, lowest + width]), False, whole, False, False)
    low, high = _body(values, cuts)
    if _long_tailed(values, low, high):
        positive = values[values > 0]
        low = min([float(np.quantile(positive, 0.002)), *(cut for cut in cuts if cut > 0)])
        edges = np.exp(_spaced(math.log(low), math.log(high), _logs(cuts), n_bins))
        for cut in [cut for cut in cuts if cut > 0][:1]:  # exactly: exp(log(cut)) rounds
            edges[np.abs(edges / cut - 1) < 1e-9] = cut
        if whole:
            edges = np.unique(np.ceil(edges) - 0.5)
        log = True
    elif whole:
        width = math.ceil((high - low) / n_bins)
        start = math.floor(low)
        if cuts:
            start = math.ceil(cuts[0]) - width * math.ceil((cuts[0] - low) / width)
        n = math.ceil((high + 1 - start) / width)
        edges = start - 0.5 + width * np.arange(n + 1, dtype=np.float64)
        log = False
    else:
        edges = _spaced(low, high, cuts, n_bins)
        log = False
    if len(edges) < 2:
        edges = np.array([low, high])
    if cuts:
        edges = _both_sides(edges, math.ceil(cuts[0]) - 0.5 if whole else cuts[0], lowest, log)
    edges = _end_at(edges, highest)
    return Bins(edges, log, whole, bool(lowest < edges[0]), bool(highest > edges[-1]))


def _body(values: NDArray[np.float32], cuts: Sequence[float]) -> tuple[float, float]:
    """The range to show: all of it, or without the outermost values where these are far away."""
    lowest, highest = float(values.min()), float(values.max())
    low, high = (float(q) for q in np.quantile(values, [0.002, 0.998]))
    room = 0.3 * (high - low)
    low = lowest if low - lowest <= room else low
    high = highest if highest - high <= room else high
    low, high = min([low, *cuts]), max([high, *cuts])
    beyond = 0.06 * (high - low)  # some of what was dropped is to be seen beside a threshold
    low = max(lowest, min([low, *(cut - beyond for cut in cuts)]))
    high = min(highest, max([high, *(cut + beyond for cut in cuts)]))
    return (low, high) if low < high else (lowest, highest)


def _long_tailed(values: NDArray[np.float32], low: float, high: float) -> bool:
    if values.min() < 0 or high <= 0:
        return False
    positive = values[values > 0]
    return len(positive) * 2 > len(values) and high > 20 * float(np.median(positive))


def _logs(cuts: Sequence[float]) -> list[float]:
    return [math.log(cut) for cut in cuts if cut > 0]


def _spaced(low: float, high: float, cuts: Sequence[float], n_bins: int) -> NDArray[np.float64]:
    """Equal bins over a range, shifted so that the first cut is an edge."""
    width = (high - low) / n_bins
    start = low
    if cuts:
        start = cuts[0] - width * math.ceil((cuts[0] - low) / width - 1e-9)
    n = max(1, math.ceil((high - start) / width - 1e-9))
    edges: NDArray[np.float64] = start + width * np.arange(n + 1, dtype=np.float64)
    if cuts:  # exactly: the sum above rounds, and values equal to the threshold are common
        edges[np.abs(edges - cuts[0]) < width * 1e-6] = cuts[0]
    return edges


def _both_sides(
    edges: NDArray[np.float64], cut: float, lowest: float, log: bool
) -> NDArray[np.float64]:
    """A bin on each side of the threshold that has values."""
    if edges[-1] <= cut:
        edges = np.append(edges, 2 * edges[-1] - edges[-2])
    if edges[0] >= cut and lowest < cut:
        first = edges[0] ** 2 / edges[1] if log else 2 * edges[0] - edges[1]
        edges = np.insert(edges, 0, first)
    return edges


def _end_at(edges: NDArray[np.float64], highest: float) -> NDArray[np.float64]:
    """The last bin includes the highest value if that is its upper edge."""
    if edges[-1] == highest:
        edges = edges.copy()
        edges[-1] = np.nextafter(np.float64(highest), np.inf)
    return edges


# --- which rule reads which measurement -----------------------------------------------------------


@dataclass(frozen=True)
class Drops:
    """What dropped/ says of one reason: measured values and thresholds of (a sample of) its rows."""

    values: NDArray[np.float64]
    thresholds: tuple[float, ...]


def match_rule(
    reason: str,
    drops: Drops,
    measured: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]],
) -> tuple[str, list[Threshold]] | None:
    """The measurement that a reason was decided by: its values are those that dropped/ has.

    `measured` holds, for each candidate, the values of the rows that were dropped for the reason
    and of the rows that were kept. The rows need not be those of `drops`, only drawn alike. None
    where no candidate agrees; where several do, the one whose name is most like the reason.
    """
    values = drops.values[np.isfinite(drops.values)]
    limits = [limit for limit in drops.thresholds if math.isfinite(limit)]
    if not len(values) or not limits:
        return None
    low, high = np.float32(min(limits)), np.float32(max(limits))
    below = bool((values <= high).all())
    if not below and not (values >= low).all():
        return None
    at = np.linspace(0, 1, 11)
    ours = np.quantile(values.astype(np.float32), at)
    scale = float(ours[-1] - ours[0]) + 0.01 * abs(float(low)) + 1e-9
    found: list[tuple[float, float, str]] = []
    for name, (gone, kept) in measured.items():
        known, kept = gone[np.isfinite(gone)], kept[np.isfinite(kept)]  # noqa: PLW2901
        if not len(known) or len(known) * 100 < len(gone) * 99:
            continue
        if not (known <= high if below else known >= low).all():
            continue
        if (kept < low if below else kept > high).any():
            continue
        error = float(np.abs(ours - np.quantile(known, at))[1:-1].mean()) / scale
        if error <= (1e-3 if len(known) == len(values) else 0.25):
            alike = difflib.SequenceMatcher(None, reason, name.rsplit(".", 1)[-1]).ratio()
            found.append((round(error, 3), -alike, name))
    if not found:
        return None
    strict = bool((values == (min(limits) if below else max(limits))).any())
    sign = {(True, False): ">=", (True, True): ">", (False, False): "<=", (False, True): "<"}
    few = limits if len(limits) <= 3 else []
    return min(found)[2], [Threshold(reason, limit, sign[below, strict]) for limit in few]


def summary(values: NDArray[np.float32]) -> dict[str, Any]:
    """Count and median of finite values."""
    known = values[np.isfinite(values)]
    return {"n": len(known), "median": float(np.median(known)) if len(known) else None}
