"""The charts of all measurements, by stage."""

from __future__ import annotations

import itertools

from ultraclean.report import drawing
from ultraclean.report.charts import Chart
from ultraclean.report.documents import partly_read
from ultraclean.report.elements import Html, el, join, number
from ultraclean.report.facts import Facts


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
            flat = [chart for chart in drawn if len(chart.bins.edges) == 2]
            drawn = [chart for chart in drawn if len(chart.bins.edges) > 2]
            grid = el("div", *(drawing.figure(chart) for chart in drawn), class_="grid")
            is_open = bool(n_rules) or len(drawn) <= 3
            parts.append(
                el("details", summary, grid, _flat_line(flat), class_="group", open=is_open)
            )
        parts.append(partly_read(table.read_numbers, "documents", "Histograms"))
    if not parts:
        return el("p", "No stage measured anything.", class_="calm")
    note = (
        "Each chart counts the documents that reached the stage: kept above the line, dropped below "
        "it, each side to its own scale. A vertical line is a threshold. End bars also hold what lies "
        "beyond them; a bar with a gap is cut short, and its count stands beside it."
    )
    return join([el("p", note, class_="note"), *parts])


def _flat_line(flat: list[Chart]) -> Html | None:
    """Measurements with one value for all documents need no chart."""
    if not flat:
        return None
    shown = [
        join([el("code", one.measure), f" {number(float(one.bins.edges.mean()))}"]) for one in flat
    ]
    return el("p", "The same for all documents: ", join(shown, ", "), class_="note")
