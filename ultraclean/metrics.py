"""The state of a run as Prometheus metrics, for dashboards that several people watch.

Text exposition format 0.0.4, read from the run folder, so it works during a run, after it, and from
another machine. A run is a batch job: write the text where node_exporter's textfile collector looks
(docs/cluster.md), rather than keep a server for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ultraclean.finished import Done
from ultraclean.forecast import look
from ultraclean.pipeline import Pipeline
from ultraclean.summary import stage_counts

FAMILIES: Final = {
    "ultraclean_units": ("gauge", "Units of a segment by state."),
    "ultraclean_documents_in_total": ("counter", "Documents that a stage got."),
    "ultraclean_documents_out_total": ("counter", "Documents that a stage gave on."),
    "ultraclean_documents_dropped_total": ("counter", "Documents dropped, by reason."),
    "ultraclean_stage_seconds_total": ("counter", "Worker seconds spent in a stage."),
    "ultraclean_unit_peak_bytes": ("gauge", "Most memory that a unit of a segment needed."),
}

Sample = tuple[str, Mapping[str, str], float]


def metrics(pipeline: Pipeline, out: str) -> str:
    """The metrics of the run in `out`, finished or not."""
    _, found = look(pipeline, out)
    samples = [sample for name, done in found.items() for sample in _samples(name, done)]
    lines = []
    for family, (kind, told) in FAMILIES.items():
        lines += [f"# HELP {family} {told}", f"# TYPE {family} {kind}"]
        for name, labels, value in samples:
            if name == family:
                inside = ",".join(
                    f'{key}="{_escaped(text)}"'
                    for key, text in {"run": out.rstrip("/"), **labels}.items()
                )
                lines.append(f"{name}{{{inside}}} {value:.17g}")
    return "\n".join(lines)


def _samples(name: str, done: Done) -> Iterator[Sample]:
    segment = {"segment": name}
    n_done = len(done.records)
    yield "ultraclean_units", {**segment, "state": "done"}, n_done
    yield "ultraclean_units", {**segment, "state": "to_do"}, done.n_new
    if n_done:
        peak = max(record.get("peak_bytes", 0) for record in done.records)
        yield "ultraclean_unit_peak_bytes", segment, peak
    if done.segment.kind != "rows":
        return
    for stage in stage_counts(done.records):
        labels = {**segment, "stage": stage["label"]}
        yield "ultraclean_documents_in_total", labels, stage["n_in"]
        yield "ultraclean_documents_out_total", labels, stage["n_out"]
        yield "ultraclean_stage_seconds_total", labels, stage["seconds"]
        for reason, n in stage["reasons"].items():
            yield "ultraclean_documents_dropped_total", {**labels, "reason": reason}, n


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
