"""Writes dialogues in a format that people train on: OpenAI messages, ShareGPT, Alpaca, UltraChat's, MiniCPM4-MCP's.

What a format cannot say (Alpaca has no tools, UltraChat no system turn) is an error that names the
document: nothing is left out in silence. Columns named in `also` go along, as fields of the record.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import IO, Any, ClassVar, Literal, cast

import orjson
from pydantic import Field

from ultrachat.dialogue import of_row
from ultrachat.formats import WRITERS, NotADialogue
from ultraclean import storage
from ultraclean.document import KEY, Batch
from ultraclean.errors import DataError
from ultraclean.stage import Sink, Written


class Write(Sink):
    stage: ClassVar[str] = "chat.write"
    main: ClassVar[str | None] = "format"
    paper: ClassVar[str] = "OpenAI chat completions; LLaMA-Factory's ShareGPT and Alpaca; UltraChat"

    format: Literal["openai", "sharegpt", "alpaca", "ultrachat", "mcp"] = Field(
        default="openai", description="which records are written, one per line"
    )
    also: tuple[str, ...] = Field(default=(), description="columns that go along: `track`, `proof`")
    compressed: bool = Field(default=False, description="zstd instead of plain text")

    @property
    def extension(self) -> str:
        return ".jsonl.zst" if self.compressed else ".jsonl"

    def needs(self) -> tuple[str, ...]:
        return ("messages", *self.also)

    def write(self, path: str, batches: Iterator[Batch]) -> Written:
        n_docs = 0
        with storage.atomic_write(path) as stream:
            with self._sink(stream) as sink:
                for batch in batches:
                    for row in batch.data.to_pylist():
                        sink.write(orjson.dumps(self.record(row)) + b"\n")
                        n_docs += 1
            n_bytes = stream.tell()
        return Written(path, n_docs, n_bytes)

    def record(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row as a record of the format; its id is the document's, or its key."""
        name = str(row.get("id") or (row[KEY].hex() if row.get(KEY) else ""))
        try:
            if row["messages"] is None:
                raise NotADialogue("there are no messages (chat.passed drops such rows)")
            made = WRITERS[self.format](of_row(row["messages"], row.get("tools")))
        except NotADialogue as error:
            message = f"{self.called}: the document {name} cannot be said in {self.format}: {error}"
            raise DataError(message) from None
        return {**({"id": name} if name else {}), **{k: v for k, v in made.items() if k != "id"}, **{k: row[k] for k in self.also}}  # fmt: skip

    def _sink(self, stream: IO[bytes]) -> contextlib.AbstractContextManager[IO[bytes]]:
        if not self.compressed:
            return contextlib.nullcontext(stream)
        import zstandard

        writer = zstandard.ZstdCompressor(level=3, write_checksum=True).stream_writer(stream, closefd=False)  # fmt: skip
        return cast("contextlib.AbstractContextManager[IO[bytes]]", writer)
