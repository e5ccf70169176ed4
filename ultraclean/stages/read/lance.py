"""Reads Lance datasets by fragments, and of each only the columns that are needed.

Fragments are what is cut into shards and frozen: rows that are appended are new fragments, which the
next run reads; one of which rows were deleted or rewritten has changed, as a changed file has.
`_position` is the row's offset in its fragment, which does not move when others are deleted. A data file
that is damaged is a counted row, and the next fragments are read. Keys and endpoint of S3 are those
of the environment and of fsspec's configuration, as of all readers.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

import numpy as np
import pyarrow as pa
from pydantic import Field

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.inputs import Input, Part, Shard
from ultraclean.stages.read.columns import BATCH_BYTES, BATCH_ROWS
from ultraclean.stages.read.tabular import Tabular, bounded

ADDRESS: Final = "_rowaddr"


class Lance(Tabular):
    """Lance datasets: `path` is the folder of one, or a glob of folders."""

    stage: ClassVar[str] = "read.lance"
    main: ClassVar[str | None] = "path"
    paper: ClassVar[str] = "lance.org"
    extras: ClassVar[Mapping[str, str]] = {"lance": '"ultraclean-data[lance]"'}

    revision: int | str | None = Field(
        default=None, description="number or tag of a version of the dataset; off: the latest"
    )

    def inputs(self) -> list[Input]:
        """A fragment is an input; its stamp names its files, and what was deleted of it."""
        path = storage.expand(self.path)
        folders = storage.folders(path) if any(mark in path for mark in "*?[") else {"": path}
        if not folders:
            raise DataError(f"{self.stage}: no folder matches {self.path!r}")
        return [
            _input(folder, relative, fragment)
            for relative, folder in folders.items()
            for fragment in self._dataset(folder).get_fragments()
        ]

    def split(self, found: Input, shard_bytes: int) -> list[Part]:
        """Runs of rows that were not deleted, of about `shard_bytes`."""
        n_rows = int(found.stamp.split(" ", 1)[0])
        n_parts = min(max(1, n_rows), -(-found.size // shard_bytes))
        cuts = [n_rows * index // max(1, n_parts) for index in range(max(1, n_parts))]
        return [
            Part(found.path, found.relative, found.size, found.stamp, start, stop)
            for start, stop in zip(cuts, [*cuts[1:], n_rows], strict=True)
        ]

    def read(self, shard: Shard) -> Iterator[Batch]:
        datasets: dict[str, Any] = {}
        for part in shard.parts:
            if part.path not in datasets:
                datasets[part.path] = self._dataset(part.path)
            number = int(posixpath.basename(part.relative).removeprefix("fragment-"))
            fragment = datasets[part.path].get_fragment(number)
            if fragment is None or _stamp(fragment) != part.stamp:
                raise DataError(
                    f"{self.stage}: fragment {number} of {part.path} is not the one that was found when "
                    "the run began: it was deleted, rewritten, or rows of it were; read a `revision`"
                )
            yield from self._rows(fragment, part)

    def _rows(self, fragment: Any, part: Part) -> Iterator[Batch]:
        assert part.stop is not None
        n_rows = int(part.stamp.split(" ", 1)[0])
        size = max(1, min(BATCH_ROWS, BATCH_BYTES * n_rows // max(1, part.size)))
        position = part.start
        try:
            batches = fragment.to_batches(
                columns=self._columns(fragment.schema.names),
                batch_size=size,
                offset=part.start,
                limit=part.stop - part.start,
                with_row_address=True,
            )
            for data in batches:
                for piece in bounded(data):
                    offsets = piece[ADDRESS].to_numpy().astype(np.int64) & 0xFFFFFFFF
                    yield self.batch(part.relative, offsets, piece.drop_columns([ADDRESS]))
                    position = int(offsets[-1]) + 1
        except (OSError, ValueError, pa.ArrowException) as error:
            yield from self.failed(part, position, f"rows from {position:,}: {_said(error)}")

    def _columns(self, names: list[str]) -> list[str]:
        """The top-level columns to read, in the dataset's order."""
        if self.metadata:
            return names
        wanted = self.top_fields()
        return [name for name in names if name in wanted]

    def _dataset(self, folder: str) -> Any:
        lance = storage.lance_package()
        options = storage.object_store_options(folder)
        try:
            latest = lance.dataset(folder, storage_options=options)
        except (OSError, ValueError) as error:
            message = f"{self.stage}: {folder} is no Lance dataset, or damaged: {_said(error)}"
            raise DataError(message) from None
        if self.revision is None:
            return latest
        try:
            return lance.dataset(folder, version=self.revision, storage_options=options)
        except (OSError, ValueError):
            there = [str(version["version"]) for version in latest.versions()]
            there = [*there[:1], "...", *there[-3:]] if len(there) > 4 else there
            there += sorted(latest.tags.list())
            raise DataError(
                f"{self.stage}: {folder} has no version {self.revision!r}; there are: {', '.join(there)}"
            ) from None


def _input(folder: str, relative: str, fragment: Any) -> Input:
    n_bytes = sum(file.file_size_bytes or 0 for file in fragment.data_files())
    name = f"fragment-{fragment.fragment_id:05d}"
    return Input(
        folder,
        posixpath.join(relative, name),
        n_bytes or 1024 * fragment.count_rows(),  # old datasets do not say
        _stamp(fragment),
    )


def _stamp(fragment: Any) -> str:
    """Number of rows, then the names of the fragment's files."""
    files = sorted(file.path for file in fragment.data_files())
    return " ".join([str(fragment.count_rows()), *files, fragment.deletion_file() or ""])


def _said(error: Exception) -> str:
    """Without the places in the package's own source."""
    return str(error).split(", /home/runner", 1)[0].split(", /rustc", 1)[0]
