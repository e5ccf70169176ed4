"""Random damage of every format: never an exception, never two rows in one place, shards agree."""

from __future__ import annotations

import bz2
import gzip
import io
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from ultraclean.inputs import Shard
from ultraclean.stage import Source
from ultraclean.stages.read.csv import Csv
from ultraclean.stages.read.jsonl import Jsonl
from ultraclean.stages.read.parquet import Parquet
from ultraclean.stages.read.warc import Warc
from ultraclean.stages.read.wet import Wet

LINES = [f'{{"text": "document {n} 日本", "id": {n}, "m": [1]}}\n'.encode() for n in range(400)]

CSV = b"id,text\n" + b"".join(b'%d,"document ""%d"",\n"\n' % (n, n) for n in range(400))


def warc() -> list[bytes]:
    records = []
    for number in range(40):
        body = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<p>ab\r\n0\r\n\r\n"
        head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://h/{number}\r\n"
        head += f"Content-Length: {len(body)}\r\n\r\n"
        records.append(head.encode() + body + b"\r\n\r\n")
    return records


def parquet() -> bytes:
    held = io.BytesIO()
    table = pa.table({"text": [f"document {n} é" for n in range(400)], "n": list(range(400))})
    pq.write_table(table, held, row_group_size=70, compression="zstd")
    return held.getvalue()


FILES: dict[str, tuple[bytes, type[Source]]] = {
    "jsonl": (b"".join(LINES), Jsonl),
    "jsonl.gz": (b"".join(gzip.compress(line, mtime=0) for line in LINES), Jsonl),
    "jsonl.zst": (zstandard.ZstdCompressor().compress(b"".join(LINES)), Jsonl),
    "parquet": (parquet(), Parquet),
    "jsonl.bz2": (bz2.compress(b"".join(LINES)), Jsonl),
    "csv": (CSV, Csv),
    "csv.gz": (gzip.compress(CSV, mtime=0), Csv),
    "wet": (b"".join(warc()).replace(b"response", b"conversion"), Wet),
    "warc": (b"".join(warc()), Warc),
    "warc.gz": (b"".join(gzip.compress(record, mtime=0) for record in warc()), Warc),
}


def damaged(content: bytes, generator: random.Random) -> bytes:
    hurt = bytearray(content)
    for _ in range(generator.choice([1, 1, 3, 20])):
        place, size = generator.randrange(len(hurt)), generator.randrange(1, 100)
        kind = generator.choice(["flip", "cut", "insert", "zero", "truncate"])
        if kind == "flip":
            hurt[place] ^= generator.randrange(1, 256)
        elif kind == "cut":
            del hurt[place : place + size]
        elif kind == "insert":
            hurt[place:place] = generator.randbytes(size)
        elif kind == "zero":
            hurt[place : place + size] = bytes(len(hurt[place : place + size]))
        elif generator.random() < 0.3 and place:
            del hurt[place:]
    return bytes(hurt) or b"x"


def rows_of(source: Source, shard_bytes: int) -> list[tuple[int, str | None]]:
    return [
        (row["_position"], row["_error"])
        for found in source.inputs()
        for part in source.split(found, shard_bytes)
        for batch in source.read(Shard(0, (part,)))
        for row in batch.data.to_pylist()
    ]


@pytest.mark.parametrize("name", FILES)
def test_random_damage(tmp_path: Path, name: str) -> None:
    content, kind = FILES[name]
    generator = random.Random(name)
    path = tmp_path / f"a.{name}"
    source = kind(path=str(path))  # type: ignore[call-arg]
    n_damaged = 0
    for _ in range(40):
        path.write_bytes(damaged(content, generator))
        rows = rows_of(source, 2**40)
        positions = [position for position, _ in rows]
        assert positions == sorted(set(positions))
        assert rows_of(source, generator.randrange(500, 5000)) == rows
        n_damaged += any(error for _, error in rows)
    assert n_damaged > 10
