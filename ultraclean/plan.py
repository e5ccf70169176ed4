"""A pipeline as segments: what runs together, what it reads, which columns go in and out.

Segments are maximal runs of row-local stages between a source, a barrier, a sink, an artifact, or
a change of hardware. All are known before anything runs; their fingerprints follow as their
upstreams finish (an artifact's digest, a barrier's verdicts).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from ultraclean import catalog, storage
from ultraclean.document import KEY, KEY_TYPE, SOURCE
from ultraclean.errors import DataError, PlanError, Problem, UltracleanError
from ultraclean.pipeline import Pipeline, model_refs, table_refs
from ultraclean.stage import Artifact, Barrier, Filter, Map, Sink, Source, Stage

Columns = Mapping[str, pa.DataType]


@dataclass(frozen=True)
class Segment:
    """One step of a plan. `name` is unique: `web/0`, `web/1:dedup.minhash`, `clean/2:write.parquet`.

    `stages` are the fused row-local stages, or the one barrier, sink or artifact. `reads` names the
    segments whose rows it reads (empty: files, by `source`); `models` those whose artifact it needs.
    """

    name: str
    table: str
    kind: str  # rows, barrier, sink, artifact
    stages: tuple[Stage, ...]
    reads: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    source: Source | None = None
    verdicts: str | None = None  # the barrier segment whose verdicts are applied first
    barrier: Barrier | None = None
    columns_in: Columns = field(default_factory=dict)
    columns_out: Columns = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """Segments in an order in which each comes after what it reads."""

    pipeline: Pipeline
    segments: tuple[Segment, ...]
    rows_of: Mapping[str, str]
    """Table -> the segment that holds its rows."""
    artifact_of: Mapping[str, str]
    """Table -> its artifact segment."""

    def segment(self, name: str) -> Segment:
        return next(segment for segment in self.segments if segment.name == name)


def make_plan(pipeline: Pipeline, n_rounds: int | None = None, meant: int | None = None) -> Plan:
    """The plan of a pipeline, its rounds unrolled to `n_rounds`; PlanError with all problems.

    Tables outside the rounds read those of round `meant`, by default the last.
    """
    planned = _Planner(unroll(pipeline, n_rounds, meant))
    if planned.problems:
        raise PlanError(planned.problems)
    return planned.plan()


def column_problems(pipeline: Pipeline) -> list[Problem]:
    """Stages in the wrong place, and columns that a stage needs and nothing adds."""
    return _Planner(unroll(pipeline, None)).problems


def check(pipeline: Pipeline, *, remote: bool = False) -> list[Problem]:
    """All that can be found wrong without running: columns, inputs, extras, models, files.

    Remote inputs are listed only if `remote`.
    """
    problems = column_problems(pipeline)
    for table, stages in pipeline.tables.items():
        for index, stage in enumerate(stages):
            where = pipeline.where(table, index)
            messages = [str(missing) for missing in stage.missing_extras()]
            messages += [f"{stage.called}: {message}" for message in stage.problems()]
            messages += _missing_models(pipeline, stage)
            if isinstance(stage, Source) and not list(table_refs(stage)):
                messages += _missing_inputs(stage, remote)
            problems += [Problem(where, message) for message in messages]
    return problems


def _missing_inputs(stage: Source, remote: bool) -> list[str]:
    path = getattr(stage, "path", None)
    paths = [path] if isinstance(path, str) else list(path or ())
    if not remote and not all(storage.is_local(one) for one in paths):
        return []
    try:
        stage.inputs()
    except UltracleanError as error:
        return [f"{stage.called}: {error}"]
    except OSError as error:
        return [f"{stage.called}: the input cannot be listed: {error}"]
    return []


def _missing_models(pipeline: Pipeline, stage: Stage) -> list[str]:
    messages = []
    for name, value in model_refs(stage):
        if value in pipeline.tables:
            if not isinstance(pipeline.tables[value][-1], Artifact):
                messages.append(f"{stage.called}.{name}: the table {value!r} makes no model")
            continue
        try:
            path = storage.expand(value)
        except DataError as error:
            messages.append(f"{stage.called}.{name}: {error}")
            continue
        if storage.is_local(path) and not storage.exists(path):
            artifacts = [t for t, s in pipeline.tables.items() if isinstance(s[-1], Artifact)]
            near = catalog.nearest(value, artifacts)
            hint = f"; did you mean the table {near!r}?" if near else ""
            message = f"{value!r} is neither a table of this pipeline nor a file{hint}"
            messages.append(f"{stage.called}.{name}: {message}")
    return messages


# --- rounds -------------------------------------------------------------------------------------


def unroll(pipeline: Pipeline, n_rounds: int | None, meant: int | None = None) -> Pipeline:
    """The pipeline with `x@1`, `x@2`, ... in place of the rounds' tables."""
    rounds = pipeline.rounds
    if rounds is None:
        return pipeline
    n_rounds = n_rounds or rounds.max
    tables: dict[str, tuple[Stage, ...]] = {}
    last = {name: f"{name}@{meant or n_rounds}" for name in rounds.tables}
    for name, stages in pipeline.tables.items():
        if name not in rounds.tables:
            tables[name] = tuple(_renamed(stage, last) for stage in stages)
    for number in range(1, n_rounds + 1):
        here = {name: f"{name}@{number}" for name in rounds.tables}
        for name in rounds.tables:
            before = rounds.first.get(name, "") if number == 1 else f"{name}@{number - 1}"
            here[f"prev.{name}"] = before
        for name in rounds.tables:
            stages = pipeline.tables[name]
            tables[f"{name}@{number}"] = tuple(_renamed(stage, here) for stage in stages)
    unrolled = object.__new__(Pipeline)
    for key, value in vars(pipeline).items():
        object.__setattr__(unrolled, key, value)
    object.__setattr__(unrolled, "tables", tables)
    object.__setattr__(unrolled, "rounds", None)
    object.__setattr__(unrolled, "locate", None)
    return unrolled


