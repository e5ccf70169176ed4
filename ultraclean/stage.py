"""What a stage is: a frozen value that opens into a plain function on one batch of documents.

A stage is a name and numbers; it can be printed, compared, hashed and pickled. Whatever is heavy
(a model, a word list) is loaded by `open`, once per worker, and nothing is changed afterwards.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from ultraclean.document import Batch
from ultraclean.errors import MissingExtra
from ultraclean.inputs import Input, Part, Shard

if TYPE_CHECKING:
    from ultraclean.exchange import Sketches


@dataclass(frozen=True)
class Resources:
    """What a worker of a stage needs; `model` asks for workers that stay alive (an actor pool)."""

    cpus: float = 1.0
    gpus: float = 0.0
    model: bool = False
    spare_gpus: float = 0.0
    """GPUs that it takes where the cluster has any when the work begins, and else does without."""


@dataclass(frozen=True)
class TableRef:
    """Marks a field that names a table (or tables): `Annotated[str, TableRef()]`.

    `name` is a table of the pipeline; `name.field` is the tables that the card of the artifact
    `name` lists under `field`.
    """


@dataclass(frozen=True)
class ModelRef:
    """Marks a field that names an artifact of the pipeline or, where there is none, a path."""


@dataclass(frozen=True)
class Placement:
    """Marks a field that says where or how fast, never what: it is no part of a fingerprint."""


@dataclass(frozen=True)
class Late:
    """Marks a field of a barrier that only the last steps of `resolve` read.

    A change of it does not redo sketches, nor steps: one that reads it has its value in its name.
    """


class Stage(BaseModel):
    """What all stages share. Subclass one of the kinds below, not this."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    stage: ClassVar[str] = ""
    """The name in YAML: `filter.gopher_quality` lives in `stages/filter/gopher_quality.py`."""
    main: ClassVar[str | None] = None
    """The field that a bare value sets: `- filter.where: quality >= 0.5`."""
    version: ClassVar[int] = 1
    """Bumped whenever the output changes for the same fields and input."""
    paper: ClassVar[str] = ""
    """Where the method comes from: paper and table, or the system whose behaviour it matches."""
    reasons: ClassVar[tuple[str, ...]] = ()
    """The drop reasons that the stage can give."""
    extras: ClassVar[Mapping[str, str]] = {}
    """Modules that the stage imports beyond the base install -> the arguments of `pip install`."""
    packages: ClassVar[tuple[str, ...]] = ()
    """Distributions whose version changes the output: part of the fingerprint."""
    deterministic: ClassVar[bool] = True
    accelerated: ClassVar[bool] = False
    """Made for GPUs: planned apart from its neighbours, whether a run has one or not."""

    name: str | None = Field(
        default=None, description="tells two stages of one kind in a table apart"
    )

    def needs(self) -> tuple[str, ...]:
        """Columns that must be there."""
        return ()

    def adds(self) -> Mapping[str, pa.DataType]:
        """Columns that are there afterwards, with their types."""
        return {}

    def removes(self) -> tuple[str, ...]:
        """Columns that are gone afterwards."""
        return ()

    def distributions(self) -> tuple[str, ...]:
        """Distributions whose version changes the output of a stage with these fields."""
        return type(self).packages

    def missing_extras(self) -> list[MissingExtra]:
        """One error for each package that this stage needs and that is not installed."""
        return [
            MissingExtra(self.stage, module, f"pip install {arguments}")
            for module, arguments in self.extras.items()
            if importlib.util.find_spec(module) is None
        ]

    def problems(self) -> list[str]:
        """What is wrong with local files that the fields name; cheap enough for `check`."""
        return []

    def files(self) -> tuple[str, ...]:
        """Local or remote files that the fields name: a change of one changes the fingerprint."""
        return ()

    def contents(self) -> tuple[str, ...]:
        """Hashes of what ships beside the code and changes the output, such as prompts."""
        return ()

    def written(self) -> dict[str, Any]:
        """The fields as a pipeline file has them: those that differ from their defaults."""
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def resources(self) -> Resources:
        return Resources()

    @property
    def called(self) -> str:
        """How a table refers to this stage: its `name`, or the name of its kind."""
        return self.name or self.stage


