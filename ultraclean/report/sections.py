"""The sections of the page, each a function of the facts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

from ultraclean.report import charts
from ultraclean.report.elements import Html, count, el, join, number, seconds, share, size
from ultraclean.report.facts import Facts, Reason, Table
from ultraclean.report.folder import Extent, Sample

MOST_ROWS: Final = 60
"""Rows of a card that are shown."""
PREVIEW: Final = 220
"""Characters of a text that are shown before it is opened."""


def header(facts: Facts) -> Html:
    run, tables = facts.run, facts.tables
    segments = run.get("segments", [])
    sources = [table for table in tables if table.is_source]
    written = [table for table in tables if table.is_written]
    n_read = sum(table.n_in for table in sources)
    kept = written or tables[-1:]
    n_kept = sum(table.n_out for table in kept)
    n_bytes = sum(_first_segment(segments, table.name).get("n_bytes_in", 0) for table in sources)
    simple = len(sources) == 1 and kept == sources
    places = ", ".join(table.name for table in kept)
    figures = [
        ("Documents read", count(n_read), f"{size(n_bytes)} of text" if n_bytes else ""),
        (
            "Written" if written else "Kept",
            count(n_kept),
            f"{share(n_kept, n_read)} of those read" if simple else f"in {places}",
        ),
        ("Dropped", count(sum(table.n_dropped for table in tables)), _n_reasons(tables)),
        (
            "Worker time",
            seconds(sum(s.get("seconds", 0) for s in segments)),
            _rate(segments, n_read),
        ),
        (
            "Most memory",
            size(max((s.get("peak_bytes", 0) for s in segments), default=0)),
            "of one unit",
        ),
    ]
    versions = run.get("versions", {})
    about = [
        el("time", _date(run.get("finished")), datetime=run.get("finished")),
        join([run.get("executor", "?"), " executor"]),
        *(
            join([name.replace("ultraclean-data", "ultraclean"), " ", v])
            for name, v in versions.items()
        ),
    ]
    return el(
        "header",
        el("p", "Data curation report", class_="kind"),
        el("h1", run.get("name", "run")),
        el("ul", *(el("li", one) for one in about), class_="about"),
        el(
            "dl",
            *(
                el("div", el("dt", name), el("dd", el("b", value), el("span", note)))
                for name, value, note in figures
            ),
            class_="figures",
        ),
    )


def _n_reasons(tables: list[Table]) -> str:
    n = sum(len(stage["reasons"]) for table in tables for stage in table.stages)
    return f"for {n} reason{'' if n == 1 else 's'}"


def _rate(segments: list[dict[str, Any]], n_read: int) -> str:
    total = sum(segment.get("seconds", 0) for segment in segments)
    return f"{number(float(f'{n_read / total:.3g}'))} documents/s" if total else ""


def _date(finished: str | None) -> str:
    return (finished or "").replace("T", " ").replace("Z", " UTC")


def _first_segment(segments: list[dict[str, Any]], table: str) -> dict[str, Any]:
    return next((s for s in segments if s["kind"] == "rows" and s["table"] == table), {})


# --- alarms -------------------------------------------------------------------------------------


def alarms(facts: Facts) -> Html:
    lines = [
        f"{table.name}: {count(table.n_in)} read{_added(table)} = {count(table.n_out)} kept + "
        f"{count(table.n_dropped)} dropped."
        for table in facts.tables
    ]
    if facts.alarms:
        body = el("ul", *(el("li", alarm) for alarm in facts.alarms), class_="alarms")
    else:
        body = el("p", "None. Every document is accounted for.", class_="calm")
    return join([body, el("ul", *(el("li", line) for line in lines), class_="accounts")])


def _added(table: Table) -> str:
    return f" + {count(table.n_added)} added" if table.n_added else ""


# --- funnel -------------------------------------------------------------------------------------


def funnel(facts: Facts) -> Html:
    parts: list[Html | None] = []
    for table in facts.tables:
        if len(facts.tables) > 1:
            parts.append(el("h3", table.name))
        parts.append(_funnel(table))
    return join(parts)


def _funnel(table: Table) -> Html:
    whole = max([1, table.n_in, *(stage["n_in"] + stage["n_added"] for stage in table.stages)])
    rows: list[Html] = []
    for stage in table.stages:
        n_in = stage["n_in"] + stage["n_added"]
        n_out, n_gone = stage["n_out"], sum(stage["reasons"].values())
        rows.append(
            el(
                "tr",
                el("th", stage["label"], scope="row"),
                el("td", count(n_gone) if n_gone else "", class_="n"),
                el("td", share(n_gone, n_in) if n_gone else "", class_="n"),
                el("td", count(n_out), class_="n"),
                el("td", share(n_out, table.n_in), class_="n"),
                el("td", _stage_bar(n_out, n_in, whole), class_="drawn"),
                class_="stage",
            )
        )
        end = n_in
        for reason, n in stage["reasons"].items():
            drawn = charts.bar([("ruled", (end - n) / whole, end / whole)])
            end -= n
            rows.append(
                el(
                    "tr",
                    el("th", reason, scope="row"),
                    el("td", count(n), class_="n"),
                    el("td", share(n, n_in), class_="n"),
                    el("td", class_="n"),
                    el("td", class_="n"),
                    el("td", drawn, class_="drawn"),
                    class_="reason",
                )
            )
    head = (
        ("Stage and reason", None),
        ("Dropped", "n"),
        ("of its input", "n"),
        ("Left", "n"),
        ("of those read", "n"),
        ("", "drawn"),
    )
    return el(
        "table",
        el("caption", f"{table.name}: documents left after each stage", class_="hidden"),
        el("thead", el("tr", *(el("th", name, class_=c, scope="col") for name, c in head))),
        el("tbody", *rows),
        class_="funnel",
    )


def _stage_bar(n_out: int, n_in: int, whole: int) -> Html:
    pieces = [("kept", 0.0, n_out / whole), ("ruled", n_out / whole, n_in / whole)]
    return charts.bar(pieces, f"{count(n_out)} of {count(n_in)} left")


# --- reasons and texts --------------------------------------------------------------------------


def reasons(facts: Facts) -> Html:
    parts: list[Html | None] = []
    for table in facts.tables:
        if not table.reasons:
            continue
        if len(facts.tables) > 1:
            parts.append(el("h3", table.name))
        head = ("Stage", "Reason", "Dropped", "of input", "Threshold", "Median")
        parts.append(
            el("div", *(el("span", name) for name in head), class_="row head", aria_hidden="true")
        )
        parts += [_reason(one) for one in table.reasons]
        parts.append(_read(table.read_dropped, "dropped documents", "Medians and samples"))
    if not parts:
        return el("p", "Nothing was dropped.", class_="calm")
    note = (
        "Counts are exact. Threshold and median are of the measurement that decided. "
        "Open a reason to read documents that it dropped, nearest to the threshold first."
    )
    return join([el("p", note, class_="note"), *parts])


def _reason(one: Reason) -> Html:
    median = one.dropped.median
    cells = (
        ("Stage", el("span", one.stage, class_="stage")),
        ("Reason", el("code", one.reason)),
        ("Dropped", el("span", count(one.n), class_="n")),
        ("of input", el("span", share(one.n, one.n_stage_in), class_="n")),
        ("Threshold", el("span", _thresholds(one), class_="n")),
        ("Median", el("span", number(median), class_="n")),
    )
    row = [el("span", el("i", f"{name} "), cell, class_="cell") for name, cell in cells]
    samples = sorted(one.dropped.samples, key=_distance)
    if samples:
        body = join(_document(sample, one) for sample in samples)
    else:
        body = el(
            "p",
            "No text was kept of these documents, or none was met in the part that was read.",
            class_="note",
        )
    return el(
        "details",
        el("summary", *row, class_="row"),
        el("div", body, class_="documents"),
        class_="reason",
        id=one.id,
    )


def _thresholds(one: Reason) -> str:
    limits = sorted(one.dropped.thresholds)
    if not limits:
        return "–"
    if len(limits) <= 2:
        return ", ".join(number(limit) for limit in limits)
    return f"{number(limits[0])} to {number(limits[-1])}"


def _distance(sample: Sample) -> tuple[float, bytes]:
    if sample.value is None or sample.threshold is None:
        return (-(sample.similarity or 0.0), sample.key)
    return (abs(sample.value - sample.threshold), sample.key)


def _document(sample: Sample, reason: Reason | None = None) -> Html:
    facts: list[Html] = []
    if sample.value is not None:
        limit = "" if sample.threshold is None else f" (threshold {number(sample.threshold)})"
        facts.append(_fact("measured", f"{number(sample.value)}{limit}"))
    if sample.similarity is not None:
        facts.append(_fact("similarity", number(sample.similarity)))
    if sample.detail:
        facts.append(_fact("error", sample.detail))
    facts += [_fact(name, number(value)) for name, value in sample.scores.items()]
    body = _body(sample)
    copy = None
    if sample.same_as is not None:
        found = reason.copies.get(sample.same_as) if reason else None
        if found is None:
            where = "It was not met in the part of the run that was read for this page."
            copy = el(
                "p",
                el("b", "Kept copy "),
                el("code", sample.same_as.hex()),
                ". ",
                where,
                class_="note",
            )
        else:
            copy = el(
                "div",
                el("h6", "The copy that was kept"),
                _origin(found),
                _body(found),
                class_="copy",
            )
            body = el("div", el("h6", "This document"), _origin(sample), body)
    elif sample.url or sample.origin:
        body = join([_origin(sample), body])
    preview = " ".join((sample.text or "").split())[:PREVIEW]
    return el(
        "details",
        el(
            "summary",
            el("span", el("b", _name(sample), dir="auto"), *facts, class_="facts"),
            el("span", preview or "(no text)", class_="preview", dir="auto"),
        ),
        el(
            "div",
            body,
            copy,
            class_="pair"
            if copy is not None and reason and sample.same_as in reason.copies
            else None,
        ),
        class_="document",
    )


def _name(sample: Sample) -> str:
    return sample.id if sample.id else sample.key.hex()[:12]


def _fact(name: str, value: str) -> Html:
    return el("span", el("i", name, " "), value, class_="fact")


def _origin(sample: Sample) -> Html:
    parts = [
        el("bdi", sample.id) if sample.id else None,
        el("bdi", sample.url) if sample.url else None,
        el("bdi", sample.origin) if sample.origin else None,
        el("code", sample.key.hex()),
    ]
    return el("p", join((p for p in parts if p is not None), " · "), class_="origin")


def _body(sample: Sample) -> Html:
    if sample.text is None:
        return el("p", "The text was not kept.", class_="note")
    more = sample.n_chars - len(sample.text)
    rest = el("p", f"{count(more)} more characters", class_="note") if more > 0 else None
    # a line break right after <pre> is not part of the text, so one is given
    return join([el("pre", "\n", sample.text, dir="auto"), rest])


def kept(facts: Facts) -> Html:
    parts: list[Html | None] = []
    for table in facts.tables:
        if table.kept:
            if len(facts.tables) > 1:
                parts.append(el("h3", table.name))
            parts.append(
                el("div", *(_document(sample) for sample in table.kept), class_="documents")
            )
    if not parts:
        return el("p", "No text is at hand.", class_="note")
    note = "The documents with the lowest keys: a random choice that is the same every time."
    return join([el("p", note, class_="note"), *parts])


def _read(extent: Extent, what: str, used: str) -> Html | None:
    if extent.complete:
        return None
    of = f" of about {count(extent.n_all)}" if extent.n_all > extent.n_rows else ""
    said = f"{used} are from {count(extent.n_rows)}{of} {what}, in row groups spread evenly over the files."
    return el("p", said, class_="note")


# --- measurements -------------------------------------------------------------------------------


def measurements(facts: Facts) -> Html:
    parts: list[Html | None] = []
    for table in facts.tables:
        if not table.charts:
            continue
        if len(facts.tables) > 1:
            parts.append(el("h3", table.name))
        for stage, some in itertools.groupby(table.charts, key=lambda chart: chart.stage):
            drawn = list(some)
            n_rules = len({reason for chart in drawn for reason in chart.reasons})
            said = f"{len(drawn)} measurement{'' if len(drawn) == 1 else 's'}"
            said += f", {n_rules} of them with drops" if n_rules and len(drawn) > 1 else ""
            summary = el("summary", el("h4", stage or "Scores"), el("span", said, class_="soft"))
            grid = el("div", *(charts.figure(chart) for chart in drawn), class_="grid")
            is_open = bool(n_rules) or len(drawn) <= 3
            parts.append(el("details", summary, grid, class_="group", open=is_open))
        parts.append(_read(table.read_numbers, "documents", "Histograms"))
    if not parts:
        return el("p", "No stage measured anything.", class_="calm")
    note = (
        "Each chart counts the documents that reached the stage: kept above the line, dropped below "
        "it, each side to its own scale. A vertical line is a threshold. End bars also hold what lies beyond them."
    )
    return join([el("p", note, class_="note"), *parts])


# --- cards --------------------------------------------------------------------------------------


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
        plot = charts.calibration(measured["calibration"])
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
    rows = list(_flat(card))
    body = el("table", el("tbody", *(_card_row(*row) for row in rows[:MOST_ROWS])), class_="card")
    more = (
        el("p", f"{len(rows) - MOST_ROWS} more rows in card.json", class_="note")
        if len(rows) > MOST_ROWS
        else None
    )
    kind = card.get("kind") or segment["name"].split(":")[-1]
    return el(
        "article",
        el("h3", segment["table"], el("span", f" {kind}", class_="soft")),
        head,
        plot,
        body,
        more,
        class_="made",
    )


def _metric(value: float) -> str:
    return count(value) if isinstance(value, int) else f"{value:.3f}"


def _flat(value: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Rows (dotted name, value) of nested facts; long lists and histograms are cut."""
    rows: list[tuple[str, Any]] = []
    for key, inner in value.items():
        name = f"{prefix}{key}"
        if key == "calibration":
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
    is_table = isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
    cell = _inner_table(value[:20]) if is_table else _plain(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return el("tr", el("th", name, scope="row"), el("td", cell, class_="n" if is_number else None))


def _inner_table(rows: list[dict[str, Any]]) -> Html:
    names = list(dict.fromkeys(key for row in rows for key in row))
    return el(
        "table",
        el("thead", el("tr", *(el("th", name, scope="col") for name in names))),
        el(
            "tbody",
            *(el("tr", *(el("td", _plain(row.get(name))) for name in names)) for row in rows),
        ),
    )


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


# --- time ---------------------------------------------------------------------------------------


def times(facts: Facts) -> Html:
    rows: list[tuple[str, str, float, int | None, int]] = []
    for segment in facts.run.get("segments", []):
        spent = segment.get("seconds", 0.0)
        stages = segment.get("stages", [])
        peak = segment.get("peak_bytes", 0)
        if segment["kind"] != "rows":
            name = segment["name"].split(":")[-1]
            said = {"barrier": f"{name}, sketch", "artifact": name, "sink": name}[segment["kind"]]
            rows.append((segment["table"], said, spent, segment.get("n_out"), peak))
            continue
        inside = sum(stage["seconds"] for stage in stages)
        rows.append(
            (segment["table"], "read and store", max(0.0, spent - inside), segment["n_in"], peak)
        )
        for stage in stages:
            if stage["label"] != "read":
                rows.append(
                    (segment["table"], stage["label"], stage["seconds"], stage["n_in"], peak)
                )
    most = max((row[2] for row in rows), default=0) or 1.0
    total = sum(row[2] for row in rows) or 1.0
    head = (
        ("Stage", None),
        ("Time", "n"),
        ("Share", "n"),
        ("Documents/s", "n"),
        ("Peak", "n"),
        ("", "drawn"),
    )
    body: list[Html] = []
    last = None
    for table, name, spent, n_docs, peak in rows:
        if len(facts.tables) > 1 and table != last:
            body.append(el("tr", el("th", table, colspan=6, scope="rowgroup"), class_="table"))
        last = table
        rate = number(float(f"{n_docs / spent:.3g}")) if n_docs and spent >= 0.001 else "–"
        body.append(
            el(
                "tr",
                el("th", name, scope="row"),
                el("td", seconds(spent), class_="n"),
                el("td", share(spent, total), class_="n"),
                el("td", rate, class_="n"),
                el("td", size(peak) if peak else "–", class_="n"),
                el("td", charts.bar([("plain", 0, spent / most)]), class_="drawn"),
            )
        )
    note = "Seconds of all workers together. Peak is the most memory of one unit of the stage's segment."
    return join(
        [
            el("p", note, class_="note"),
            el(
                "table",
                el("caption", "Time of each stage", class_="hidden"),
                el("thead", el("tr", *(el("th", name, class_=c, scope="col") for name, c in head))),
                el("tbody", *body),
                class_="times",
            ),
        ]
    )
