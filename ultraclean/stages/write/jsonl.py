"""Writes JSON lines: plain, gzip or zstd.

The same rows give the same bytes, however they were batched. `metadata` is written as the object
that it holds, `_key` as hexadecimal digits, other binary columns as base64; what is not finite is
null, as JSON has no word for it.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
from collections.abc import Iterator
from typing import IO, Any, ClassVar, Final, Literal, cast

import orjson
import pyarrow as pa
from pydantic import Field

from ultraclean import storage
from ultraclean.document import KEY, PARENT, Batch
from ultraclean.stage import Sink, Written
from ultraclean.stages.write.rows import selected

BLOCK: Final = 2**20
EXTENSIONS: Final = {None: ".jsonl", "gz": ".jsonl.gz", "zst": ".jsonl.zst"}


class Jsonl(Sink):
    """JSON lines for users, one object per document."""

    stage: ClassVar[str] = "write.jsonl"

    columns: tuple[str, ...] | None = Field(
        default=None, description="columns to write, in this order; by default all but our own"
    )
    compression: Literal["gz", "zst"] | None = Field(
        default="zst", description="gz, zst, or null for plain text"
    )
    level: int | None = Field(
        default=None, ge=1, le=22, description="compression level; by default 3 (zst) or 6 (gz)"
    )

    @property
    def extension(self) -> str:
        """Depends on the compression, so it is a property of the instance."""
        return EXTENSIONS[self.compression]

    def needs(self) -> tuple[str, ...]:
        return self.columns or ()

    def write(self, path: str, batches: Iterator[Batch]) -> Written:
        n_docs = 0
        with storage.atomic_write(path) as stream:
            with self._compressor(stream) as sink:
                held = bytearray()
                for batch in batches:
                    n_docs += batch.num_rows
                    for line in _lines(selected(batch, self.columns)):
                        held += line
                        # blocks of one size: a compressor's output may depend on how it is fed
                        while len(held) >= BLOCK:
                            sink.write(bytes(memoryview(held)[:BLOCK]))
                            del held[:BLOCK]
                sink.write(bytes(held))
            n_bytes = stream.tell()
        return Written(path, n_docs, n_bytes)

    def _compressor(self, stream: IO[bytes]) -> contextlib.AbstractContextManager[IO[bytes]]:
        if self.compression == "gz":
            level = min(self.level or 6, 9)
            file = gzip.GzipFile("", "wb", compresslevel=level, fileobj=stream, mtime=0)
            return cast("contextlib.AbstractContextManager[IO[bytes]]", file)
        if self.compression == "zst":
            import zstandard

            context = zstandard.ZstdCompressor(level=self.level or 3, write_checksum=True)
            return cast(
                "contextlib.AbstractContextManager[IO[bytes]]",
                context.stream_writer(stream, closefd=False),
            )
        return contextlib.nullcontext(stream)


def _lines(batch: pa.RecordBatch) -> Iterator[bytes]:
    for start in range(0, batch.num_rows, 256):
        for row in batch.slice(start, 256).to_pylist():
            shown = {name: _plain(name, value) for name, value in row.items()}
            yield orjson.dumps(shown, default=_other, option=orjson.OPT_APPEND_NEWLINE)


def _plain(name: str, value: Any) -> Any:
    if name == "metadata" and isinstance(value, str):
        return orjson.Fragment(value) if _is_json(value) else value
    if isinstance(value, bytes):
        return value.hex() if name in {KEY, PARENT} else base64.b64encode(value).decode()
    return value


def _is_json(value: str) -> bool:
    try:
        orjson.loads(value)
    except ValueError:
        return False
    return "\n" not in value


def _other(value: Any) -> Any:
    """What Arrow gives and JSON lacks: nested bytes, times, decimals."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