class ByMeaning(tuple[Stage, ...]):
    """Stages as a cache key: some hold lists, so they are hashed by their text."""

    def __hash__(self) -> int:
        return hash(repr(tuple(self)))


# --- sources ----------------------------------------------------------------------------------


class Source(Stage):
    """Reads documents. A batch has the declared columns plus `_path` and `_position`.

    A row that could not be read has `_error` set, so that it is counted, explained and kept in
    `dropped/`; the engine gives every row its `_key` from (table, `_path`, `_position`).
    """

    limit: int | None = Field(default=None, ge=1, description="read at most this many documents")

    def inputs(self) -> list[Input]:
        """The files, in a fixed order. An empty list is an error that names the glob."""
        raise NotImplementedError

    def split(self, found: Input, shard_bytes: int) -> list[Part]:
        """The parts into which a file larger than a shard may be cut; by default it is not."""
        return [Part(found.path, found.relative, found.size, found.stamp)]

    def read(self, shard: Shard) -> Iterator[Batch]:
        raise NotImplementedError


# --- row-local stages -------------------------------------------------------------------------


class Map(Stage):
    """Adds or rewrites columns of each row by itself.

    The function may set `_error` on rows that it could not process. A stage that adds rows sets
    `expands` and gives each new row `_parent` and, by `document.child_keys`, its `_key`.
    """

    expands: ClassVar[bool] = False

    def open(self) -> Callable[[Batch], Batch]:
        raise NotImplementedError


@dataclass(frozen=True)
class Decision:
    """What a filter says of each row of a batch, and why. Arrays have one entry per row.

    `code` indexes `reasons`, -1 keeps. `value` and `threshold` belong to the rule that dropped the
    row (NaN where a rule has no number). `numbers` are the stage's measurements of *all* rows.
    `columns` are rewritten columns, which apply to the rows that are kept. `detail` says in words why
    a row went (null says nothing). `found` counts what was met, by name; the sums over a run are
    what `Filter.card` is given.
    """

    reasons: tuple[str, ...]
    code: NDArray[np.int16]
    value: NDArray[np.float64]
    threshold: NDArray[np.float64]
    numbers: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    columns: Mapping[str, pa.Array] = field(default_factory=dict)
    same_as: pa.Array | None = None
    similarity: NDArray[np.float64] | None = None
    detail: pa.Array | None = None
    found: Mapping[str, int] = field(default_factory=dict)

    @property
    def keep(self) -> NDArray[np.bool_]:
        return self.code < 0


@dataclass(frozen=True)
class Rule:
    """One line of a filter: its reason, the measurement that it reads, and the rows that fail."""

    reason: str
    measure: str
    threshold: float | None
    comparison: str
    """How a document is *kept*: one of `>=`, `>`, `<=`, `<`, or `not` for a flag."""


def at_least(reason: str, measure: str, minimum: float | None) -> Rule:
    """Keeps `measure >= minimum`; None switches the rule off."""
    return Rule(reason, measure, minimum, ">=")


def at_most(reason: str, measure: str, maximum: float | None) -> Rule:
    """Keeps `measure <= maximum`; None switches the rule off."""
    return Rule(reason, measure, maximum, "<=")


def above(reason: str, measure: str, minimum: float | None) -> Rule:
    """Keeps `measure > minimum`; None switches the rule off."""
    return Rule(reason, measure, minimum, ">")


def below(reason: str, measure: str, maximum: float | None) -> Rule:
    """Keeps `measure < maximum`; None switches the rule off."""
    return Rule(reason, measure, maximum, "<")


def absent(reason: str, measure: str, enabled: bool = True) -> Rule:
    """Keeps rows where the flag `measure` is 0."""
    return Rule(reason, measure, 0.0 if enabled else None, "not")


