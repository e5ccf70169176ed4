"""Reads the text that Common Crawl took out of pages: WET files, plain or compressed.

WET is WARC with a `conversion` record of plain text for each page. As in `read.warc`, every intact
record after damage is read, and each damaged stretch is one counted row. Common Crawl's extraction
keeps menus and footers; `read.warc` with `extract.html` gives cleaner text of the same crawl.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import pyarrow as pa
from pydantic import Field

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.inputs import Input, Shard
from ultraclean.stage import Source
from ultraclean.stages.read import http
from ultraclean.stages.read.archive import Record, records
from ultraclean.stages.read.columns import LARGEST_BYTES, Rows, to_json
from ultraclean.stages.read.compressed import blocks


class Wet(Source):
    """Texts of web pages. `_position` is the record's offset, counted after decompression."""

    stage: ClassVar[str] = "read.wet"
    main: ClassVar[str | None] = "path"
    paper: ClassVar[str] = "ISO 28500:2017, conversion records; commoncrawl.org"

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
                for record in records(blocks(stream), LARGEST_BYTES):
                    if not isinstance(record, Record):
                        rows.error(record.position, record.message)
                    elif record.kind == "conversion":
                        _add(rows, record)
                    if rows.full:
                        yield from rows.take()
        yield from rows.take()


def _add(rows: Rows, record: Record) -> None:
    headers = http.headers(record.head)
    identity = headers.get("warc-record-id", "").removeprefix("<").removesuffix(">") or None
    try:
        text = record.body.decode()
    except UnicodeDecodeError as error:
        byte = record.body[error.start]
        message = f"InvalidUtf8: byte 0x{byte:02x} at byte {error.start} of the record"
        rows.error(record.position, message, identity)
        return
    about = {
        "date": headers.get("warc-date", ""),
        "language": headers.get("warc-identified-content-language", ""),
        "page": headers.get("warc-refers-to", "").removeprefix("<").removesuffix(">"),
        "content_type": headers.get("content-type", ""),
    }
    values = {
        "id": identity,
        "text": text,
        "url": headers.get("warc-target-uri", "").removeprefix("<").removesuffix(">"),
        "metadata": to_json({name: value for name, value in about.items() if value}),
    }
    rows.add(record.position, len(record.body), values)
