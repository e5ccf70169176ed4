"""Reads web archives: WARC and ARC, plain, gzip, zstd, lz4 or bzip2, told by content.

WARC 1.0 and 1.1 (ISO 28500). Deliberately different from fastwarc and warcio: every intact record
after damage is read, a record that is shorter than its Content-Length is no document, and each
damaged stretch is one counted row with its offset. A document is an HTTP response of one of the
`media_types` (a response without Content-Type counts as HTML); other records are not documents.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import pyarrow as pa
from pydantic import Field

from ultraclean import storage
from ultraclean.document import Batch
from ultraclean.errors import DataError
from ultraclean.inputs import Input, Shard
from ultraclean.stage import Source
from ultraclean.stages.read import http
from ultraclean.stages.read.archive import Record, records
from ultraclean.stages.read.columns import LARGEST_BYTES, BadValueError, Rows, clean, to_json
from ultraclean.stages.read.compressed import blocks


class Warc(Source):
    """Pages of web archives. `_position` is the record's offset, counted after decompression."""

    stage: ClassVar[str] = "read.warc"
    main: ClassVar[str | None] = "path"
    paper: ClassVar[str] = "ISO 28500:2017"

    path: str = Field(description="file, folder or glob (with `**`), on any fsspec path")
    media_types: tuple[str, ...] | None = Field(
        default=("text/html", "application/xhtml+xml"),
        description="which responses are documents, by their Content-Type; null for all",
    )

    def inputs(self) -> list[Input]:
        found = storage.find(self.path)
        if not found:
            raise DataError(f"{self.stage}: no file matches {self.path!r}")
        return found

    def adds(self) -> Mapping[str, pa.DataType]:
        return {
            "id": pa.string(),
            "url": pa.string(),
            "html": pa.binary(),
            "status": pa.int64(),
            "metadata": pa.string(),
        }

    def read(self, shard: Shard) -> Iterator[Batch]:
        rows = Rows(self.adds())
        for part in shard.parts:
            rows.relative = part.relative
            with storage.open_read(part.path) as stream:
                for record in records(blocks(stream), LARGEST_BYTES):
                    if not isinstance(record, Record):
                        rows.error(record.position, record.message)
                    elif record.kind in {"response", "arc"}:
                        self._add(rows, record)
                    if rows.full:
                        yield from rows.take()
        yield from rows.take()

    def _add(self, rows: Rows, record: Record) -> None:
        url, identity, about = _arc(record) if record.kind == "arc" else _warc(record)
        if not url.lower().startswith(("http:", "https:")):
            return  # answers of name servers are responses too
        try:
            response = http.parse(record.body, LARGEST_BYTES)
        except BadValueError as error:
            rows.error(record.position, str(error), identity)
            return
        content_type = response.headers.get("content-type", about.pop("type", ""))
        media_type = content_type.split(";")[0].strip().lower()
        if self.media_types and media_type and media_type not in self.media_types:
            return
        about["content_type"] = content_type
        about["content_language"] = response.headers.get("content-language", "")
        values: dict[str, Any] = {
            "id": identity,
            "url": url,
            "html": response.body,
            "status": response.status,
            "metadata": to_json({name: value for name, value in about.items() if value}),
        }
        rows.add(record.position, len(response.body), values)


def _warc(record: Record) -> tuple[str, str | None, dict[str, str]]:
    """URL, id and other facts of a WARC record."""
    headers = http.headers(record.head)
    about = {
        "date": headers.get("warc-date", ""),
        "ip": headers.get("warc-ip-address", ""),
        "truncated": headers.get("warc-truncated", ""),
        "language": headers.get("warc-identified-content-language", ""),
        "type": headers.get("warc-identified-payload-type", ""),
    }
    # wget writes <http://...>, against the standard
    url = headers.get("warc-target-uri", "").removeprefix("<").removesuffix(">")
    identity = headers.get("warc-record-id", "").removeprefix("<").removesuffix(">")
    return url, identity or None, about


def _arc(record: Record) -> tuple[str, str | None, dict[str, str]]:
    line = clean(record.head.decode("utf-8", "surrogateescape")).rstrip("\r\n")
    url, ip, date, media_type, _ = line.rsplit(" ", 4)
    return url, None, {"date": date, "ip": ip, "type": media_type}
