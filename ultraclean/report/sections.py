"""The sections that are made of counts: header, alarms, funnel, times."""

from __future__ import annotations

from typing import Any

from ultraclean.report import drawing
from ultraclean.report.elements import Html, count, el, join, number, seconds, share, size
from ultraclean.report.facts import Facts, Table


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
    sign = "+" if table.n_added > 0 else "−"
    return f" {sign} {count(abs(table.n_added))} by stages that make rows" if table.n_added else ""


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
            drawn = drawing.bar([("ruled", (end - n) / whole, end / whole)])
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
    return drawing.bar(pieces, f"{count(n_out)} of {count(n_in)} left")


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
            took = (segment.get("card") or {}).get("seconds")
            if not spent and isinstance(took, dict) and isinstance(took.get("all"), int | float):
                spent = took["all"]  # an artifact has no units; its card says how long it took
            rows.append((segment["table"], said, spent, segment.get("n_out"), peak))
            continue
        inside = sum(stage["seconds"] for stage in stages if stage["label"] != "read")
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
                el("td", drawing.bar([("plain", 0, spent / most)]), class_="drawn"),
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
