"""Measurements and shares as SVG: histograms and bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ultraclean.report.charts import EDGE, WIDTH, Chart
from ultraclean.report.elements import Html, count, el, join
from ultraclean.report.histogram import Bins, Threshold

TOP: Final = 16
ABOVE: Final = 78
BELOW: Final = 44
FOOT: Final = 18
BROKEN: Final = 4.0
"""A bar so many times taller than what fits the others is cut short, with its count beside it."""


def figure(chart: Chart) -> Html:
    """A histogram: kept above the line, dropped below it, a line at each threshold."""
    n_dropped = int(chart.by_rule.sum() + chart.by_other.sum())
    middle = TOP + ABOVE
    bottom = middle + (BELOW if n_dropped else 2)
    height = bottom + FOOT
    kept, (rule, other) = (
        _scaled([chart.kept], ABOVE)[0],
        _scaled([chart.by_rule, chart.by_other], BELOW),
    )
    inside = [
        el("path", class_="kept", d=_bars(chart.places, [middle - h for h in kept], kept)),
        el("path", class_="ruled", d=_bars(chart.places, [middle] * len(rule), rule)),
        el("path", class_="other", d=_bars(chart.places, [middle + h for h in rule], other)),
        el("rect", class_="cursor", x=0, y=TOP, width=0, height=bottom - TOP),
        el("path", class_="axis", d=f"M{EDGE} {middle}H{chart.places[-1]:.1f}"),
        *_breaks(chart, middle),
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


def _top(counts: NDArray[np.int64]) -> tuple[float, int | None]:
    """The count that fills the room, and the bar that does not fit in it, if there is one."""
    tallest, next_one = int(counts.max()), int(np.sort(counts)[-2:][0])
    fitting = max(1.5 * next_one, 0.005 * int(counts.sum()))
    if len(counts) > 2 and tallest > BROKEN * fitting:
        return fitting, int(counts.argmax())
    return float(max(1, tallest)), None


def _scaled(sides: Sequence[NDArray[np.int64]], room: float) -> list[list[float]]:
    """Heights of stacked bars; what is not nothing is seen, what is too tall fills the room."""
    total = np.sum(sides, axis=0)
    most, _ = _top(total)
    out = []
    for side in sides:
        scale = np.minimum(room / most, room / np.maximum(total, 1))
        heights = np.where(side > 0, np.maximum(1.0, side * scale), 0.0)
        out.append([round(height, 2) for height in heights.tolist()])
    return out


def _breaks(chart: Chart, middle: float) -> list[Html]:
    """A gap in each bar that was cut short, and its count."""
    out = []
    dropped = chart.by_rule + chart.by_other
    for counts, y in ((chart.kept, TOP + 13.0), (dropped, middle + BELOW - 13.0)):
        _, place = _top(counts)
        if place is None:
            continue
        left, right = chart.places[place], chart.places[place + 1]
        out.append(
            el("path", class_="gap", d=f"M{left - 1:.1f} {y + 2.5}L{right + 1:.1f} {y - 2.5}")
        )
        is_left = right < WIDTH * 0.7
        x, anchor = (right + 4, "start") if is_left else (left - 4, "end")
        label = el("text", count(int(counts[place])), x=round(x, 1), y=y + 3.5, text_anchor=anchor)
        out.append(label)
    return out


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
            label = f"{_sign(one)} {chart.shown(one.value)}"
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
        label = chart.shown(value)
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
        found = [round(i * step, 12) + 0.0 for i in range(first, math.floor(high / step) + 1)]
    return [value for value in found if low <= value <= high]


def _sign(one: Threshold) -> str:
    return {">=": "≥", "<=": "≤"}.get(one.comparison, one.comparison)


def _rule_line(chart: Chart) -> Html:
    if not chart.reasons:
        return el("p", "no rule dropped by it", class_="rule none")
    shown: list[object] = []
    for reason in chart.reasons:
        limits = [one for one in chart.thresholds if one.reason == reason]
        kept = " and ".join(f"{_sign(one)} {chart.shown(one.value)}" for one in limits)
        said = f" keeps {kept}" if limits else " has a threshold for each document"
        shown.append(join([el("code", reason), said]))
    return el("p", join(shown, ", "), class_="rule")


def _legend(chart: Chart) -> Html:
    other = "by other rules" if chart.reasons else "dropped"
    if chart.stage is None:
        other = "dropped later"
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
                    el("span", el("i", class_=f"key {class_}"), label, " "),
                    el("b", count(n)),
                    el("span", f" median {chart.shown(median)}"),
                )
            )
    return el("ul", *items, class_="legend")


def _spoken(chart: Chart) -> str:
    n_dropped = int(chart.by_rule.sum() + chart.by_other.sum())
    return (
        f"Histogram of {chart.measure}: {count(int(chart.kept.sum()))} kept, median "
        f"{chart.shown(chart.medians[0])}; {count(n_dropped)} dropped. Arrow keys read the bars."
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
