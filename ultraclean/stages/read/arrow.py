"""Reads Arrow IPC: files (Feather 2) and streams, told by content.

What Hugging Face `datasets` keeps on disk are such streams. As in `read.parquet` every file is
brought to the declared types by itself, text is checked to be UTF-8, and a record batch that cannot
be decoded is one counted row; of a file the next batches are read, a stream ends there.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any, ClassVar, Final

import pyarrow as pa

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.inputs import Part, Shard
from ultraclean.stages.read.columns import BATCH_BYTES, BATCH_ROWS
from ultraclean.stages.read.tabular import Tabular, bounded

MAGIC: Final = b"ARROW1"
BINARY: Final = {
    pa.string(): pa.binary(),
    pa.large_string(): pa.large_binary(),
    pa.string_view(): pa.binary_view(),
}


class Arrow(Tabular):
    """Arrow IPC files and streams. `_position` is the row's index in its file."""

    stage: ClassVar[str] = "read.arrow"
    main: ClassVar[str | None] = "path"
    paper: ClassVar[str] = "arrow.apache.org, Columnar Format, IPC"

    def read(self, shard: Shard) -> Iterator[Batch]:
        for part in shard.parts:
            if part.size == 0:
                continue
            with storage.open_read(part.path) as stream:
                yield from self._rows(_Bounded(stream, part.size), part)

    def _rows(self, stream: _Bounded, part: Part) -> Iterator[Batch]:
        position = 0
        try:
            batches = _batches(stream)
            for number, data in enumerate(batches):
                if isinstance(data, Exception):
                    message = f"record batch {number}, from row {position:,}: {data}"
                    yield from self.failed(part, position, message)
                    # what was lost counts as one row, so that no two rows share a position
                    position += 1
                    continue
                size = max(1, min(BATCH_ROWS, BATCH_BYTES * data.num_rows // max(1, data.nbytes)))
                for start in range(0, data.num_rows, size):
                    for piece in bounded(self._chosen(data.slice(start, size))):
                        yield self.batch(part.relative, position, piece)
                        position += piece.num_rows
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            yield from self.failed(part, position, f"no readable Arrow file ({error})")

    def _chosen(self, data: pa.RecordBatch) -> pa.RecordBatch:
        """Without the columns that nothing asks for."""
        if self.metadata:
            return data
        wanted = self.top_fields()
        return data.select([name for name in data.schema.names if name in wanted])


class _Bounded(io.RawIOBase):
    """A file of known size, of which nobody can ask for more: damaged lengths ask for petabytes."""

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream, self._size = stream, size

    def read(self, n_bytes: int | None = -1) -> bytes:
        left = max(0, self._size - self._stream.tell())
        wanted = left if n_bytes is None or n_bytes < 0 else min(n_bytes, left)
        return self._stream.read(wanted)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def _batches(stream: _Bounded) -> Iterator[Any]:
    """Record batches; in the place of one that cannot be decoded its error."""
    head = stream.read(len(MAGIC))
    stream.seek(0)
    if head != MAGIC:
        for data in pa.ipc.open_stream(stream):
            yield _checked(data)
        return
    file = pa.ipc.open_file(stream)
    for index in range(file.num_record_batches):
        try:
            yield _checked(file.get_batch(index))
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            yield error


def _checked(data: pa.RecordBatch) -> pa.RecordBatch | pa.ArrowException:
    """The batch if no offset in it points elsewhere; text that is no UTF-8 is found row by row."""
    columns = [
        column.cast(BINARY[column.type]) if column.type in BINARY else column
        for column in data.columns
    ]
    try:
        data.validate()
        for column in columns:
            column.validate(full=True)
    except pa.ArrowException as error:
        return error
    return data
