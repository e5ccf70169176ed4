"""The page: sections put into the template, with a policy that runs our script and nothing else."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
from string import Template
from typing import Any

from ultraclean.report import cards, documents, measurements, sections
from ultraclean.report.elements import Html, data_block, el, join, text
from ultraclean.report.facts import Facts


def render(facts: Facts) -> str:
    """The whole page."""
    parts = [
        ("alarms", "Alarms", sections.alarms(facts)),
        ("funnel", "Funnel", sections.funnel(facts)),
        ("reasons", "Reasons", documents.reasons(facts)),
        ("measurements", "Measurements", measurements.measurements(facts)),
        ("kept", "Kept text", documents.kept(facts)),
        ("made", "Models and cards", cards.cards(facts)),
        ("time", "Time", sections.times(facts)),
        ("pipeline", "Pipeline", _pipeline(facts)),
    ]
    shown = [(name, title, body) for name, title, body in parts if body is not None]
    style, script = _file("page.css"), _file("page.js")
    return Template(_file("page.html")).substitute(
        policy=text(_policy(style, script)),
        title=text(f"{facts.run.get('name', 'run')}: data curation report"),
        style=style,
        script=script,
        header=sections.header(facts),
        contents=join(el("li", el("a", _titled(facts, *s[:2]), href=f"#{s[0]}")) for s in shown),
        sections=join(
            el(
                "section",
                el("h2", title, id=f"{name}-title"),
                body,
                id=name,
                aria_labelledby=f"{name}-title",
            )
            for name, title, body in shown
        ),
        data=data_block("data", data(facts)),
    )


def data(facts: Facts) -> dict[str, Any]:
    """The page's numbers for programs, and the charts' for its script."""
    hidden = {"card", "folder"}
    segments = facts.run.get("segments", [])
    return {
        "run": {**facts.run, "segments": [_without(segment, hidden) for segment in segments]},
        "charts": {chart.id: chart.data for table in facts.tables for chart in table.charts},
    }


def _without(segment: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {key: value for key, value in segment.items() if key not in names}


def _titled(facts: Facts, name: str, title: str) -> Html:
    n = {
        "alarms": len(facts.alarms),
        "reasons": sum(len(table.reasons) for table in facts.tables),
        "measurements": sum(len(table.charts) for table in facts.tables),
    }.get(name)
    return join([title, el("span", f" {n}", class_="soft") if n else None])


def _pipeline(facts: Facts) -> Html | None:
    return None if facts.pipeline is None else el("pre", "\n", facts.pipeline, class_="yaml")


def _policy(style: str, script: str) -> str:
    """No network, and only our own style and script, known by their hashes."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()


def _file(name: str) -> str:
    return importlib.resources.files("ultraclean.report").joinpath(name).read_text("utf-8").strip()
