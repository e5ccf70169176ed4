"""read.warc: real and malformed archives, and planted damage after which nothing intact is lost."""

from __future__ import annotations

import gzip
import json
import random
import zlib
from pathlib import Path
from typing import Any

import pytest
import zstandard

from ultraclean.errors import DataError
from ultraclean.inputs import Shard
from ultraclean.stages.read import http
from ultraclean.stages.read.archive import Record, records
from ultraclean.stages.read.columns import BadValueError
from ultraclean.stages.read.compressed import blocks
from ultraclean.stages.read.warc import Warc


def rows_of(path: str, **fields: Any) -> list[dict[str, Any]]:
    stage = Warc(path=path, **fields)
    rows = []
    for found in stage.inputs():
        batches = list(stage.read(Shard(0, tuple(stage.split(found, 1)))))
        assert all(batch.names[: len(stage.adds())] == list(stage.adds()) for batch in batches)
        rows += [row for batch in batches for row in batch.data.to_pylist()]
    places = [(row["_path"], row["_position"]) for row in rows]
    assert len(set(places)) == len(places)
    return rows


# file -> (intact records, HTTP responses, damaged stretches); counted by hand from the headers
SHARED = {
    "bad.arc": (1, 0, 4),  # three lengths of -1 and abc; one record of a single newline, no HTTP
    "block-sized-records.warc.gz": (3, 0, 0),
    "cc.warc.gz": (1, 1, 0),
    "clipped.warc.gz": (0, 0, 1),
    "example-bad-non-chunked.warc.gz": (6, 1, 0),
    "example-bad.warc.gz.bad": (6, 2, 0),
    "example-digest.warc": (4, 0, 0),
    "example-iana.org-chunked.warc": (3, 1, 0),
    "example-resource.warc.gz": (3, 0, 0),
    "example-space-in-target-uri.warc.gz": (2, 0, 0),
    "example-space-in-url.arc": (1, 0, 1),  # 1,579 bytes of 1,591
    "example-trunc.warc": (4, 1, 1),  # a Content-Length that is two bytes too short
    "example-wget-bad-target-uri.warc.gz": (6, 1, 0),
    "example-wrong-chunks.warc.gz": (2, 1, 0),
    "example.arc": (2, 1, 0),
    "example.arc.gz": (2, 1, 0),
    "example.warc": (6, 1, 0),
    "example.warc.gz": (6, 1, 0),
    "post-test.warc.gz": (6, 3, 0),
    "sample-0000.warc.gz": (48, 22, 0),
    "sample-0001.warc.gz": (34, 15, 0),
    "sample-1.warc.gz": (231, 65, 0),  # five more responses are of name servers
    "warcfile.warc.gz": (50, 16, 0),
    "warcfile.warc.lz4": (50, 16, 0),
    "whirlwind.warc.gz": (4, 1, 0),
    "whirlwind.warc.wet.gz": (2, 0, 0),
}


def test_all_shared_archives(shared_data: Path) -> None:
    folder = shared_data / "warc"
    counts = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as stream:
            intact = sum(isinstance(one, Record) for one in records(blocks(stream), 2**30))
        rows = rows_of(str(path), media_types=None)
        errors = [row for row in rows if row["_error"]]
        counts[path.name] = (intact, len(rows) - len(errors), len(errors))
    assert counts == SHARED


def test_columns_of_a_real_page(shared_data: Path) -> None:
    (row,) = rows_of(str(shared_data / "warc" / "whirlwind.warc.gz"))
    assert row["url"] == "https://an.wikipedia.org/wiki/Escopete"
    assert row["id"].startswith("urn:uuid:")
    assert row["html"].startswith(b"<!DOCTYPE html>")
    assert row["status"] == 200
    assert json.loads(row["metadata"])["content_type"] == "text/html; charset=UTF-8"
    (row,) = rows_of(str(shared_data / "warc" / "example-wget-bad-target-uri.warc.gz"))
    assert row["url"] == "http://example.com/"
    (row,) = rows_of(str(shared_data / "warc" / "example.arc"))
    assert (row["url"], row["id"]) == ("http://example.com/", "example.arc#151")


