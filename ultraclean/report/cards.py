"""What barriers and artifacts say of themselves: their cards as tables, with a plot where one helps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ultraclean.report import plots
from ultraclean.report.elements import Html, count, el, join, number
from ultraclean.report.facts import Facts

MOST_ROWS: Final = 60
"""Facts of a card that are shown."""
MOST_INNER: Final = 20
"""Rows of a table inside a card that are shown."""


def cards(facts: Facts) -> Html | None:
    parts = [
        _card(segment)
        for segment in facts.run.get("segments", [])
        if isinstance(segment.get("card"), dict) and segment["card"]
    ]
    return join(parts) if parts else None


def _card(segment: Mapping[str, Any]) -> Html:
    card = {key: value for key, value in segment["card"].items() if key != "alarms"}
    measured = next((v for v in card.values() if isinstance(v, dict) and "calibration" in v), None)
    head, plot = None, None
    if measured is not None:
        plot = plots.calibration(measured["calibration"])
        names = ("precision", "recall", "f1", "auc", "accuracy", "n")
        known = [(n, measured[n]) for n in names if isinstance(measured.get(n), int | float)]
        head = el(
            "dl",
            *(
                el(
                    "div",
                    el("dt", {"n": "held out", "f1": "F1", "auc": "AUC"}.get(name, name)),
                    el("dd", el("b", _metric(value))),
                )
                for name, value in known
            ),
            class_="figures small",
        )
    rows = _flat(card)
    plain = [row for row in rows if not _is_table(row[1])]
    body = el("dl", *(_card_row(*row) for row in plain[:MOST_ROWS]), class_="card")
    forest = [plots.intervals(value) for _, value in rows if _is_table(value)]
    inner = [_inner_table(name, value) for name, value in rows if _is_table(value)]
    n_more = len(plain) - MOST_ROWS
    more = el("p", f"{n_more} more in card.json", class_="note") if n_more > 0 else None
    kind = card.get("kind") or segment["name"].split(":")[-1]
    return el(
        "article",
        el("h3", segment["table"], el("span", f" {kind}", class_="soft")),
        head,
        plot,
        body,
        more,
        *(plots.curves(one) for one in card.get("curves") or []),
        *forest,
        *inner,
        class_="made",
    )


def _metric(value: float) -> str:
    return count(value) if isinstance(value, int) else f"{value:.3f}"


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Rows (dotted name, value) of nested facts; long lists and histograms are cut."""
    rows: list[tuple[str, Any]] = []
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if key in ("calibration", "curves"):
            continue
        if isinstance(inner, dict) and inner and all(str(k).isdigit() for k in inner):
            shown = [f"{count(int(k))}: {_plain(v)}" for k, v in list(inner.items())[:8]]
            rest = f", and {len(inner) - 8} more" if len(inner) > 8 else ""
            rows.append((name, ", ".join(shown) + rest))
        elif isinstance(inner, dict):
            rows += _flat(inner, f"{name}.")
        else:
            rows.append((name, inner))
    return rows


def _card_row(name: str, value: Any) -> Html:
    has_lines = isinstance(value, str) and "\n" in value.strip()
    cell = el("pre", "\n", value.strip("\n")[:4000]) if has_lines else _plain(value)
    return el("div", el("dt", name), el("dd", cell), class_="wide" if has_lines else None)


def _is_table(value: Any) -> bool:
    return bool(value) and isinstance(value, list) and all(isinstance(one, dict) for one in value)


def _inner_table(name: str, rows: list[dict[str, Any]]) -> Html:
    names = [
        key
        for key in dict.fromkeys(key for row in rows for key in row)
        if not any(isinstance(row.get(key), list | dict) for row in rows)
    ]
    head = el("tr", *(el("th", one, scope="col") for one in names))
    body = (el("tr", *(_inner_cell(row.get(one)) for one in names)) for row in rows[:MOST_INNER])
    more = (
        el("p", f"{len(rows) - MOST_INNER} more rows in card.json", class_="note")
        if len(rows) > 20
        else None
    )
    table = el("table", el("caption", name), el("thead", head), el("tbody", *body))
    return el("div", table, more, class_="inner")


def _inner_cell(value: Any) -> Html:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return el("td", _plain(value), class_="n" if is_number else None)


def _plain(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, list):
        shown = ", ".join(_plain(one) for one in value[:12])
        return shown + (f", and {len(value) - 12} more" if len(value) > 12 else "")
    shown = str(value)
    return shown if len(shown) <= 600 else shown[:599] + "…"
