"""The end of a run: run.json, the funnel, and the folders that show what was dropped and measured."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
import time
from typing import TYPE_CHECKING, Any

from ultraclean import storage
from ultraclean.ledger import Record
from ultraclean.progress import duration
from ultraclean.stage import Filter

if TYPE_CHECKING:
    from ultraclean.executors import Executor
    from ultraclean.finished import Done, Finished


def write_run_files(finished: Finished, executor: Executor) -> None:
    """Writes run.json, dropped/, numbers/ and report.html."""
    from ultraclean.publish import publish
    from ultraclean.report import write_report

    publish(finished, executor)
    storage.write_json(storage.join(finished.out, "run.json"), summary(finished, executor.name))
    try:
        write_report(finished.out)
    except Exception as error:
        # The run is finished and recorded; a page about it must not make it look failed.
        again = f"ultraclean report {finished.out}"
        print(f"report.html was not written ({error}); try `{again}`", file=sys.stderr)


def summary(finished: Finished, executor: str) -> Record:
    """What run.json holds: versions, and each segment with its stages' counts."""
    return {
        "format": 1,
        "name": finished.plan.pipeline.name,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "executor": executor,
        "versions": {
            "ultraclean-data": importlib.metadata.version("ultraclean-data"),
            "python": platform.python_version(),
            "pyarrow": importlib.metadata.version("pyarrow"),
        },
        "segments": [_segment(done) for done in finished.done.values()],
        "tables": {
            table: sum(record["n_out"] for record in finished.done[name].records)
            for table, name in finished.plan.rows_of.items()
            if name in finished.done
        },
    }


def _segment(done: Done) -> Record:
    out: Record = {
        "name": done.segment.name,
        "table": done.segment.table,
        "kind": done.segment.kind,
        "reads": list(done.segment.reads),
        "fingerprint": done.fingerprint,
        "digest": done.digest,
        "units": len(done.records),
        "new_units": done.n_new,
        "seconds": sum(record["seconds"] for record in done.records),
        "peak_bytes": max((record["peak_bytes"] for record in done.records), default=0),
    }
    if done.segment.kind == "rows":
        out |= {
            "n_in": sum(record["n_in"] for record in done.records),
            "n_out": sum(record["n_out"] for record in done.records),
            "n_bytes_in": sum(record["n_bytes_in"] for record in done.records),
            "stages": stage_counts(done.records),
        }
        if card := _card(done):
            out["card"] = card
    elif done.segment.kind == "sink":
        out |= {"n_out": sum(record["n_out"] for record in done.records), "folder": done.folder}
    else:
        out |= {"card": done.card, "folder": done.folder}
    return out


def _card(done: Done) -> Record:
    """What the filters of a segment say of the whole run, by their labels, and their alarms."""
    card: Record = {}
    counts = {stage["label"]: stage for stage in stage_counts(done.records)}
    for stage in done.segment.stages:
        if isinstance(stage, Filter) and stage.called in counts:
            n_docs = counts[stage.called]["n_in"]
            found: dict[str, int] = {}
            for record in done.records:
                for one in record["stages"]:
                    if one["label"] == stage.called:
                        for name, n in one.get("found", {}).items():
                            found[name] = found.get(name, 0) + n
            said = stage.card(n_docs, found)
            alarms = said.pop("alarms", [])
            card |= {stage.called: said} if said else {}
            card |= {"alarms": [*card.get("alarms", []), *alarms]} if alarms else {}
    return card


def stage_counts(records: list[Record]) -> list[Record]:
    """Counts of each stage, summed over units."""
    totals: dict[str, dict[str, Any]] = {}
    for record in records:
        for stage in record["stages"]:
            total = totals.setdefault(
                stage["label"],
                {
                    "label": stage["label"],
                    "n_in": 0,
                    "n_added": 0,
                    "n_out": 0,
                    "reasons": {},
                    "seconds": 0.0,
                },
            )
            for key in ("n_in", "n_added", "n_out", "seconds"):
                total[key] += stage[key]
            for reason, n in stage["reasons"].items():
                total["reasons"][reason] = total["reasons"].get(reason, 0) + n
    for total in totals.values():
        total["reasons"] = dict(sorted(total["reasons"].items(), key=lambda pair: -pair[1]))
    return list(totals.values())


def funnel(run: Record) -> str:
    """The table at the end of a run: stage, in, out, seconds, and the reasons under each stage."""
    rows: list[tuple[str, str, str, str, str]] = []
    for segment in run["segments"]:
        for stage in segment.get("stages", ()):
            dropped = sum(stage["reasons"].values())
            if stage["label"] == "read" and not dropped and segment["reads"]:
                continue  # the rows of the segment before, as they are
            name = f"{segment['table']}.{stage['label']}"
            kept = f"{stage['n_out'] / stage['n_in']:.1%}" if stage["n_in"] else "-"
            counts = (f"{stage['n_in']:,}", f"{stage['n_out']:,}", kept)
            rows.append((name, *counts, f"{stage['seconds']:.1f}"))
            for reason, n in stage["reasons"].items():
                rows.append((f"    {reason}", "", f"-{n:,}", "", ""))
        if segment["kind"] == "sink":
            rows.append(
                (segment["name"], "", f"{segment['n_out']:,}", "", f"{segment['seconds']:.1f}")
            )
        elif segment["kind"] == "artifact":
            rows.append((segment["name"], "", "", "", ""))
    header = ("stage", "in", "out", "kept", "seconds")
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(5)]
    lines = []
    for row in [header, *rows]:
        cells = [row[0].ljust(widths[0]), *(row[i].rjust(widths[i]) for i in range(1, 5))]
        lines.append("  ".join(cells).rstrip())
    lines.insert(1, "-" * len(lines[0]))
    for segment in run["segments"]:
        lines += [f"ALARM {alarm}" for alarm in segment.get("card", {}).get("alarms", ())]
    total = sum(segment["seconds"] for segment in run["segments"])
    lines.append(f"worker time {duration(total)}, most memory of a unit {_peak(run)}")
    return "\n".join(lines)


def _peak(run: Record) -> str:
    return f"{max((s['peak_bytes'] for s in run['segments']), default=0) / 2**20:,.0f} MiB"
