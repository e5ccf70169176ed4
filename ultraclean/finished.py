"""What is finished: segments with their records, and the run as its caller gets it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.exchange import Piece
from ultraclean.ledger import Record
from ultraclean.plan import Plan, Segment
from ultraclean.stage import Rows
from ultraclean.unit import read_parquet

if TYPE_CHECKING:
    from polars import LazyFrame


@dataclass
class Done:
    """A finished segment: its records in order of shards, and a digest of what it made."""

    segment: Segment
    fingerprint: str
    records: list[Record]
    digest: str
    card: Record = field(default_factory=dict)
    folder: str = ""
    final: list[Piece] = field(default_factory=list)
    row_counts: list[int] = field(default_factory=list)
    units: Sequence[Any] = ()
    n_new: int = 0
    """Units that this run had to do; of a forecast, those that a run would have to do."""


@dataclass
class Finished:
    """A finished run: where it is, and what each segment did."""

    out: str
    plan: Plan
    done: dict[str, Done]

    @property
    def report(self) -> str:
        return storage.join(self.out, "report.html")

    def table(self, name: str) -> TableRows:
        """The rows of a table, whether or not the pipeline writes it."""
        return TableRows(name, self.done[self.plan.rows_of[name]])

    def scan(self, table: str) -> LazyFrame:
        """The rows of a table as a polars LazyFrame, over the files of its last segment."""
        return self._scan(self.plan.rows_of[table], "data")

    def dropped(self, table: str) -> LazyFrame:
        """A row per dropped document of a table: stage, reason, value, threshold, same_as, ..."""
        return self._scan_folder("dropped", table)

    def numbers(self, table: str) -> LazyFrame:
        """A row per document that entered a table: its fate, and what was measured on the way."""
        return self._scan_folder("numbers", table)

    def _scan(self, segment: str, what: str) -> LazyFrame:
        import polars

        records = self.done[segment].records
        return polars.scan_parquet([record[what]["path"] for record in records if record[what]])

    def _scan_folder(self, what: str, table: str) -> LazyFrame:
        import polars

        folder = storage.join(self.out, what, table)
        frames = [
            polars.scan_parquet(storage.join(folder, name)) for name in storage.names_in(folder)
        ]
        if not frames:
            raise DataError(f"{folder} is empty: nothing was {what} there")
        return polars.concat(frames, how="diagonal")

    def card(self, name: str) -> Record:
        """The card of an artifact."""
        return self.done[self.plan.artifact_of[name]].card


class TableRows(Rows):
    """A finished table, read segment file by segment file."""

    def __init__(self, name: str, done: Done) -> None:
        self.name = name
        self.n_docs = sum(record["n_out"] for record in done.records)
        self.digest = done.digest
        self._paths = [record["data"]["path"] for record in done.records if record["data"]]

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[Batch]:
        for path in self._paths:
            yield from read_parquet(path, columns)
