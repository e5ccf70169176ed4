"""Reasons with documents that they dropped, and documents that were kept."""

from __future__ import annotations

from typing import Final

from ultraclean.report.elements import Html, apart, count, el, join, number, share
from ultraclean.report.facts import Facts, Reason
from ultraclean.report.folder import Extent, Sample

PREVIEW: Final = 220
"""Characters of a text that are shown before it is opened."""


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
        parts.append(partly_read(table.read_dropped, "dropped documents", "Medians and samples"))
    if not parts:
        return el("p", "Nothing was dropped.", class_="calm")
    note = (
        "Counts are exact. Threshold and median are of the measurement that decided. "
        "Open a reason to read documents that it dropped, nearest to the threshold first."
    )
    return join([el("p", note, class_="note"), *parts])


def _reason(one: Reason) -> Html:
    limit, middle = _thresholds(one), number(one.dropped.median)
    if len(one.dropped.thresholds) == 1 and one.dropped.median is not None:
        limit, middle = apart(min(one.dropped.thresholds), one.dropped.median)
    cells = (
        ("Stage", el("span", one.stage, class_="stage")),
        ("Reason", el("code", one.reason)),
        ("Dropped", el("span", count(one.n), class_="n")),
        ("of input", el("span", share(one.n, one.n_stage_in), class_="n")),
        ("Threshold", el("span", limit, class_="n")),
        ("Median", el("span", middle, class_="n")),
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
        shown, limit = apart(sample.value, sample.threshold or 0.0)
        known = sample.threshold is not None
        facts.append(_fact("measured", f"{shown} (threshold {limit})" if known else shown))
    if sample.similarity is not None:
        facts.append(_fact("similarity", number(sample.similarity)))
    if sample.detail:
        is_error = reason is not None and reason.reason.startswith("error:")
        facts.append(_fact("error" if is_error else "found", sample.detail))
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
    words = " ".join((sample.text or "").split())
    preview = words if len(words) <= PREVIEW else f"{words[:PREVIEW].rsplit(' ', 1)[0]}…"
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


def partly_read(extent: Extent, what: str, used: str) -> Html | None:
    if extent.complete:
        return None
    of = f" of about {count(extent.n_all)}" if extent.n_all > extent.n_rows else ""
    said = f"{used} are from {count(extent.n_rows)}{of} {what}, in row groups spread evenly over the files."
    return el("p", said, class_="note")
