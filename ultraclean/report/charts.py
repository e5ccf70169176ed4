"""Measurements as charts: for each, who was kept and who was dropped, in numbers and in SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ultraclean.report import histogram
from ultraclean.report.elements import Html, count, el, join, number, share
from ultraclean.report.folder import Dropped, Extent, Numbers
from ultraclean.report.histogram import Bins, Threshold

WIDTH: Final = 320
EDGE: Final = 6
TOP: Final = 16
ABOVE: Final = 78
BELOW: Final = 44
FOOT: Final = 18


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
        return EDGE + (WIDTH - 2 * EDGE) * (value - first) / (last - first)


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
    charts = []
    for place, (name, values) in enumerate(numbers.values.items()):
        label = owner[name]
        gone = numbers.dropped_by != None if label is None else numbers.dropped_by == label  # noqa: E711
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
    for (stage, reason), one in dropped.items():
        gone = (numbers.dropped_by == stage) & (numbers.reason == reason)
        if not gone.any():
            continue
        for owners in (stage, None):  # its own measurements, then scores that came before
            measured = {n: v[gone] for n, v in numbers.values.items() if owner[n] == owners}
            match = histogram.match_rule(reason, one.drops, measured)
            if match:
                found.setdefault(match[0], []).append((stage, reason, match[1]))
                break
    return found


# --- drawing ------------------------------------------------------------------------------------


def figure(chart: Chart) -> Html:
    """A histogram: kept above the line, dropped below it, a line at each threshold."""
    n_dropped = int(chart.by_rule.sum() + chart.by_other.sum())
    middle = TOP + ABOVE
    bottom = middle + (BELOW if n_dropped else 2)
    height = bottom + FOOT
    tallest = max(1, int(chart.kept.max()))
    deepest = max(1, int((chart.by_rule + chart.by_other).max()))
    rule = _depths(chart.by_rule, deepest, BELOW)
    other = _depths(chart.by_other, deepest, BELOW)
    kept = _depths(chart.kept, tallest, ABOVE)
    inside = [
        el("path", class_="kept", d=_bars(chart.places, [middle - h for h in kept], kept)),
        el("path", class_="ruled", d=_bars(chart.places, [middle] * len(rule), rule)),
        el("path", class_="other", d=_bars(chart.places, [middle + h for h in rule], other)),
        el("rect", class_="cursor", x=0, y=TOP, width=0, height=bottom - TOP),
        el("path", class_="axis", d=f"M{EDGE} {middle}H{WIDTH - EDGE}"),
        *_ticks(chart, bottom),
        *_lines(chart, bottom),
    ]
    svg = el(
        "svg",
        *inside,
        viewBox=f"0 0 {WIDTH} {height}",
        role="img",
        tabindex=0,
        aria_label=_spoken(chart),
        data_chart=chart.id,
    )
    return el(
        "figure",
        el("figcaption", el("h5", chart.measure), _rule_line(chart)),
        svg,
        _legend(chart),
        el("p", class_="readout", aria_live="polite"),
        class_="histogram",
    )


def _depths(counts: NDArray[np.int64], most: int, room: int) -> list[float]:
    """Heights of bars; what is not nothing is seen."""
    return [0.0 if n == 0 else max(1.0, round(n / most * room, 2)) for n in counts.tolist()]


def _bars(places: Sequence[float], tops: Sequence[float], heights: Sequence[float]) -> str:
    gap = 0.7 if len(places) > 2 and places[1] - places[0] > 4 else 0.25
    parts = []
    for left, right, top, height in zip(places, places[1:], tops, heights, strict=False):
        if height:
            width = max(0.6, right - left - gap)
            parts.append(f"M{left:.1f} {top:.1f}h{width:.1f}v{height:.1f}h-{width:.1f}z")
    return "".join(parts)


def _lines(chart: Chart, bottom: float) -> list[Html]:
    first, last = float(chart.bins.edges[0]), float(chart.bins.edges[-1])
    out = []
    for one in chart.thresholds:
        at = _cut(chart, one)
        if first <= at <= last:
            x = chart.place(at)
            anchor = "start" if x < WIDTH * 0.7 else "end"
            shift = 4 if anchor == "start" else -4
            out.append(el("path", class_="cut", d=f"M{x:.1f} 3V{bottom}"))
            label = f"{_sign(one)} {number(one.value)}"
            out.append(
                el("text", label, class_="cut", x=round(x + shift, 1), y=11, text_anchor=anchor)
            )
    return out


def _cut(chart: Chart, one: Threshold) -> float:
    """Where the line stands: between whole numbers where bins hold whole numbers."""
    if not chart.bins.whole:
        return one.edge
    near = np.abs(chart.bins.edges - math.ceil(one.edge) + 0.5)
    return float(chart.bins.edges[int(near.argmin())]) if near.min() < 0.51 else one.value


def _ticks(chart: Chart, bottom: float) -> list[Html]:
    out = []
    last = -100.0
    values = tick_values(chart.bins)
    for value in values:
        x = chart.place(value)
        label = number(value)
        half = 3.2 * len(label)
        if x - half < last + 6:
            continue
        anchor = "start" if x - half < 0 else "end" if x + half > WIDTH else "middle"
        last = x + (2 * half if anchor == "start" else half)
        out.append(el("path", class_="tick", d=f"M{x:.1f} {bottom}v4"))
        out.append(el("text", label, x=round(x, 1), y=bottom + 15, text_anchor=anchor))
    return out


def tick_values(bins: Bins) -> list[float]:
    """About five round numbers inside the bins."""
    low, high = float(bins.edges[0]), float(bins.edges[-1])
    if bins.log:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        steps = (1,) if high / low > 1e3 else (1, 3) if high / low > 30 else (1, 2, 5)
        found = [step * 10.0**power for power in decades for step in steps]
    else:
        rough = (high - low) / 4.5
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough)
        step = max(step, 1.0) if bins.whole else step
        first = math.ceil(low / step)
        found = [round(i * step, 10) + 0.0 for i in range(first, math.floor(high / step) + 1)]
    return [value for value in found if low <= value <= high]


def _sign(one: Threshold) -> str:
    return {">=": "≥", "<=": "≤"}.get(one.comparison, one.comparison)


def _rule_line(chart: Chart) -> Html:
    if not chart.reasons:
        return el("p", "no rule dropped by it", class_="rule none")
    shown: list[object] = []
    for reason in chart.reasons:
        limits = [one for one in chart.thresholds if one.reason == reason]
        kept = " and ".join(f"{_sign(one)} {number(one.value)}" for one in limits)
        said = f" keeps {kept}" if limits else " has a threshold for each document"
        shown.append(join([el("code", reason), said]))
    return el("p", join(shown, ", "), class_="rule")


def _legend(chart: Chart) -> Html:
    other = "by other rules" if chart.reasons else "dropped"
    if chart.stage is None:
        other = "dropped later" if chart.reasons else "dropped by a later stage"
    sides = (
        ("kept", "kept", chart.kept, chart.medians[0]),
        ("ruled", "dropped by it", chart.by_rule, chart.medians[1]),
        ("other", other, chart.by_other, chart.medians[2]),
    )
    items = []
    for class_, label, counts, median in sides:
        n = int(counts.sum())
        if n or class_ == "kept":
            items.append(
                el(
                    "li",
                    el("span", class_=f"key {class_}"),
                    f"{label} ",
                    el("b", count(n)),
                    el("span", f" median {number(median)}", class_="soft") if n else None,
                )
            )
    return el("ul", *items, class_="legend")


def _spoken(chart: Chart) -> str:
    n_dropped = int(chart.by_rule.sum() + chart.by_other.sum())
    return (
        f"Histogram of {chart.measure}: {count(int(chart.kept.sum()))} kept, median "
        f"{number(chart.medians[0])}; {count(n_dropped)} dropped. Arrow keys read the bars."
    )


def bar(pieces: Sequence[tuple[str, float, float]], label: str | None = None) -> Html:
    """A bar of pieces (class, start, end) on 0 to 1; what is not nothing is seen."""
    shapes = []
    for class_, start, end in pieces:
        if end > start:
            width = max(2.0, (end - start) * 1000)
            left = min(start * 1000, 1000 - width)
            shapes.append(
                el("rect", class_=class_, x=round(left, 1), y=0, width=round(width, 1), height=10)
            )
    return el(
        "svg",
        *shapes,
        viewBox="0 0 1000 10",
        preserveAspectRatio="none",
        class_="bar",
        role="img" if label else None,
        aria_label=label,
        aria_hidden=None if label else "true",
    )


def calibration(bins: Sequence[Mapping[str, Any]]) -> Html | None:
    """Mean predicted probability against the share of positives; the area of a dot is its count."""
    known = [b for b in bins if b.get("n") and b.get("mean") is not None]
    known = [b for b in known if b.get("positive") is not None]
    if not known:
        return None
    room, left, top = 200, 34, 8
    most = max(b["n"] for b in known)

    def x(value: float) -> float:
        return round(left + room * value, 1)

    def y(value: float) -> float:
        return round(top + room * (1 - value), 1)

    parts = [
        el("path", class_="frame", d=f"M{left} {top}V{top + room}H{left + room}"),
        el("path", class_="ideal", d=f"M{x(0)} {y(0)}L{x(1)} {y(1)}"),
        el(
            "polyline",
            class_="curve",
            points=" ".join(f"{x(b['mean'])},{y(b['positive'])}" for b in known),
        ),
    ]
    for value in (0.0, 0.5, 1.0):
        parts += [
            el("text", number(value), x=x(value), y=top + room + 15, text_anchor="middle"),
            el("text", number(value), x=left - 6, y=y(value) + 3.5, text_anchor="end"),
        ]
    for b in known:
        title = f"{count(b['n'])} documents: mean {number(b['mean'])}, positive {share(b['positive'], 1)}"
        radius = round(2 + 7 * math.sqrt(b["n"] / most), 1)
        dot = el("title", title)
        parts.append(
            el("circle", dot, class_="dot", cx=x(b["mean"]), cy=y(b["positive"]), r=radius)
        )
    svg = el(
        "svg",
        *parts,
        viewBox=f"0 0 {left + room + 12} {top + room + 22}",
        role="img",
        aria_label="Calibration: predicted probability against the share of positives",
    )
    said = "Predicted probability (across) and share of positives (up) on held-out documents. On the dashed line the two agree."
    return el("figure", svg, el("figcaption", said), class_="calibration")
