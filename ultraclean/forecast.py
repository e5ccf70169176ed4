"""What a run would do, without doing it: segments, shards, columns, and what is reused."""

from __future__ import annotations

from ultraclean.engine import Engine
from ultraclean.finished import Done
from ultraclean.pipeline import Pipeline
from ultraclean.plan import Plan, Segment, make_plan


def look(pipeline: Pipeline, out: str) -> tuple[Plan, dict[str, Done]]:
    """The plan, and of each segment that can be looked at what is there already.

    A segment whose upstream is unfinished is missing: its units are not known yet. Of rounds, all
    are looked at, though a run may end them sooner.
    """
    plan = make_plan(pipeline)
    engine = Engine(pipeline, out, None)
    for segment in plan.segments:
        needed = [
            *segment.reads,
            *segment.models,
            *([segment.verdicts] if segment.verdicts else []),
        ]
        if all(name in engine.done and not engine.done[name].n_new for name in needed):
            engine.done[segment.name] = engine.segment(plan, segment)
    return plan, engine.done


def forecast(pipeline: Pipeline, out: str) -> str:
    """The plan as text."""
    plan, done = look(pipeline, out)
    lines: list[str] = []
    table = ""
    for segment in plan.segments:
        if segment.table != table:
            table = segment.table
            lines += ["", f"table {table}"]
        lines += [f"  {line}" for line in _segment(segment, done.get(segment.name))]
    return "\n".join(lines).strip("\n")


def _segment(segment: Segment, done: Done | None) -> list[str]:
    stages = [stage.called for stage in segment.stages]
    if segment.source is not None:
        reads = ", ".join(name.split("/")[0] for name in segment.reads)
        first = segment.source.called if not reads else f"read {reads}"
        if segment.barrier is not None:
            first = f"apply {segment.barrier.called}"
        stages = [first, *stages]
    lines = [f"{segment.name}  ({segment.kind})  {_state(done)}", f"    {' > '.join(stages)}"]
    if segment.kind == "rows":
        before, after = segment.columns_in, segment.columns_out
        added = [f"{name} ({after[name]})" for name in after if name not in before]
        lines.append(f"    in:  {', '.join(name for name in before if not name.startswith('_'))}")
        if added:
            lines.append(f"    adds: {', '.join(added)}")
    return lines


def _state(done: Done | None) -> str:
    if done is None:
        return "new (waits for what it reads)"
    n_units = len(done.units) or len(done.records)
    if done.n_new == 0:
        return f"reused, {n_units} units" if n_units else "reused"
    if n_units:
        size = sum(part.size for unit in done.units for part in unit.shard.parts) / 1e6
        reused = f"{n_units - done.n_new} reused, " if done.n_new < n_units else ""
        return f"{n_units} shards ({size:,.1f} MB), {reused}{done.n_new} to do"
    return "new"
