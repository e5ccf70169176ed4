"""Writes one Lance dataset of all rows, in one commit.

Fragments are cut by rows and bytes. The dataset is there when its first version is committed, which is one file
put last, and not before; what an attempt that was killed has left is removed. It is an artifact, not a
sink, since a dataset is all of its fragments. The package gives data files random names, so two runs
have the same rows in the same order and not the same bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final

import pyarrow as pa
from pydantic import Field

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.stage import Artifact, Rows
from ultraclean.stages.write.rows import row_groups, selected

_ROWS: Final = 16_384
_BYTES: Final = 64 * 2**20  # of a batch: a fragment ends with one


class Lance(Artifact):
    """`data.lance` in the table's folder."""

    stage: ClassVar[str] = "write.lance"
    paper: ClassVar[str] = "lance.org"
    extras: ClassVar[Mapping[str, str]] = {"lance": '"ultraclean-data[lance]"'}
    deterministic: ClassVar[bool] = False

    columns: tuple[str, ...] | None = Field(
        default=None, description="columns to write, in this order; by default all but our own"
    )
    tag: str | None = Field(
        default=None, pattern=r"^[\w.-]+$", description="a tag for the version that is written"
    )
    fragment_rows: int = Field(default=2**20, ge=1, description="most rows of a fragment")
    file_bytes: int = Field(
        default=512 * 2**20, ge=1, description="a fragment ends at about this size, in bytes"
    )

    def needs(self) -> tuple[str, ...]:
        return self.columns or ()

    def make(
        self,
        inputs: Mapping[str, Rows],
        folder: str,
        run: Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]],
    ) -> dict[str, Any]:
        lance = storage.lance_package()
        del run  # one commit of one stream
        (rows,) = inputs.values()
        if not rows.n_docs:
            raise DataError(f"{self.called}: the table {rows.name} has no rows")
        path = storage.join(folder, "data.lance")
        storage.remove(path, recursive=True)
        groups = row_groups(
            (selected(batch, self.columns) for batch in self._checked(rows)), _ROWS, _BYTES
        )
        first = next(groups)
        stream = itertools.chain([first], groups)
        batches = (batch for group in stream for batch in group.to_batches())
        made = lance.write_dataset(
            pa.RecordBatchReader.from_batches(first.schema, batches),
            path,
            mode="create",
            max_rows_per_file=self.fragment_rows,
            max_bytes_per_file=self.file_bytes,
            storage_options=storage.object_store_options(path),
        )
        if self.tag is not None:
            made.tags.create(self.tag, made.version)
        fragments = made.get_fragments()
        sizes = [file.file_size_bytes or 0 for one in fragments for file in one.data_files()]
        return {
            "kind": self.stage,
            "table": rows.name,
            "path": path,
            "version": made.version,
            "tag": self.tag,
            "n_docs": made.count_rows(),
            "n_fragments": len(fragments),
            "n_bytes": sum(sizes),
            "columns": {field.name: str(field.type) for field in made.schema},
        }

    def _checked(self, rows: Rows) -> Iterator[Batch]:
        for batch in rows.batches():
            missing = [column for column in self.needs() if column not in batch]
            if missing:
                there = ", ".join(name for name in batch.names if not name.startswith("_"))
                message = f"the table {rows.name} has no column {missing[0]!r}; there are: {there}"
                raise DataError(f"{self.called}: {message}")
            yield batch
