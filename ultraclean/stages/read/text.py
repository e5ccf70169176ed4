"""Reads files of plain text or Markdown, one document each.

Deliberately plain: no parsing, no front matter, no guess of an encoding; a file that is not UTF-8
(with or without byte order mark) or UTF-16 with one is a counted error row.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.inputs import Input, Shard
from ultraclean.stage import Source
from ultraclean.stages.read.columns import LARGEST_BYTES, Rows
from ultraclean.stages.read.compressed import DamagedError, blocks


class Text(Source):
    """One document per file: `id` is the path below the glob's root, `url` is null."""

    stage: ClassVar[str] = "read.text"
    main: ClassVar[str | None] = "path"

    path: str = Field(description="file, folder or glob (with `**`), on any fsspec path")

    def inputs(self) -> list[Input]:
        found = storage.find(self.path)
        if not found:
            raise DataError(f"{self.stage}: no file matches {self.path!r}")
        return found

    def adds(self) -> Mapping[str, pa.DataType]:
        return dict.fromkeys(("id", "text", "url", "metadata"), pa.string())

    def read(self, shard: Shard) -> Iterator[Batch]:
        rows = Rows(self.adds())
        for part in shard.parts:
            rows.relative = part.relative
            with storage.open_read(part.path) as stream:
                try:
                    content = _content(blocks(stream))
                    text = decode(content)
                    # a file of zero bytes is no document
                    if content:
                        rows.add(0, len(content), {"id": part.relative, "text": text})
                except DamagedError as error:
                    rows.error(0, str(error), part.relative)
            if rows.full:
                yield from rows.take()
        yield from rows.take()


def _content(pieces: Iterator[bytes | DamagedError]) -> bytes:
    held: list[bytes] = []
    n_bytes = 0
    for piece in pieces:
        if isinstance(piece, DamagedError):
            raise piece
        n_bytes += len(piece)
        if n_bytes > LARGEST_BYTES:
            raise DamagedError(f"TooLarge: a text of more than {LARGEST_BYTES:,} bytes")
        held.append(piece)
    return b"".join(held)


def decode(content: bytes) -> str:
    """Text of a file; DamagedError says at which byte it is not UTF-8."""
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        kind = "InvalidUtf16" if wide else "InvalidUtf8"
        raise DamagedError(f"{kind}: byte 0x{content[error.start]:02x} at {error.start}") from None
