"""A pipeline: named tables, each a list of stages; the same thing as one YAML file.

    name: clean-en
    seed: 17
    tables:
      web:
        - read.warc: {path: "${CRAWL}/*.warc.gz"}
        - extract.html
        - filter.gopher_quality: {min_words: 50}
        - write.parquet

`Pipeline.load` finds every error of a file at once, each with file:line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ultraclean.catalog import unknown
from ultraclean.errors import PipelineError, Problem
from ultraclean.markup import Path
from ultraclean.stage import ModelRef, Source, Stage, TableRef

Drops = Literal["sample", "text", "none"]

SETTINGS: dict[str, str] = {
    "name": "the pipeline's name, and the default name of its run folder",
    "seed": "all randomness is a hash of (seed, table, stage, key)",
    "drops": "text kept in dropped/: sample (20 per shard and reason), text (all), none",
    "max_error_fraction": "a run stops when more of its documents than this are errors",
    "allow_empty": "whether a table may end with no document at all",
    "shard_bytes": "input bytes per shard; frozen when a table is first run",
    "tables": "name -> list of stages",
    "stages": "the stages of the only table",
    "foreach": "tables that are made for each of some languages, crawls or paths: each, tables",
    "rounds": "tables that are run again and again: max, until, gain, first, tables",
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(frozen=True)
class Rounds:
    """Tables repeated: `x` of round k is the table `x@k`.

    `prev.x` is the table x of the round before; in the first round it is the table that `first`
    names for x (or `artifact.field`, the tables that a card lists). After round k, the field `until`
    (`table.field` of a card of that round) ends the rounds if it is true, and the field `gain` if it
    is false or empty. Outside, `x` means the table of the last round, or of the last that gained.
    """

    max: int
    until: str | None
    first: Mapping[str, str]
    tables: tuple[str, ...]
    gain: str | None = None


@dataclass(frozen=True)
class Pipeline:
    """Named tables of stages. `stages=[...]` is short for one table named like the pipeline."""

    name: str
    tables: Mapping[str, tuple[Stage, ...]] = field(default_factory=dict)
    stages: Sequence[Stage] = ()
    seed: int = 0
    drops: Drops = "sample"
    max_error_fraction: float = 0.1
    allow_empty: bool = False
    shard_bytes: int = 512 * 2**20
    rounds: Rounds | None = None
    locate: Callable[[Path], str] | None = field(default=None, compare=False, repr=False)
    broken: frozenset[str] = field(default=frozenset(), compare=False, repr=False)
    """Of a file with errors, the tables that have them; such a pipeline is looked at, never run."""

    def __post_init__(self) -> None:
        tables = {table: tuple(stages) for table, stages in self.tables.items()}
        if self.stages:
            if tables:
                raise PipelineError.one(self.name, "give either tables or stages, not both")
            tables = {self.name: tuple(self.stages)}
        object.__setattr__(self, "tables", tables)
        object.__setattr__(self, "stages", ())
        problems = list(structure_problems(self))
        if problems and not self.broken:
            raise PipelineError(problems)

    @classmethod
    def load(cls, path: str, *, settings: Sequence[str] = ()) -> Pipeline:
        """The pipeline in a YAML file, or of a shipped one's name; `settings` as in `--set`."""
        from ultraclean.pipeline_file import load

        return load(path, settings)

    @classmethod
    def parse(cls, text: str, name: str = "pipeline", *, settings: Sequence[str] = ()) -> Pipeline:
        """The pipeline in a YAML text; raises PipelineError with all problems, file:line each."""
        from ultraclean.pipeline_file import parse

        return parse(text, name, settings)

    def to_yaml(self) -> str:
        """The YAML of this pipeline; fields that have their default are left out."""
        from ultraclean.pipeline_file import dump

        return dump(self)

    def where(self, table: str, index: int = 0, field_name: str | None = None) -> str:
        """`file:line` of a stage or field, or its address where the pipeline is Python."""
        stage = self.tables[table][index] if index < len(self.tables[table]) else None
        if self.locate is None:
            parts = [
                table,
                *([stage.called] if stage else []),
                *([field_name] if field_name else []),
            ]
            return ".".join(parts)
        root: Path = ("tables", table)
        if self.rounds and table in self.rounds.tables:
            root = ("rounds", *root)
        path: Path = (*root, index)
        if stage is not None:
            path = (*path, stage.stage)
        return self.locate((*path, field_name) if field_name else path)

    def limited(self, n_docs: int) -> Pipeline:
        """This pipeline with every source of files reading at most `n_docs` documents."""
        tables = {
            table: tuple(
                stage.model_copy(update={"limit": n_docs})
                if isinstance(stage, Source) and not list(table_refs(stage))
                else stage
                for stage in stages
            )
            for table, stages in self.tables.items()
        }
        return replace(self, tables=tables)

    def dependencies(self, table: str) -> list[str]:
        """The tables that a table reads, without duplicates, in the order of mention."""
        found: dict[str, None] = {}
        for stage in self.tables[table]:
            for _, name in table_refs(stage):
                found[name.split(".")[0] if name not in self.tables else name] = None
            for _, name in model_refs(stage):
                if name in self.tables:
                    found[name] = None
        return list(found)

    def run(self, out: str, **options: Any) -> Any:
        """Runs the pipeline into a folder: see `ultraclean.engine.run`."""
        from ultraclean.engine import run

        return run(self, out, **options)


