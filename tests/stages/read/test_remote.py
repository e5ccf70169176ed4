"""All sources and sinks on a file system that is not the local disk."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ultraclean.document import Batch
from ultraclean.inputs import Shard
from ultraclean.stage import Sink, Source
from ultraclean.stages.read.jsonl import Jsonl
from ultraclean.stages.read.parquet import Parquet
from ultraclean.stages.read.text import Text
from ultraclean.stages.read.warc import Warc
from ultraclean.stages.write.jsonl import Jsonl as WriteJsonl
from ultraclean.stages.write.parquet import Parquet as WriteParquet

TEXTS = [f"document {number} 日本" for number in range(300)]


@pytest.fixture
def folder() -> Iterator[str]:
    yield "memory://bucket"
    fsspec.filesystem("memory").store.clear()


def put(path: str, content: bytes) -> None:
    with fsspec.open(path, "wb") as stream:
        stream.write(content)


def rows_of(source: Source, shard_bytes: int = 1000) -> list[dict[str, Any]]:
    parts = [part for found in source.inputs() for part in source.split(found, shard_bytes)]
    return [
        row
        for part in parts
        for batch in source.read(Shard(0, (part,)))
        for row in batch.data.to_pylist()
    ]


def test_json_lines(folder: str) -> None:
    lines = "".join(f'{{"text": "{text}"}}\n' for text in TEXTS).encode()
    put(f"{folder}/in/a.jsonl", lines)
    put(f"{folder}/in/deep/b.jsonl.gz", gzip.compress(lines))
    rows = rows_of(Jsonl(path=f"{folder}/in/**/*.jsonl*"))
    assert [row["text"] for row in rows] == TEXTS * 2
    assert sorted({row["_path"] for row in rows}) == ["a.jsonl", "deep/b.jsonl.gz"]


def test_parquet(folder: str) -> None:
    held = io.BytesIO()
    pq.write_table(pa.table({"text": TEXTS}), held, row_group_size=50)
    put(f"{folder}/a.parquet", held.getvalue())
    rows = rows_of(Parquet(path=f"{folder}/*.parquet"))
    assert [row["text"] for row in rows] == TEXTS
    put(f"{folder}/a.parquet", held.getvalue()[:-20])
    (row,) = rows_of(Parquet(path=f"{folder}/*.parquet"))
    assert row["_error"].startswith("CorruptFile: ")


def test_text_and_archives(folder: str) -> None:
    put(f"{folder}/a.md", TEXTS[0].encode())
    assert [row["text"] for row in rows_of(Text(path=folder))] == TEXTS[:1]
    body = b"HTTP/1.1 200 OK\r\n\r\n<p>page"
    head = "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://h/\r\nContent-Length: "
    record = gzip.compress(head.encode() + f"{len(body)}\r\n\r\n".encode() + body + b"\r\n\r\n")
    damaged = record[:40] + b"\xff" * 20 + record[60:]
    put(f"{folder}/w/a.warc.gz", record + damaged + record)
    rows = rows_of(Warc(path=f"{folder}/w"))
    assert [row["html"] for row in rows if not row["_error"]] == [b"<p>page"] * 2
    assert sum(row["_error"] is not None for row in rows) == 1


@pytest.mark.parametrize("sink", [WriteParquet(), WriteJsonl()])
def test_sinks(folder: str, sink: Sink) -> None:
    batch = Batch.of(id=["a", "b"], text=["x", "y"])
    written = sink.write(f"{folder}/out{sink.extension}", iter([batch]))
    assert written.n_docs == 2
    assert written.n_bytes == fsspec.filesystem("memory").size(f"/bucket/out{sink.extension}")
    source = Parquet if isinstance(sink, WriteParquet) else Jsonl
    rows = rows_of(source(path=f"{folder}/out*"))
    assert [row["text"] for row in rows] == ["x", "y"]
