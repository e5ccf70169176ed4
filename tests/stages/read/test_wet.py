"""read.wet: texts of Common Crawl."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ultraclean.errors import DataError
from ultraclean.inputs import Shard
from ultraclean.stages.read.wet import Wet


def rows_of(path: Path) -> list[dict[str, Any]]:
    stage = Wet(path=str(path))
    parts = tuple(part for found in stage.inputs() for part in stage.split(found, 10))
    return [row for batch in stage.read(Shard(0, parts)) for row in batch.data.to_pylist()]


def record(kind: str, number: int, body: bytes) -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: http://h/{number}\r\n"
        f"WARC-Record-ID: <urn:uuid:{number}>\r\nWARC-Date: 2024-01-0{number}T00:00:00Z\r\n"
        f"WARC-Identified-Content-Language: zho,eng\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


BODIES = [b"One page\nof text", "第二页 😀".encode(), b"caf\xe9", b""]
CONTENT = record("warcinfo", 0, b"software: x") + b"".join(
    record("conversion", number, body) for number, body in enumerate(BODIES, 1)
)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress])
def test_records(tmp_path: Path, pack: Any) -> None:
    path = tmp_path / "x"
    path.write_bytes(pack(CONTENT))
    rows = rows_of(path)
    assert [row["text"] for row in rows] == ["One page\nof text", "第二页 😀", None, ""]
    assert [row["id"] for row in rows] == [f"urn:uuid:{number}" for number in range(1, 5)]
    assert rows[0]["url"] == "http://h/1"
    assert json.loads(rows[0]["metadata"]) == {
        "date": "2024-01-01T00:00:00Z",
        "language": "zho,eng",
        "content_type": "text/plain",
    }
    assert rows[2]["_error"] == "InvalidUtf8: byte 0xe9 at byte 3 of the record"
    assert rows[1]["_position"] == CONTENT.index(b"WARC/1.0", rows[0]["_position"] + 1)


def test_damage_and_nothing_found(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(CONTENT[:-20])
    assert rows_of(path)[-1]["_error"] is not None
    with pytest.raises(DataError, match=r"read\.wet: no file matches"):
        Wet(path=str(tmp_path / "none*")).inputs()


def test_a_file_of_common_crawl(shared_data: Path) -> None:
    rows = rows_of(shared_data / "warc" / "whirlwind.warc.wet.gz")
    assert rows and all(row["_error"] is None and row["url"].startswith("http") for row in rows)
    assert sum(len(row["text"]) for row in rows) > 1000