_FAILS: dict[str, Callable[[NDArray[np.float64], float], NDArray[np.bool_]]] = {
    ">=": lambda value, threshold: value < threshold,
    ">": lambda value, threshold: value <= threshold,
    "<=": lambda value, threshold: value > threshold,
    "<": lambda value, threshold: value >= threshold,
    "not": lambda value, threshold: value != 0,
}


def decide(
    measured: Mapping[str, NDArray[Any]],
    rules: Sequence[Rule],
    columns: Mapping[str, pa.Array] | None = None,
) -> Decision:
    """The first rule that a row fails is its reason; a NaN measurement fails no rule."""
    n_docs = len(next(iter(measured.values())))
    code = np.full(n_docs, -1, dtype=np.int16)
    value = np.full(n_docs, np.nan)
    threshold = np.full(n_docs, np.nan)
    for index, rule in enumerate(rules):
        if rule.threshold is None:
            continue
        measure = np.asarray(measured[rule.measure], dtype=np.float64)
        failed = _FAILS[rule.comparison](measure, rule.threshold) & (code < 0)
        failed &= ~np.isnan(measure)
        code[failed] = index
        value[failed] = measure[failed]
        threshold[failed] = rule.threshold
    reasons = tuple(rule.reason for rule in rules)
    return Decision(reasons, code, value, threshold, measured, columns or {})


class Filter(Stage):
    """Judges each row by itself: gives a reason to drop it, numbers, and rewritten columns."""

    def open(self) -> Callable[[Batch], Decision]:
        raise NotImplementedError

    def card(self, n_docs: int, found: Mapping[str, int]) -> dict[str, Any]:
        """What a whole run says of this stage: facts for the report, and `alarms` among them.

        `n_docs` documents came in; `found` are the sums of its decisions' `found`.
        """
        del n_docs, found
        return {}


# --- stages that must see everything ----------------------------------------------------------


class Barrier(Stage):
    """A stage whose decision on one row depends on the others.

    `sketch` reduces each row to a small one; `resolve` sees all sketches, through shuffles that
    hold bounded memory, and leaves a verdict per row; `apply` turns the verdicts of one shard into
    decisions, fused into the next segment.
    """

    def sketch(self) -> Callable[[Batch], pa.RecordBatch]:
        """One small row per row of the batch, in order. The engine adds `_at` and `_key`."""
        raise NotImplementedError

    def resolve(self, sketches: Sketches) -> dict[str, Any]:
        """Sketches -> verdict rows by shard, left in `sketches.verdicts(...)`; returns a card."""
        raise NotImplementedError

    def apply(
        self, card: Mapping[str, Any], verdicts: pa.Table | None
    ) -> Callable[[Batch], Decision]:
        """Decisions for one shard: `verdicts` are its verdict rows, sorted by `_at`."""
        raise NotImplementedError


# --- stages that make something other than rows ------------------------------------------------


class Rows:
    """A finished table as an artifact sees it: its row counts and a stream of its batches."""

    name: str
    n_docs: int
    digest: str

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        """All rows in order; `columns` None is all columns."""
        raise NotImplementedError


class Artifact(Stage):
    """Makes a thing with a card: a classifier, a verdict, training shards.

    `make` writes into `folder` (any fsspec path) and returns the card: JSON-able facts about what
    was made. `inputs` has a `Rows` for each table that a `TableRef` field names.
    """

    def make(
        self,
        inputs: Mapping[str, Rows],
        folder: str,
        run: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]],
    ) -> dict[str, Any]:
        """`run(function, items)` maps over the executor's workers, in order of items."""
        raise NotImplementedError


# --- the end ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Written:
    """One output file."""

    path: str
    n_docs: int
    n_bytes: int


class Sink(Stage):
    """Writes a table for users. Some shards are compacted into files of about `file_bytes`."""

    file_bytes: int = Field(
        default=512 * 2**20, ge=1, description="size of an output file to aim for, in bytes"
    )

    @property
    def extension(self) -> str:
        """How the names of its files end: `.parquet`, `.jsonl.zst`."""
        raise NotImplementedError

    def write(self, path: str, batches: Iterator[Batch]) -> Written:
        """One file from all `batches`; the file appears whole or not at all."""
        raise NotImplementedError
