"""Plots of cards: calibration of a classifier, training curves, intervals of an experiment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ultraclean.report.elements import Html, count, el, number, share


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


def curves(given: Mapping[str, Any]) -> Html | None:
    """Lines over tokens: `measure`, and `lines` with `name` and `points` (tokens, value)."""
    lines = [(str(line["name"]), line["points"]) for line in given["lines"] if line["points"]]
    if not lines:
        return None
    xs = [point[0] for _, points in lines for point in points]
    ys = [point[1] for _, points in lines for point in points]
    left, top, wide, high = 44, 8, 420, 200

    def x(value: float) -> float:
        return float(round(left + wide * (value - min(xs)) / ((max(xs) - min(xs)) or 1), 1))

    def y(value: float) -> float:
        return float(round(top + high * (max(ys) - value) / ((max(ys) - min(ys)) or 1.0), 1))

    parts = [el("path", class_="frame", d=f"M{left} {top}V{top + high}H{left + wide}")]
    for value in (min(ys), max(ys)):
        parts.append(el("text", number(value), x=left - 6, y=y(value) + 3.5, text_anchor="end"))
    for value, anchor in ((min(xs), "start"), (max(xs), "end")):
        parts.append(el("text", count(value), x=x(value), y=top + high + 15, text_anchor=anchor))
    for place, (name, points) in enumerate(lines):
        ends = f"{name}: {number(points[0][1], 4)} to {number(points[-1][1], 4)}"
        drawn = " ".join(f"{x(tokens)},{y(value)}" for tokens, value in points)
        colour = f"hsl({(place * 137) % 360} 55% 45%)"
        title = el("title", ends)
        parts.append(el("polyline", title, class_="line", points=drawn, stroke=colour))
        at = top + 12 + 15 * place
        parts.append(el("text", name, class_="key", x=left + wide + 14, y=at, fill=colour))
    tall = max(high + 22, 15 * len(lines) + 10)
    svg = el(
        "svg",
        *parts,
        viewBox=f"0 0 {left + wide + 180} {top + tall}",
        role="img",
        aria_label=f"Training curves: {given['measure']} over tokens",
    )
    said = el("figcaption", f"{given['measure']} of the training text, over tokens")
    return el("figure", svg, said, class_="calibration training")


def intervals(rows: Sequence[Mapping[str, Any]]) -> Html | None:
    """Means with their intervals beside zero, for rows that have `mean`, `low` and `high`."""
    known = [
        row for row in rows if all(_is_number(row.get(key)) for key in ("mean", "low", "high"))
    ]
    if not known:
        return None
    ends = [0.0, *(row[key] for row in known for key in ("mean", "low", "high"))]
    low, high = min(ends), max(ends)
    left, room, step = 110, 200, 22
    height = step * len(known)

    def x(value: float) -> float:
        return float(round(left + 8 + (room - 16) * (value - low) / ((high - low) or 1.0), 1))

    parts = [el("path", class_="ideal", d=f"M{x(0)} 0V{height + 4}")]
    for place, row in enumerate(known):
        y = place * step + step / 2
        name = str(row.get("arm") or row.get("name") or place + 1)
        parts += [
            el("text", name[:18], x=left - 6, y=y + 4, text_anchor="end"),
            el("path", class_="curve", d=f"M{x(row['low'])} {y}H{x(row['high'])}"),
            el("circle", class_="dot", cx=x(row["mean"]), cy=y, r=3.5),
        ]
    for value in sorted({low, 0.0, high}):
        parts.append(el("text", number(value), x=x(value), y=height + 16, text_anchor="middle"))
    svg = el(
        "svg",
        *parts,
        viewBox=f"0 0 {left + room + 10} {height + 22}",
        role="img",
        aria_label="Means with their intervals, beside zero",
    )
    said = "Means with their intervals. Those that cross the dashed line may be nothing."
    return el("figure", svg, el("figcaption", said), class_="calibration")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
