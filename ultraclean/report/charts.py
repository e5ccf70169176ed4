"""Measurements as charts: for each, who was kept and who was dropped, in numbers and in SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ultraclean.frame import REPLACED
from ultraclean.report import histogram
from ultraclean.report.elements import number
from ultraclean.report.folder import Dropped, Extent, Numbers
from ultraclean.report.histogram import Bins, Threshold

WIDTH: Final = 320
EDGE: Final = 6
WIDEST: Final = 30
"""A bar is no wider: two bars need no whole line."""


@dataclass(frozen=True)
class Chart:
    """One measurement. Counts are per bin; `by_rule` are dropped by a rule that reads it."""

    id: str
    stage: str | None
    measure: str
    bins: Bins
    kept: NDArray[np.int64]
    by_rule: NDArray[np.int64]
    by_other: NDArray[np.int64]
    medians: tuple[float | None, float | None, float | None]
    thresholds: tuple[Threshold, ...]
    reasons: tuple[str, ...]
    extent: Extent

    @property
    def data(self) -> dict[str, Any]:
        """What the page's script shows under the pointer."""
        edges = [float(f"{edge:.7g}") for edge in self.bins.edges]
        ends = [self.bins.low_open, self.bins.high_open]
        sides = {"kept": self.kept, "rule": self.by_rule, "other": self.by_other}
        return {
            "edges": edges,
            "x": [round(x, 2) for x in self.places],
            "whole": self.bins.whole,
            "open": ends,
            "digits": self.digits,
            **{name: side.tolist() for name, side in sides.items()},
        }

    @property
    def places(self) -> list[float]:
        """Horizontal places of the edges."""
        return [self.place(edge) for edge in self.bins.edges]

    def place(self, value: float) -> float:
        first, last = float(self.bins.edges[0]), float(self.bins.edges[-1])
        if self.bins.log:
            first, last = math.log(first), math.log(last)
            value = math.log(value) if value > 0 else first
        room = min(WIDTH - 2 * EDGE, WIDEST * (len(self.bins.edges) - 1))
        return EDGE + room * (value - first) / (last - first)

    @property
    def digits(self) -> int:
        """Significant digits that tell neighbouring bins apart."""
        if self.bins.log:
            return 3
        width = float(np.diff(self.bins.edges).min())
        most = float(np.abs(self.bins.edges).max())
        return max(3, min(9, math.ceil(math.log10(most / width)) + 1)) if most and width else 3

    def shown(self, value: float | None) -> str:
        return number(value, self.digits)


def charts_of(
    table: str,
    segment: Mapping[str, Any],
    numbers: Numbers,
    dropped: Mapping[tuple[str, str], Dropped],
) -> list[Chart]:
    """The charts of a segment, in the order of its stages; scores that no stage owns come first."""
    labels = [stage["label"] for stage in segment["stages"]]
    owner = {name: _owner(name, labels) for name in numbers.values}
    read_by = _rules(numbers, dropped, owner)
    dropped_rows = (numbers.dropped_by != None) & (numbers.reason != REPLACED)  # noqa: E711
    charts = []
    for place, (name, values) in enumerate(numbers.values.items()):
        label = owner[name]
        gone = dropped_rows if label is None else dropped_rows & (numbers.dropped_by == label)
        rules = read_by.get(name, [])
        ruled = np.zeros(len(values), dtype=bool)
        for stage, reason, _ in rules:
            ruled |= (numbers.dropped_by == stage) & (numbers.reason == reason)
        thresholds = tuple(one for _, _, some in rules for one in some)
        bins = histogram.choose_bins(values, thresholds)
        if bins is None:
            continue
        groups = (values[~gone], values[ruled], values[gone & ~ruled])
        medians = [histogram.summary(group)["median"] for group in groups]
        charts.append(
            Chart(
                id=f"h-{table}-{segment['name'].split('/')[-1]}-{place}",
                stage=label,
                measure=name if label is None else name[len(label) + 1 :],
                bins=bins,
                kept=bins.counts(groups[0]),
                by_rule=bins.counts(groups[1]),
                by_other=bins.counts(groups[2]),
                medians=(medians[0], medians[1], medians[2]),
                thresholds=thresholds,
                reasons=tuple(dict.fromkeys(reason for _, reason, _ in rules)),
                extent=numbers.extent,
            )
        )
    order = {label: place for place, label in enumerate(labels)}
    return sorted(charts, key=lambda chart: (order.get(chart.stage or "", -1), not chart.reasons))


def _owner(name: str, labels: Sequence[str]) -> str | None:
    owners = [label for label in labels if name.startswith(f"{label}.")]
    return max(owners, key=len) if owners else None


def _rules(
    numbers: Numbers,
    dropped: Mapping[tuple[str, str], Dropped],
    owner: Mapping[str, str | None],
) -> dict[str, list[tuple[str, str, list[Threshold]]]]:
    """For each measurement the reasons (stage, reason, thresholds) that were decided by it."""
    found: dict[str, list[tuple[str, str, list[Threshold]]]] = {}
    kept = numbers.dropped_by == None  # noqa: E711
    for (stage, reason), one in dropped.items():
        gone = (numbers.dropped_by == stage) & (numbers.reason == reason)
        if not gone.any():
            continue
        for owners in (stage, None):  # its own measurements, then scores that came before
            measured = {
                name: (values[gone], values[kept])
                for name, values in numbers.values.items()
                if owner[name] == owners
            }
            match = histogram.match_rule(reason, one.drops, measured)
            if match:
                found.setdefault(match[0], []).append((stage, reason, match[1]))
                break
    return found