# --- references between tables ------------------------------------------------------------------


def table_refs(stage: Stage) -> Iterator[tuple[str, str]]:
    """(field, table name) for every table that a stage names."""
    yield from _refs(stage, TableRef)


def model_refs(stage: Stage) -> Iterator[tuple[str, str]]:
    """(field, artifact name or path) for every model that a stage names."""
    yield from _refs(stage, ModelRef)


def _refs(stage: Stage, marker: type) -> Iterator[tuple[str, str]]:
    for name, info in type(stage).model_fields.items():
        if any(isinstance(mark, marker) for mark in info.metadata):
            value = getattr(stage, name)
            names = [value] if isinstance(value, str) else (value or ())
            for reference in names:
                yield name, reference


# --- structure that no single stage can see -------------------------------------------------------


def structure_problems(pipeline: Pipeline) -> Iterator[Problem]:
    if not _NAME.fullmatch(pipeline.name):
        yield Problem(pipeline.name or "pipeline", "a name is letters, digits, `_` and `-`")
    rounds = pipeline.rounds
    for table, stages in pipeline.tables.items():
        if table in pipeline.broken:
            continue
        if not _NAME.fullmatch(table):
            message = f"{table!r}: a table's name is letters, digits, `_` and `-`"
            yield Problem(pipeline.where(table), message)
        labels: dict[str, int] = {}
        for index, stage in enumerate(stages):
            if stage.called in labels:
                message = f"{stage.called} stands twice in {table}: tell them apart with `name:`"
                yield Problem(pipeline.where(table, index), message)
            labels[stage.called] = index
            for field_name, name in table_refs(stage):
                yield from _reference_problems(pipeline, table, index, field_name, name)
    if rounds:
        for name in rounds.first.values():
            if name not in pipeline.tables and name.split(".")[0] not in pipeline.tables:
                message = unknown("table", name, list(pipeline.tables))
                yield Problem("rounds.first", message)
        for key, field_of in (("until", rounds.until), ("gain", rounds.gain)):
            if field_of and field_of.split(".")[0] not in rounds.tables:
                yield Problem(f"rounds.{key}", f"{field_of!r} is no table of the rounds")
    yield from _cycle_problems(pipeline)


def _reference_problems(
    pipeline: Pipeline, table: str, index: int, field_name: str, name: str
) -> Iterator[Problem]:
    base = name.split(".", maxsplit=1)[0]
    rounds = pipeline.rounds
    if base == "prev" and rounds and table in rounds.tables:
        target = name.split(".", 2)[1] if "." in name else ""
        if target not in rounds.tables or target not in rounds.first:
            message = f"{name}: the first round needs `rounds.first: {{{target}: TABLE}}`"
            yield Problem(pipeline.where(table, index, field_name), message)
    elif base not in pipeline.tables:
        message = unknown("table", base, list(pipeline.tables))
        yield Problem(pipeline.where(table, index, field_name), message)


def _cycle_problems(pipeline: Pipeline) -> Iterator[Problem]:
    state: dict[str, int] = {}

    def visit(table: str, trail: tuple[str, ...]) -> Iterator[Problem]:
        if state.get(table) == 1:
            loop = " -> ".join((*trail[trail.index(table) :], table))
            yield Problem(pipeline.where(table), f"tables read each other in a circle: {loop}")
            return
        if state.get(table) == 2 or table not in pipeline.tables:
            return
        state[table] = 1
        for dependency in pipeline.dependencies(table):
            yield from visit(dependency, (*trail, table))
        state[table] = 2

    for table in pipeline.tables:
        yield from visit(table, ())
