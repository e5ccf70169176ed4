"""What a report says of a run, gathered once: counts, alarms, reasons, charts, samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ultraclean.report.charts import Chart, charts_of
from ultraclean.report.elements import count, share
from ultraclean.report.folder import Dropped, Extent, RunFolder, Sample

MOST_DROPPED: Final = 0.95
"""A stage that drops more than this is worth a look."""


@dataclass
class Reason:
    """One reason of one stage: exact count, and what was read of its documents."""

    id: str
    stage: str
    reason: str
    n: int
    n_stage_in: int
    dropped: Dropped
    copies: dict[bytes, Sample] = field(default_factory=dict)


@dataclass
class Table:
    """One table of a run."""

    name: str
    is_source: bool  # reads files rather than tables
    is_written: bool
    n_in: int
    n_added: int
    n_out: int
    stages: list[dict[str, Any]]
    seconds: float
    reasons: list[Reason] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    kept: list[Sample] = field(default_factory=list)
    read_dropped: Extent = field(default_factory=Extent)
    read_numbers: Extent = field(default_factory=Extent)

    @property
    def n_dropped(self) -> int:
        return sum(sum(stage["reasons"].values()) for stage in self.stages)


@dataclass
class Facts:
    """Everything that the page shows."""

    run: dict[str, Any]
    pipeline: str | None
    tables: list[Table]
    alarms: list[str]


def gather(folder: RunFolder) -> Facts:
    """Reads a run folder; parts that are missing are left out of the page."""
    tables = [_table(folder, name) for name in folder.tables()]
    n_reasons = sum(len(stage["reasons"]) for table in tables for stage in table.stages)
    n_samples = max(2, min(10, 400 // max(1, n_reasons)))
    for table in tables:
        _look(folder, table, n_samples)
    return Facts(folder.run, folder.pipeline, tables, alarms(folder.run, tables))


def _table(folder: RunFolder, name: str) -> Table:
    segments = folder.rows_segments(name)
    stages = [
        stage
        for place, segment in enumerate(segments)
        for stage in segment["stages"]
        if place == 0 or stage["label"] != "read" or stage["reasons"]
    ]
    return Table(
        name=name,
        is_source=not segments[0].get("reads"),
        is_written=any(s["kind"] == "sink" and s["table"] == name for s in folder.segments),
        n_in=segments[0]["n_in"],
        n_added=sum(stage["n_added"] for stage in stages),
        n_out=segments[-1]["n_out"],
        stages=stages,
        seconds=sum(s["seconds"] for s in folder.segments if s["table"] == name),
    )


def _look(folder: RunFolder, table: Table, n_samples: int) -> None:
    """Fills in what has to be read from Parquet."""
    before: dict[str, Any] | None = None
    for segment in folder.rows_segments(table.name):
        dropped, extent = folder.dropped(table.name, segment, n_samples)
        table.read_dropped = _plus(table.read_dropped, extent)
        mine = [
            Reason(
                id=f"r-{table.name}-{segment['name'].split('/')[-1]}-{place}-{number}",
                stage=stage["label"],
                reason=reason,
                n=n,
                n_stage_in=stage["n_in"] + stage["n_added"],
                dropped=dropped.get((stage["label"], reason), Dropped()),
            )
            for place, stage in enumerate(segment["stages"])
            for number, (reason, n) in enumerate(stage["reasons"].items())
        ]
        table.reasons += mine
        wanted = {s.same_as for r in mine for s in r.dropped.samples if s.same_as is not None}
        if wanted and before is not None:
            copies = folder.find(before, wanted)
            for one in mine:
                one.copies = copies
        numbers = folder.numbers(table.name, segment)
        if numbers is not None:
            table.charts += charts_of(table.name, segment, numbers, dropped)
            table.read_numbers = _plus(table.read_numbers, numbers.extent)
        before = segment
    table.reasons.sort(key=lambda one: -one.n)
    table.kept = folder.kept(table.name, n_samples)


def _plus(one: Extent, other: Extent) -> Extent:
    return Extent(
        one.n_rows + other.n_rows, one.n_all + other.n_all, one.complete and other.complete
    )


# --- alarms -------------------------------------------------------------------------------------


def alarms(run: Mapping[str, Any], tables: list[Table]) -> list[str]:
    """What a person should look at before trusting the result."""
    found = [
        str(alarm)
        for segment in run.get("segments", [])
        for alarm in card_alarms(segment.get("card") or {})
    ]
    for table in tables:
        found += unaccounted(run, table)
        if table.n_out == 0:
            found.append(f"{table.name} ended with no document.")
        errors = {
            f"{stage['label']} {reason}": n
            for stage in table.stages
            for reason, n in stage["reasons"].items()
            if reason.startswith("error:")
        }
        if errors:
            most = max(errors, key=lambda name: errors[name])
            found.append(
                f"{table.name}: {count(sum(errors.values()))} of {count(table.n_in)} documents "
                f"({share(sum(errors.values()), table.n_in)}) could not be read or processed, "
                f"most often {most} ({count(errors[most])})."
            )
        for stage in table.stages:
            n_in, n = stage["n_in"] + stage["n_added"], sum(stage["reasons"].values())
            if n > MOST_DROPPED * n_in > 0 and table.n_out:
                found.append(
                    f"{table.name}: {stage['label']} dropped {share(n, n_in)} of the "
                    f"{count(n_in)} documents that reached it."
                )
    return found


def card_alarms(card: Mapping[str, Any]) -> list[object]:
    """What a card warns of: its `alarms`, its `warnings`, and why it is not valid."""
    found: list[object] = []
    for key in ("alarms", "warnings"):
        some = card.get(key) or []
        found += some if isinstance(some, list) else [some]
    if card.get("valid") is False:
        found.append(card.get("reason") or "a card says that it is not valid")
    return found


def unaccounted(run: Mapping[str, Any], table: Table) -> list[str]:
    """Where counts do not add up: read + added = kept + dropped, and what is written is kept."""
    found = []
    n_end = table.n_in + table.n_added - table.n_dropped
    if n_end != table.n_out:
        found.append(
            f"{table.name}: the counts do not add up: {count(table.n_in)} documents were read, "
            f"{count(table.n_added)} added, {count(table.n_dropped)} dropped, which does not "
            f"leave the {count(table.n_out)} that were kept."
        )
    for segment in run.get("segments", []):
        is_mine = segment["kind"] == "sink" and segment["table"] == table.name
        if is_mine and segment["n_out"] != table.n_out:
            found.append(
                f"{segment['name']} wrote {count(segment['n_out'])} documents, but "
                f"{count(table.n_out)} were kept."
            )
    return found
