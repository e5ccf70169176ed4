"""read.jsonl: every way in which a line or a file can be bad is one counted row."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from ultraclean.errors import DataError
from ultraclean.inputs import Shard
from ultraclean.stages.read import columns, compressed
from ultraclean.stages.read import jsonl as module
from ultraclean.stages.read.jsonl import Jsonl


def rows_of(stage: Jsonl, shard_bytes: int = 2**40) -> list[dict[str, Any]]:
    rows = []
    for found in stage.inputs():
        for part in stage.split(found, shard_bytes):
            for batch in stage.read(Shard(0, (part,))):
                assert batch.names == [*stage.adds(), "_path", "_position", "_error"]
                rows += batch.data.to_pylist()
    return rows


def write(folder: Path, content: bytes, name: str = "a.jsonl") -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def test_columns(tmp_path: Path) -> None:
    line = {
        "body": "Grüße",
        "uid": 7,
        "link": "https://x",
        "year": "1999",
        "tags": ["a", None],
        "z": 1,
    }
    path = write(tmp_path, json.dumps(line).encode() + b"\r\n\n" + b'{"body": ""}')
    stage = Jsonl(
        path=path,
        text="body",
        id="uid",
        url="link",
        columns={"year": "int64", "tags": "list<string>"},
    )
    first, second = rows_of(stage)
    position = len(json.dumps(line)) + 3
    assert first == {
        "id": "7",
        "text": "Grüße",
        "url": "https://x",
        "year": 1999,
        "tags": ["a", None],
        "metadata": '{"z":1}',
        "_path": "a.jsonl",
        "_position": 0,
        "_error": None,
    }
    assert second["id"] == f"a.jsonl#{position}"
    assert (second["text"], second["url"], second["year"], second["metadata"]) == (
        "",
        None,
        None,
        None,
    )
    assert second["_error"] is None


BAD = {
    b"{": "NotJson: Expecting property name",
    b"plain words": "NotJson: Expecting value",
    b"[1, 2]": "NotObject: the line is JSON, but no object: '[1, 2]'",
    b'"text"': "NotObject",
    b"{}": "MissingText: there is no field 'text' (there is: no field at all)",
    b'{"body": "x", "id": "k"}': "MissingText: there is no field 'text' (there is: body, id)",
    b'{"text": null}': "NullText: the field 'text' is null",
    b'{"text": 5}': "TextNotString: the field 'text' is a number",
    b'{"text": true}': "TextNotString: the field 'text' is a boolean",
    b'{"text": ["a"]}': "TextNotString: the field 'text' is an array",
    b'{"text": {"a": 1}}': "TextNotString: the field 'text' is an object",
    b'{"text": "\xff\xfe"}': "InvalidUtf8: byte 0xff at byte 10 of the line",
    b'{"text": "ab\\ud800c"}': "LoneSurrogate: the text has half of a surrogate pair at character 2",
    b'{"text": "x", "year": "soon"}': "ColumnType: the field 'year' is \"soon\", which is no int64",
    b'{"text": "x", "year": 1.5}': "ColumnType: the field 'year' is 1.5",
    b'{"text": "x", "year": 99999999999999999999}': "ColumnType: the field 'year' is 99999999999999999999",
    b"[" * 100_000: "TooDeep: values are nested more than 200 deep",
    b'{"text": "x", "a": ' + b"[" * 1000 + b"]" * 1000 + b"}": "TooDeep: ",
    b"\x00\x00": "NotJson",
}


@pytest.mark.parametrize("line", BAD, ids=range(len(BAD)))
def test_a_bad_line_is_a_row_and_the_others_are_read(tmp_path: Path, line: bytes) -> None:
    good = b'{"text": "good", "id": "g"}'
    path = write(tmp_path, b"\n".join([good, line, good]))
    first, bad, last = rows_of(Jsonl(path=path, columns={"year": "int64"}))
    assert bad["_error"].startswith(BAD[line]), bad["_error"]
    assert (bad["text"], bad["_position"], bad["_path"]) == (None, len(good) + 1, "a.jsonl")
    assert [first["text"], last["text"], first["_error"], last["_error"]] == [
        "good",
        "good",
        None,
        None,
    ]


def test_a_bad_line_keeps_its_id(tmp_path: Path) -> None:
    first, second = rows_of(Jsonl(path=write(tmp_path, b'{"id": "k", "text": 1}\n{"id": 1}')))
    assert (first["id"], second["id"]) == ("k", "a.jsonl#23")


def test_odd_but_good_lines(tmp_path: Path) -> None:
    lines = [
        b'\xef\xbb\xbf{"text": "after a byte order mark"}',
        b'{"text": "pair \\ud83d\\ude00"}',
        b'{"text": "n", "big": 123456789012345678901234567890, "id": 36893488147419103232}',
        b'{"text": "n", "a": NaN, "b": [Infinity]}',
        b'{"text": "n", "a": "\\ud800", "id": "\\ud800"}',
        b'{"text": "first", "text": "last"}',
        b'{"text": "m", "metadata": {"a": 1}, "b": 2, "_key": "00"}',
        b'{"text": "nul \\u0000"}',
    ]
    rows = rows_of(Jsonl(path=write(tmp_path, b"\n".join(lines))))
    assert [row["_error"] for row in rows] == [None] * len(lines)
    assert [row["text"] for row in rows[:2]] == ["after a byte order mark", "pair 😀"]
    assert json.loads(rows[2]["metadata"]) == {"big": 123456789012345678901234567890}
    assert rows[2]["id"] == "36893488147419103232"
    assert json.loads(rows[3]["metadata"]) == {"a": None, "b": [None]}
    assert (rows[4]["metadata"], rows[4]["id"]) == ('{"a":"\\ud800"}', "�")
    assert rows[5]["text"] == "last"
    assert json.loads(rows[6]["metadata"]) == {"a": 1, "b": 2}
    assert rows[7]["text"] == "nul \0"


@pytest.mark.parametrize("depth", [100, 198, 201, 450, 5000])
def test_deep_values_are_kept_or_explained(tmp_path: Path, depth: int) -> None:
    value = "[" * depth + "]" * depth
    (row,) = rows_of(Jsonl(path=write(tmp_path, f'{{"text": "x", "a": {value}}}'.encode())))
    if depth < 200:
        assert row["metadata"] == f'{{"a":{value}}}'
    else:
        assert row["_error"] == "TooDeep: values are nested more than 200 deep"


def test_dotted_names(tmp_path: Path) -> None:
    path = write(tmp_path, b'{"doc": {"body": "x"}, "meta": {"url": "u"}, "a.b": "flat"}')
    stage = Jsonl(path=path, text="doc.body", url="meta.url", columns={"a.b": "string"})
    (row,) = rows_of(stage)
    assert (row["text"], row["url"], row["a.b"]) == ("x", "u", "flat")


def test_without_metadata(tmp_path: Path) -> None:
    (row,) = rows_of(Jsonl(path=write(tmp_path, b'{"text": "x", "a": 1}'), metadata=False))
    assert "metadata" not in row


@given(
    lines=st.lists(st.text(st.characters(codec="utf-8"), max_size=30), max_size=12),
    shard_bytes=st.integers(1, 200),
    last_newline=st.booleans(),
)
def test_parts_give_every_line_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], shard_bytes: int, last_newline: bool
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    content = "\n".join(json.dumps({"text": line}, ensure_ascii=False) for line in lines)
    stage = Jsonl(path=write(folder, content.encode() + b"\n" * last_newline))
    whole = rows_of(stage)
    assert [row["text"] for row in whole] == lines
    assert rows_of(stage, shard_bytes) == whole


@pytest.mark.parametrize("block", [1, 3, 7])
def test_small_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    path = write(tmp_path, b'\n{"text": "a"}\n\n{"text": "b"}\r\n{"text": "c"}')
    whole = rows_of(Jsonl(path=path))
    monkeypatch.setattr(compressed, "BLOCK", block)
    monkeypatch.setattr(module, "BLOCK", block)
    assert rows_of(Jsonl(path=path)) == whole
    assert rows_of(Jsonl(path=path), 5) == whole


def compressed_files() -> dict[str, bytes]:
    content = b"".join(b'{"text": "document %d"}\n' % number for number in range(20_000))
    halves = content[: len(content) // 2 + 3], content[len(content) // 2 + 3 :]
    zst = zstandard.ZstdCompressor(write_checksum=True).compress

    def lz4(data: bytes) -> bytes:
        return bytes(pa.compress(data, codec="lz4", asbytes=True))

    return {
        "gz": gzip.compress(content),
        "gz members": b"".join(map(gzip.compress, halves)),
        "gz padded": gzip.compress(content) + b"\0" * 512,
        "zst": zst(content),
        "zst frames": b"".join(map(zst, halves)),
        "bz2": bz2.compress(content),
        "bz2 streams": b"".join(map(bz2.compress, halves)) + b"\0" * 64,
        "lz4": lz4(content),
        "lz4 frames": b"".join(map(lz4, halves)),
        "zst skippable": b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zst(content),
    }


@pytest.mark.parametrize("name", compressed_files())
def test_compressed(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, compressed_files()[name], "no.hint")
    stage = Jsonl(path=path)
    rows = rows_of(stage, 1000)
    assert [row["text"] for row in rows] == [f"document {number}" for number in range(20_000)]
    assert len(stage.split(stage.inputs()[0], 1000)) == 1


@pytest.mark.parametrize("name", ["gz", "gz members", "zst", "zst frames", "bz2 streams"])
def test_truncated(tmp_path: Path, name: str) -> None:
    content = compressed_files()[name]
    rows = rows_of(Jsonl(path=write(tmp_path, content[: int(len(content) * 0.9)])))
    *good, bad = rows
    assert [row["text"] for row in good] == [f"document {n}" for n in range(len(good))]
    assert len(good) > 10_000
    assert bad["_error"].startswith("TruncatedFile: the ")
    assert bad["_position"] > good[-1]["_position"]


@pytest.mark.parametrize(
    ("name", "least"), [("gz", 15_000), ("zst", 5_000), ("bz2 streams", 9_000)]
)
def test_corrupt(tmp_path: Path, name: str, least: int) -> None:
    content = bytearray(compressed_files()[name])
    place = int(len(content) * 0.9)
    content[place : place + 30] = b"\xff" * 30
    *good, bad = rows_of(Jsonl(path=write(tmp_path, bytes(content))))
    assert bad["_error"].startswith("CorruptFile: the ")
    assert len(good) >= least
    assert good[0]["text"] == "document 0"


def test_reading_goes_on_at_the_next_member(tmp_path: Path) -> None:
    lines = [b'{"text": "document %d"}\n' % number for number in range(2000)]
    members = [gzip.compress(b"".join(lines[start : start + 100])) for start in range(0, 2000, 100)]
    for damage in (3, len(members[5]) // 2, len(members[5]) - 6):
        broken = bytearray(members[5])
        broken[damage : damage + 2] = b"\xff\xff"
        content = b"".join([*members[:5], bytes(broken), *members[6:]])
        rows = rows_of(Jsonl(path=write(tmp_path, content)))
        (error,) = [row for row in rows if row["_error"] and "CorruptFile" in row["_error"]]
        texts = {row["text"] for row in rows}
        assert {f"document {n}" for n in range(2000) if not 500 <= n < 600} <= texts
        assert len({row["_position"] for row in rows}) == len(rows)
        assert error["_position"] > 0


def test_wrong_checksum_still_gives_all_rows(tmp_path: Path) -> None:
    content = bytearray(compressed_files()["gz"])
    content[-8] ^= 1
    *good, bad = rows_of(Jsonl(path=write(tmp_path, bytes(content))))
    assert len(good) == 20_000
    assert bad["_error"].startswith("CorruptFile: the gzip stream is damaged")


def test_empty_file_and_nothing_found(tmp_path: Path) -> None:
    assert rows_of(Jsonl(path=write(tmp_path, b""))) == []
    assert rows_of(Jsonl(path=write(tmp_path, b"\n \n\r\n"))) == []
    with pytest.raises(DataError, match=r"read\.jsonl: no file matches '.*none\*\.jsonl'"):
        Jsonl(path=f"{tmp_path}/none*.jsonl").inputs()


def test_too_long_a_line_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_BYTES", 100)
    monkeypatch.setattr(module, "BLOCK", 64)
    monkeypatch.setattr(compressed, "BLOCK", 64)
    long = b'{"text": "%s"}' % (b"x" * 1000)
    path = write(tmp_path, long + b'\n{"text": "short"}\n' + long)
    bad, good, last = rows_of(Jsonl(path=path))
    assert bad["_error"] == last["_error"] == "TooLarge: a line of 1,012 bytes"
    assert (good["text"], good["_position"]) == ("short", 1013)


def test_batches_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "BATCH_BYTES", 3000)
    path = write(tmp_path, b'{"text": "%s"}\n' % (b"x" * 988) * 10)
    stage = Jsonl(path=path)
    batches = list(stage.read(Shard(0, tuple(stage.split(stage.inputs()[0], 2**40)))))
    assert [batch.num_rows for batch in batches] == [3, 3, 3, 1]


def test_declared_types_are_checked() -> None:
    with pytest.raises(ValueError, match=r"unknown type 'int' of column 'a', nearest is 'int64'"):
        Jsonl(path="x", columns={"a": "int"})
    with pytest.raises(ValueError, match="the column name '_key' is taken"):
        Jsonl(path="x", columns={"_key": "string"})


def test_lines_read_by_the_kernel_are_the_rows_of_the_parser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultrakernels import json_lines

    lines = [
        *(b'{"id": "%d", "text": "plain \\u00e9 %d"}' % (i, i) for i in range(1500)),
        b'{"id": 7, "text": "number as id"}',
        b'{"text": "no id", "url": null, "n": 12345678901234567890123}',
        b'{"id": "a", "text": "x", "url": "u", "metadata": {"b": [1, {"text": "y"}]}, "n": 5}',
        b'{"id": "a", "id": "b", "text": "twice"}',
        b'{"id": "a", "text": null}',
        b'{"id": "a", "text": "\\ud800"}',
        b'{"id": "\\ud800", "text": "x"}',
        b'{"id": "a", "text": "\xff"}',
        b'{"id": "a", "text": "cut',
        b"",
        b'["text", "x"]',
        b'{"te\\u0078t": "key with an escape"}',
        b'{"n": "no number", "text": "x"}',
        *(b'{"id": "%d", "text": "after"}' % i for i in range(700)),
    ]
    path = write(tmp_path, b"\xef\xbb\xbf" + b"\r\n".join(lines))
    stage = Jsonl(path=path, columns={"n": "int64"})
    size = len(b"\r\n".join(lines)) + 3

    by_kernel = [rows_of(stage), rows_of(stage, size // 7)]
    real = json_lines.string_fields

    def nothing(data: Any, keys: Any) -> Any:
        found = real(data, keys)
        found.sound[:] = False
        return found

    monkeypatch.setattr(json_lines, "string_fields", nothing)
    by_parser = rows_of(stage)
    assert by_kernel == [by_parser, by_parser]
    assert sum(row["_error"] is not None for row in by_parser) == 7