def _renamed(stage: Stage, names: Mapping[str, str]) -> Stage:
    """The stage with references to tables replaced; `x.accepted` follows x."""

    def new(reference: str) -> str:
        for old, renamed in sorted(names.items(), key=lambda pair: -len(pair[0])):
            if reference == old or reference.startswith(f"{old}."):
                return renamed + reference[len(old) :]
        return reference

    fields = {name for name, _ in (*table_refs(stage), *model_refs(stage))}
    update: dict[str, Any] = {}
    for name in fields:
        value = getattr(stage, name)
        if isinstance(value, dict):
            update[name] = {new(key): inner for key, inner in value.items()}
        else:
            update[name] = new(value) if isinstance(value, str) else type(value)(map(new, value))
    return stage.model_copy(update=update) if update else stage


# --- planning -----------------------------------------------------------------------------------


class _Planner:
    """Walks the tables in dependency order, collecting segments and problems."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        self.problems: list[Problem] = []
        self.segments: dict[str, Segment] = {}
        self.rows_of: dict[str, str] = {}
        self.artifact_of: dict[str, str] = {}
        self.columns: dict[str, Columns] = {}
        for table in in_order(pipeline):
            self._table(table)

    def plan(self) -> Plan:
        segments = tuple(self.segments.values())
        return Plan(self.pipeline, segments, self.rows_of, self.artifact_of)

    def _table(self, table: str) -> None:
        stages = self.pipeline.tables[table]
        if table in self.pipeline.broken or not stages:
            self.columns[table] = {}  # unknown: no complaint about those who read it
            return
        current: Segment | None = None
        columns: Columns = {}
        ended = False
        for index, stage in enumerate(stages):
            if ended and not isinstance(stage, Sink):
                self._problem(table, index, f"{stage.called} comes after the end of the table")
                return
            if isinstance(stage, Source):
                if index:
                    self._problem(
                        table, index, f"{stage.called} must be the first stage of a table"
                    )
                    return
                columns = self._source_columns(table, stage)
                current = self._begun(table, stage, columns)
                continue
            if isinstance(stage, Artifact):
                self._needs(table, index, stage, columns)
                own = self._closed(current, columns) if current is not None else None
                self._artifact(table, stage, own)
                ended = True
                continue
            if current is None:
                self._problem(table, index, f"a table begins with read.*, not {stage.called}")
                return
            self._needs(table, index, stage, columns)
            if isinstance(stage, Map | Filter):
                current = self._fused(current, stage, columns)
            elif isinstance(stage, Barrier):
                current = self._barred(current, stage, columns)
            elif isinstance(stage, Sink):
                current = self._closed(current, columns)
                self._single(table, "sink", stage, (current.name,), columns)
                ended = True
            gone = stage.removes()
            kept = {name: kind for name, kind in columns.items() if name not in gone}
            columns = {**kept, **stage.adds()}
        if current is not None:
            self.rows_of[table] = self._closed(current, columns).name
            self.columns[table] = columns

    def _begun(self, table: str, stage: Source, columns: Columns) -> Segment:
        names = (name for _, name in table_refs(stage))
        reads = tuple(self.rows_of[name] for name in names if name in self.rows_of)
        name = self._name(table)
        return Segment(name, table, "rows", (), reads, source=stage, columns_in=columns)

    def _fused(self, current: Segment, stage: Stage, columns: Columns) -> Segment:
        """The segment with one more row-local stage, or a new one where the hardware changes."""
        if current.stages and _hardware(current.stages[-1]) != _hardware(stage):
            current = self._after(self._closed(current, columns), columns)
        names = (name for _, name in model_refs(stage))
        models = tuple(self.artifact_of[name] for name in names if name in self.artifact_of)
        return replace(current, stages=(*current.stages, stage), models=(*current.models, *models))

    def _barred(self, current: Segment, stage: Barrier, columns: Columns) -> Segment:
        """The segment that goes on with the verdicts of a barrier."""
        before = self._closed(current, columns)
        barrier = self._single(before.table, "barrier", stage, (before.name,), columns)
        return replace(self._after(before, columns), verdicts=barrier, barrier=stage)

    def _single(
        self, table: str, kind: str, stage: Stage, reads: tuple[str, ...], columns: Columns
    ) -> str:
        """Adds a segment of one stage; returns its name."""
        name = self._name(table, stage.called)
        self.segments[name] = Segment(name, table, kind, (stage,), reads, columns_in=columns)
        return name

    def _name(self, table: str, label: str | None = None) -> str:
        number = sum(segment.table == table for segment in self.segments.values())
        return f"{table}/{number}:{label}" if label else f"{table}/{number}"

    def _closed(self, segment: Segment, columns: Columns) -> Segment:
        """The segment as part of the plan, with its columns as they now are."""
        if segment.name not in self.segments:
            self.segments[segment.name] = replace(segment, columns_out=columns)
        return self.segments[segment.name]

    def _after(self, before: Segment, columns: Columns) -> Segment:
        """A rows segment that goes on where `before` ended."""
        source = catalog.stage_class("read.table").model_validate({"tables": before.table})
        assert isinstance(source, Source)
        name = self._name(before.table)
        return Segment(
            name, before.table, "rows", (), (before.name,), source=source, columns_in=columns
        )

    def _artifact(self, table: str, stage: Artifact, own: Segment | None) -> None:
        reads = [own.name] if own else []
        models = []
        for _, reference in table_refs(stage):
            base = reference if reference in self.pipeline.tables else reference.split(".")[0]
            if base in self.rows_of:
                reads.append(self.rows_of[base])
            elif base in self.artifact_of:
                models.append(self.artifact_of[base])
        named = (name for _, name in model_refs(stage) if name in self.artifact_of)
        models += [self.artifact_of[name] for name in named]
        name = self._single(table, "artifact", stage, tuple(reads), {})
        self.segments[name] = replace(self.segments[name], models=tuple(models))
        self.artifact_of[table] = name

    def _source_columns(self, table: str, stage: Source) -> Columns:
        references = [name for _, name in table_refs(stage)]
        if not references:
            return {KEY: KEY_TYPE, **stage.adds()}
        found = [self.columns[name] for name in references if name in self.columns]
        if len(found) < len(references):
            known = self.pipeline.tables  # an unknown name has been complained about already
            missing = [name for name in references if name in known and name not in self.columns]
            if missing:
                message = f"{', '.join(missing)}: not a table with rows"
                self._problem(table, 0, f"{stage.called}: {message}")
            return {}
        shared = {
            name: kind
            for name, kind in found[0].items()
            if all(other.get(name) == kind for other in found[1:])
        }
        if not all(found):
            return {}
        return {**shared, SOURCE: pa.string()} if len(references) > 1 else shared

    def _needs(self, table: str, index: int, stage: Stage, columns: Columns) -> None:
        if not columns:
            return  # an earlier problem already says why
        for column in stage.needs():
            if column not in columns:
                makers = _makers(column)
                hint = f"; {' or '.join(makers)} would add it" if makers else ""
                there = ", ".join(name for name in columns if not name.startswith("_"))
                message = f"{stage.called} needs the column {column!r}{hint}; there are: {there}"
                self._problem(table, index, message)

    def _problem(self, table: str, index: int, message: str) -> None:
        base = table.split("@", maxsplit=1)[0]
        problem = Problem(self.pipeline.where(table, index), message)
        if table in {base, f"{base}@1"}:  # say it once, not once a round
            self.problems.append(problem)


def in_order(pipeline: Pipeline) -> list[str]:
    """Tables such that each comes after those that it reads; otherwise in the order as written."""
    ordered: dict[str, None] = {}

    def visit(table: str) -> None:
        if table in ordered:
            return
        for dependency in pipeline.dependencies(table):
            if dependency in pipeline.tables:
                visit(dependency)
        ordered[table] = None

    for table in pipeline.tables:
        visit(table)
    return list(ordered)


def _hardware(stage: Stage) -> bool:
    return stage.accelerated or stage.resources.gpus > 0


def _makers(column: str) -> list[str]:
    """Stages that, with default fields, add a column."""
    makers = []
    for name in catalog.names():
        try:
            stage = catalog.stage_class(name)()
        except (ValueError, ImportError):
            continue
        if column in stage.adds():
            makers.append(name)
    return makers