def test_the_same_payloads_as_fastwarc(shared_data: Path) -> None:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    for name in ("sample-0000.warc.gz", "sample-1.warc.gz", "warcfile.warc.lz4"):
        path = shared_data / "warc" / name
        with path.open("rb") as stream:
            theirs = [
                (record.headers["WARC-Record-ID"].strip("<>"), record.reader.read())
                for record in ArchiveIterator(
                    stream, record_types=WarcRecordType.response, parse_http=False
                )
            ]
        with path.open("rb") as stream:
            ours = [
                (http.headers(one.head)["warc-record-id"].strip("<>"), one.body)
                for one in records(blocks(stream), 2**30)
                if isinstance(one, Record) and one.kind == "response"
            ]
        assert ours == theirs


def a_record(number: int, size: int = 400) -> bytes:
    page = f"<html>page {number} ".encode() + bytes(
        random.Random(number).choices(range(32, 127), k=size)
    )
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://h/{number}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


N_RECORDS = 30
RECORDS = [a_record(number, 50 + 97 * number) for number in range(N_RECORDS)]


def urls(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["url"].rsplit("/", 1)[1]) for row in rows if not row["_error"]]


@pytest.mark.parametrize("each", [True, False], ids=["gz per record", "plain"])
@pytest.mark.parametrize("damage", ["flip", "cut", "junk", "junk between", "header"])
def test_only_the_damaged_record_is_lost(tmp_path: Path, each: bool, damage: str) -> None:
    generator = random.Random(damage)
    for number in (0, 7, 29):
        pack = gzip.compress if each else bytes
        members = [pack(record) for record in RECORDS]
        hurt = members[number]
        place = generator.randrange(len(hurt) // 3, len(hurt) // 2)
        if damage == "flip":
            hurt = hurt[:place] + bytes([hurt[place] ^ 0x55]) + hurt[place + 1 :]
        elif damage == "cut":
            hurt = hurt[:place] + hurt[place + 50 :]
        elif damage == "junk":
            hurt = hurt[:place] + generator.randbytes(300) + hurt[place:]
        elif damage == "junk between":
            hurt += generator.randbytes(100) + b"\r\n"
        else:
            broken = RECORDS[number].replace(b"Content-Length:", b"Content-Lxngth:", 1)
            hurt = pack(broken)
        path = tmp_path / "a.warc"
        path.write_bytes(b"".join([*members[:number], hurt, *members[number + 1 :]]))
        rows = rows_of(str(path))
        kept = damage == "junk between" or (damage == "flip" and not each)
        expected = [one for one in range(N_RECORDS) if kept or one != number]
        found = urls(rows)
        # a plain archive has no checksums: what hurts the content alone cannot be seen
        assert [one for one in found if one != number] == [one for one in expected if one != number]
        errors = [row["_error"] for row in rows if row["_error"]]
        if damage == "flip" and not each:
            assert errors == []
        else:
            assert 1 <= len(errors) <= 2


def test_a_wrong_checksum_is_damage(tmp_path: Path) -> None:
    members = [gzip.compress(record) for record in RECORDS]
    members[4] = members[4][:-8] + b"\0\0\0\0" + members[4][-4:]
    (tmp_path / "a.warc.gz").write_bytes(b"".join(members))
    rows = rows_of(str(tmp_path))
    assert urls(rows) == [number for number in range(N_RECORDS) if number != 4]
    (error,) = [row["_error"] for row in rows if row["_error"]]
    assert error.startswith("CorruptFile: the gzip stream is damaged (Error -3")


@pytest.mark.parametrize("kind", ["plain", "gz", "gz whole", "zst"])
def test_truncated_anywhere(tmp_path: Path, kind: str) -> None:
    whole = b"".join(RECORDS)
    content = {
        "plain": whole,
        "gz": b"".join(map(gzip.compress, RECORDS)),
        "gz whole": gzip.compress(whole),
        "zst": b"".join(map(zstandard.ZstdCompressor().compress, RECORDS)),
    }[kind]
    generator = random.Random(1)
    for _ in range(25):
        (tmp_path / "a.warc").write_bytes(content[: generator.randrange(len(content))])
        rows = rows_of(str(tmp_path))
        found = urls(rows)
        assert found == list(range(len(found)))
        errors = [row["_error"] for row in rows if row["_error"]]
        assert len(errors) <= 1
        if kind == "plain":
            lost = len((tmp_path / "a.warc").read_bytes()) - sum(map(len, RECORDS[: len(found)]))
            assert bool(errors) == (lost > 0) or lost in range(-4, 5)
    (tmp_path / "a.warc").write_bytes(content)
    assert urls(rows_of(str(tmp_path))) == list(range(N_RECORDS))


def test_pieces_do_not_matter() -> None:
    content = b"".join([*RECORDS[:3], b"junk\r\n", *RECORDS[3:6], b"WARC/1.0\r\n\r\n", RECORDS[7]])
    whole = list(records([content], 2**30))
    assert [type(one).__name__ for one in whole] == ["Record"] * 3 + ["Damage"] + ["Record"] * 3 + [
        "Damage",
        "Record",
    ]
    for size in (1, 2, 3, 17, 100):
        pieces = [content[start : start + size] for start in range(0, len(content), size)]
        assert list(records(pieces, 2**30)) == whole


def test_too_large_a_record(tmp_path: Path) -> None:
    found = list(records([b"".join([RECORDS[0], a_record(1, 5000), RECORDS[2]])], 3000))
    assert [type(one).__name__ for one in found] == ["Record", "Damage", "Record"]
    assert "TooLarge: a record of 5,0" in str(found[1])


def test_media_types_and_name_servers(tmp_path: Path) -> None:
    text = RECORDS[1].replace(b"text/html", b"image/png")
    dns = RECORDS[2].replace(b"http://h/2", b"dns:host.ex")
    (tmp_path / "a.warc").write_bytes(RECORDS[0] + text + dns[:-4] + b"\r\n\r\n")
    # the URL of the name server is a byte longer than that of the page
    assert urls(rows_of(str(tmp_path / "a.warc")))[:1] == [0]
    (tmp_path / "b.warc").write_bytes(RECORDS[0] + text)
    assert urls(rows_of(str(tmp_path / "b.warc"))) == [0]
    assert urls(rows_of(str(tmp_path / "b.warc"), media_types=None)) == [0, 1]


PAGE = b"<p>page</p>" * 20


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (b"X: y", PAGE),
        (
            b"Transfer-Encoding: chunked",
            b"6\r\n" + PAGE[:6] + b"\r\nD6;x=y\r\n" + PAGE[6:] + b"\r\n0\r\n\r\n",
        ),
        (b"Transfer-Encoding: chunked", PAGE),
        (b"Content-Encoding: gzip", gzip.compress(PAGE)),
        (b"Content-Encoding: GZIP", PAGE),
        (b"Content-Encoding: deflate", zlib.compress(PAGE)),
        (b"Content-Encoding: deflate", zlib.compress(PAGE)[2:-4]),
        (b"Content-Encoding: deflate", PAGE),
        (b"Content-Encoding: zstd", zstandard.ZstdCompressor().compress(PAGE)),
        (b"Content-Encoding: br", PAGE),
        (b"content-encoding:gzip\r\nX: a\r\n b\r\nno colon", gzip.compress(PAGE)),
    ],
)
def test_http_encodings(headers: bytes, body: bytes) -> None:
    response = http.parse(b"HTTP/1.1 404 Not Found\r\n" + headers + b"\r\n\r\n" + body, 10_000)
    assert (response.status, response.body) == (404, PAGE)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (b"<html>", "BadHttp: the response begins with '<html>', no status line"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\xff\xff", "BadEncoding: "),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\n\r\nxxxx",
            "BadEncoding: the body is no zstd",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"0" * 20_000),
            "TooLarge: the body has more than 10,000 bytes",
        ),
    ],
)
def test_http_errors(message: bytes, error: str) -> None:
    with pytest.raises(BadValueError) as caught:
        http.parse(message, 10_000)
    assert str(caught.value).startswith(error)


def test_odd_http_heads() -> None:
    assert http.parse(b"HTTP/1.0 200\n\nbody", 100).body == b"body"
    assert http.parse(b"HTTP/1.1 204", 100).status == 204
    found = http.parse(b"HTTP/1.1 200 OK\r\nServer: caf\xe9\r\nA: 1\r\nA: 2\r\n\r\n", 100).headers
    assert found == {"server": "caf\\xe9", "a": "1"}


def test_nothing_found(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"read\.warc: no file matches"):
        rows_of(str(tmp_path / "*.warc.gz"))
    (tmp_path / "a.warc").write_bytes(b"")
    assert rows_of(str(tmp_path / "a.warc")) == []
