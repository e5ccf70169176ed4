"""Runs a plan: units out, records in.

The driver holds records, never documents. Each segment is brought to the state in which all its
units have a record for their present input; what has one already is not run again.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from ultraclean import catalog, pipeline_file, storage
from ultraclean.alarms import check_losses
from ultraclean.binding import Binding
from ultraclean.errors import DataError, LedgerError, PlanError
from ultraclean.exchange import Piece, Sketches
from ultraclean.executors import Executor, connect
from ultraclean.executors.base import in_order
from ultraclean.fingerprint import fingerprint, late_fields
from ultraclean.finished import Done, Finished, TableRows
from ultraclean.inputs import Part, Shard
from ultraclean.ledger import Record, SegmentLedger, digest, lock
from ultraclean.pipeline import Pipeline, table_refs
from ultraclean.plan import Plan, Segment, check, make_plan
from ultraclean.progress import Progress, standard
from ultraclean.publish import replace_folder
from ultraclean.shards import frozen_shards
from ultraclean.stage import Artifact, Barrier, Resources, Rows, Sink, Stage
from ultraclean.unit import RowsUnit, SinkUnit, SketchUnit, run_rows, run_sink, run_sketch


def run(
    pipeline: Pipeline,
    out: str,
    *,
    address: str | None = "inline",
    only: str | None = None,
    accept_inputs: bool = False,
    quiet: bool = True,
    executor: Executor | None = None,
) -> Finished:
    """Runs a pipeline into the folder `out` (any fsspec path), or goes on where a run stopped.

    `address` is where: `inline`, `local` (a Ray started here), `auto`, or a cluster's address.
    `only` runs one table and what it needs. Raises PlanError before anything runs if the pipeline
    cannot run, DataError, StageError or LedgerError if it stops on the way.
    """
    from ultraclean.summary import write_run_files

    problems = check(pipeline)
    if problems:
        raise PlanError(problems)
    mine = executor is None
    with lock(out):
        executor = executor or connect(address)
        try:
            engine = Engine(pipeline, out, executor, accept=accept_inputs, quiet=quiet)
            try:
                finished = engine.run(only)
            except NothingGained as stop:
                write_run_files(stop.finished, executor)  # its verdicts are what a reader wants
                raise
            write_run_files(finished, executor)
        finally:
            if mine:
                executor.close()
    return finished


class NothingGained(DataError):
    """The first round did not gain; what was finished until then."""

    def __init__(self, message: str, finished: Finished) -> None:
        super().__init__(message)
        self.finished = finished


class Engine:
    """One run of one pipeline in one folder."""

    def __init__(
        self,
        pipeline: Pipeline,
        out: str,
        executor: Executor | None,
        *,
        accept: bool = False,
        quiet: bool = True,
    ) -> None:
        self.pipeline, self.out, self.accept = pipeline, out, accept
        self.executor = executor
        """None only looks: nothing is run or written, and Done says what a run would have to do."""
        self.stream = None if quiet else standard()
        self.done: dict[str, Done] = {}

    def run(self, only: str | None = None) -> Finished:
        path = storage.join(self.out, "pipeline.yaml")
        if storage.exists(path):
            there = pipeline_file.parse(storage.read_bytes(path).decode(), path).name
            if there != self.pipeline.name:
                raise LedgerError(
                    f"{self.out} is the run folder of the pipeline {there!r}, not of "
                    f"{self.pipeline.name!r}: choose another --out"
                )
        storage.write_bytes(path, self.pipeline.to_yaml().encode())
        rounds = self.pipeline.rounds
        n_rounds = meant = rounds.max if rounds else None
        if rounds:
            for number in range(1, rounds.max + 1):
                plan = make_plan(self.pipeline, number)
                self._run(plan, [f"{table}@{number}" for table in rounds.tables])
                n_rounds = meant = number
                if rounds.gain and not self._says(plan, "gain", rounds.gain, number):
                    if number == 1:
                        so_far = Finished(self.out, plan, self.done)
                        raise NothingGained(self._no_gain(plan, rounds.gain), so_far)
                    meant = number - 1
                    break
                if rounds.until and self._says(plan, "until", rounds.until, number):
                    break
        plan = make_plan(self.pipeline, n_rounds, meant)
        tables = list(plan.pipeline.tables)
        if only is not None:
            if only not in tables:
                near = catalog.nearest(only, tables)
                hint = f"; did you mean {near!r}?" if near else ""
                raise PlanError.one(f"--only {only}", f"unknown table {only!r}{hint}")
            tables = [only]
        self._run(plan, tables)
        return Finished(self.out, plan, self.done)

    def _says(self, plan: Plan, key: str, field_of: str, number: int) -> bool:
        """What the field of a card of this round says, for `rounds.until` and `rounds.gain`."""
        table, _, name = field_of.partition(".")
        card = self.done[plan.artifact_of[f"{table}@{number}"]].card
        if name not in card:
            raise PlanError.one(f"rounds.{key}", f"the card of {table} has no field {name!r}")
        return bool(card[name])

    def _no_gain(self, plan: Plan, gain: str) -> str:
        table = gain.partition(".")[0]
        card = self.done[plan.artifact_of[f"{table}@1"]].card
        why = card.get("reason", f"see the card of {table}")
        return f"the first round did not gain, so there is nothing to go on with: {gain}: {why}"

    def _run(self, plan: Plan, tables: list[str]) -> None:
        """Runs the segments of some tables, and first those that they need."""
        wanted: dict[str, None] = {}

        def want(segment: Segment) -> None:
            needed = [*segment.reads, *segment.models]
            needed += [segment.verdicts] if segment.verdicts else []
            for name in needed:
                want(plan.segment(name))
            wanted[segment.name] = None

        for segment in plan.segments:
            if segment.table in tables:
                want(segment)
        for name in wanted:
            if name not in self.done:
                self.done[name] = self.segment(plan, plan.segment(name))

    def segment(self, plan: Plan, segment: Segment) -> Done:
        if segment.kind == "rows":
            return self._rows(plan, segment)
        if segment.kind == "barrier":
            return self._barrier(plan, segment)
        if segment.kind == "artifact":
            return self._artifact(plan, segment)
        return self._sink(plan, segment)

    # --- rows ---------------------------------------------------------------------------------

    def _rows(self, plan: Plan, segment: Segment) -> Done:
        assert segment.source is not None
        upstream = [self.done[name] for name in segment.reads]
        models = [self.done[name] for name in segment.models]
        barrier = self.done[segment.verdicts] if segment.verdicts else None
        parts = [done.fingerprint for done in upstream]
        parts += [done.digest for done in models]
        if barrier is not None:
            parts.append(barrier.fingerprint)
        source_mark = digest([segment.table, fingerprint(segment.source)])
        binding = Binding(plan, self.done)
        seeded = [binding.seeded(segment.table, stage) for stage in segment.stages]
        marks = [fingerprint(stage, plan.artifact_of) for stage in seeded]
        mark = digest([source_mark, marks, parts])
        ledger = self._ledger(mark, segment)
        if upstream:
            shards = _shards_of(upstream)
        else:
            path = storage.join(self.out, "ledger", source_mark, "shards.json")
            shards = frozen_shards(
                path,
                segment.source,
                self.pipeline.shard_bytes,
                accept=self.accept,
                write=self.executor is not None,
            )
        stages = tuple(binding.bound(segment.table, stage) for stage in segment.stages)
        units = []
        for shard in shards:
            state = digest(
                [[vars(part) for part in shard.parts], barrier.digest if barrier else ""]
            )
            unit = f"{shard.index:05d}-{state[:8]}"
            units.append(
                RowsUnit(
                    unit=unit,
                    segment=segment.name,
                    table=segment.table,
                    fingerprint=mark,
                    folder=ledger.data_folder,
                    record=storage.join(ledger.folder, f"{unit}.json"),
                    input=state,
                    source=segment.source,
                    shard=shard,
                    stages=stages,
                    columns=tuple(segment.columns_in),
                    responses=storage.join(self.out, "responses"),
                    barrier=segment.barrier,
                    card=barrier.card if barrier else {},
                    verdicts=_verdicts_for(barrier, shard.index) if barrier else None,
                    drops=self.pipeline.drops,
                    max_error_fraction=self.pipeline.max_error_fraction,
                )
            )
        records, n_new = self._finish(ledger, segment.name, run_rows, units, _resources(stages))
        if self.executor is not None:
            check_losses(self.pipeline, segment, records)
        state = digest([[r["unit"], r["data"]["digest"] if r["data"] else None] for r in records])
        return Done(segment, mark, records, state, units=units, n_new=n_new)

    # --- barriers -------------------------------------------------------------------------------

    def _barrier(self, plan: Plan, segment: Segment) -> Done:
        upstream = self.done[segment.reads[0]]
        stage = Binding(plan, self.done).bound(segment.table, segment.stages[0])
        assert isinstance(stage, Barrier)
        mark = digest([fingerprint(stage), upstream.fingerprint])
        ledger = self._ledger(mark, segment)
        units = []
        for record in upstream.records:
            data = record["data"]
            state = digest(data["digest"] if data else None)
            unit = f"{record['shard']:05d}-{state[:8]}"
            units.append(
                SketchUnit(
                    unit=unit,
                    segment=segment.name,
                    path=data["path"] if data else "",
                    shard=record["shard"],
                    barrier=stage,
                    folder=ledger.data_folder,
                    record=storage.join(ledger.folder, f"{unit}.json"),
                    input=state,
                )
            )
        records, n_new = self._finish(ledger, segment.name, run_sketch, units, _resources([stage]))
        state = digest([mark, upstream.digest])
        row_counts = [record["n_out"] for record in upstream.records]
        folder = storage.join(ledger.data_folder, f"resolve-{state[:8]}")
        if late := late_fields(stage):
            state = digest([state, late])
        path = storage.join(ledger.folder, f"resolved-{state[:8]}.json")
        if not storage.exists(path):
            if self.executor is None:
                return Done(segment, mark, records, state, n_new=n_new + 1)
            pieces = [
                Piece(
                    tuple((r["sketch"]["path"], g) for g in range(r["sketch"]["n_groups"])),
                    r["n_in"],
                )
                for r in records
                if r["sketch"]
            ]
            sketches = Sketches(
                pieces,
                row_counts,
                folder,
                in_order(self.executor),
                run_name=posixpath.basename(self.out.rstrip("/")),
                index_folder=storage.join(self.out, "index", segment.table, stage.called),
            )
            card = stage.resolve(sketches)
            left = [[piece.groups, piece.n_rows, piece.ranges] for piece in sketches.final]
            storage.write_json(path, {"card": card, "final": left})
        resolved = storage.read_json(path)
        final = [
            Piece(tuple(map(tuple, groups)), n_rows, tuple(map(tuple, ranges)))
            for groups, n_rows, ranges in resolved["final"]
        ]
        return Done(
            segment, mark, records, state, resolved["card"], folder, final, row_counts, n_new=n_new
        )

    # --- artifacts ------------------------------------------------------------------------------

    def _artifact(self, plan: Plan, segment: Segment) -> Done:
        stage = Binding(plan, self.done).bound(segment.table, segment.stages[0])
        assert isinstance(stage, Artifact)
        inputs: dict[str, Rows] = {}
        if segment.reads and plan.segment(segment.reads[0]).table == segment.table:
            inputs[segment.table] = TableRows(segment.table, self.done[segment.reads[0]])
        for _, name in table_refs(stage):
            inputs[name] = TableRows(name, self.done[plan.rows_of[name]])
        mark = digest([fingerprint(stage), {name: rows.digest for name, rows in inputs.items()}])
        ledger = self._ledger(mark, segment)
        kind = "verify" if stage.stage.startswith("verify.") else "models"
        folder = storage.join(self.out, kind, segment.table, mark[:8])
        path = storage.join(ledger.folder, "card.json")
        n_new = 0
        if not storage.exists(path):
            if self.executor is None:
                return Done(segment, mark, [], mark, folder=folder, n_new=1)
            progress = Progress(segment.name, 1, 0, self.stream)
            run = in_order(self.executor, stage.resources)
            card = stage.make(inputs, folder, run)
            storage.write_json(storage.join(folder, "card.json"), card)
            storage.write_json(path, card)
            progress.add(sum(rows.n_docs for rows in inputs.values()), 0, 0)
            progress.end()
            n_new = 1
        return Done(segment, mark, [], mark, storage.read_json(path), folder, n_new=n_new)

    # --- sinks ----------------------------------------------------------------------------------

    def _sink(self, plan: Plan, segment: Segment) -> Done:
        upstream = self.done[segment.reads[0]]
        stage = Binding(plan, self.done).bound(segment.table, segment.stages[0])
        assert isinstance(stage, Sink)
        mark = digest([fingerprint(stage), upstream.fingerprint])
        ledger = self._ledger(mark, segment)
        shown = _shown_folder(plan, segment)
        target = storage.join(self.out, shown)
        state = digest([mark, upstream.digest])
        if self.executor is not None:
            replace_folder(self.out, shown, stage.extension, state)
        units = []
        for number, group in enumerate(_groups(upstream.records, stage.file_bytes)):
            mine = digest([[record["data"]["digest"] for record in group], state])
            unit = f"{number:05d}-{mine[:8]}"
            units.append(
                SinkUnit(
                    unit=unit,
                    segment=segment.name,
                    paths=tuple(record["data"]["path"] for record in group),
                    target=storage.join(target, f"part-{number:05d}{stage.extension}"),
                    sink=stage,
                    record=storage.join(ledger.folder, f"{unit}.json"),
                    input=mine,
                )
            )
        records, n_new = self._finish(ledger, segment.name, run_sink, units, _resources([stage]))
        return Done(segment, mark, records, state, folder=target, n_new=n_new)

    # --- what all segments share ----------------------------------------------------------------

    def _ledger(self, mark: str, segment: Segment) -> SegmentLedger:
        ledger = SegmentLedger(self.out, mark)
        stages = [segment.source, *segment.stages] if segment.source else segment.stages
        if self.executor is not None:
            described = [
                {"stage": s.stage, "version": s.version, **s.model_dump(mode="json")}
                for s in stages
            ]
            ledger.describe({"segment": segment.name, "table": segment.table, "stages": described})
        return ledger

    def _finish(
        self,
        ledger: SegmentLedger,
        name: str,
        function: Callable[[Any], Record],
        units: Sequence[Any],
        resources: Any,
    ) -> tuple[list[Record], int]:
        """Runs the units that have no record; returns all records in the order of units."""
        records = ledger.records()
        missing = [unit for unit in units if unit.unit not in records]
        if self.executor is None:
            return [records[unit.unit] for unit in units if unit.unit in records], len(missing)
        progress = Progress(name, len(units), len(units) - len(missing), self.stream)
        for n_done, (_, record) in enumerate(self.executor.map(function, missing, resources), 1):
            records[record["unit"]] = record
            progress.add(
                record.get("n_in", record.get("n_out", 0)),
                record.get("n_out", 0),
                record.get("n_bytes_in", 0),
            )
            if n_done % 1000 == 0:
                ledger.compact()
        ledger.compact()
        progress.end()
        return [records[unit.unit] for unit in units], len(missing)


def _shown_folder(plan: Plan, segment: Segment) -> str:
    """`tables/<table>`, and below it one folder per sink where a table has several."""
    sinks = [s for s in plan.segments if s.kind == "sink" and s.table == segment.table]
    folder = storage.join("tables", segment.table)
    return folder if len(sinks) == 1 else storage.join(folder, segment.stages[0].called)


def _shards_of(upstream: list[Done]) -> list[Shard]:
    """One shard per shard of each upstream table; numbered on from one table to the next."""
    shards: list[Shard] = []
    for done in upstream:
        for record in done.records:
            data = record["data"]
            parts = (
                (Part(data["path"], done.segment.table, data["n_bytes"], data["digest"]),)
                if data
                else ()
            )
            shards.append(Shard(len(shards), parts))
    return shards


def _verdicts_for(barrier: Done, shard: int) -> Piece | None:
    if not barrier.final:
        return None
    return barrier.final[shard * len(barrier.final) // len(barrier.row_counts)]


def _groups(records: list[Record], file_bytes: int) -> Iterator[list[Record]]:
    """Records with data, in runs of about `file_bytes` of data."""
    group: list[Record] = []
    size = 0
    for record in records:
        if not record["data"]:
            continue
        if group and size + record["data"]["n_bytes"] > file_bytes:
            yield group
            group, size = [], 0
        group.append(record)
        size += record["data"]["n_bytes"]
    if group:
        yield group


def _resources(stages: Iterable[Stage]) -> Any:
    """The most that any stage of a segment asks for."""
    asked = [Resources(), *(stage.resources for stage in stages)]
    return max(asked, key=lambda one: (one.gpus, one.spare_gpus, one.model, one.cpus))
