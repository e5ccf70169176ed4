"""read.csv: rows with quotes and line ends, what is wrong with a row, and damage."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import random
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from ultraclean.inputs import Shard
from ultraclean.stages.read import compressed
from ultraclean.stages.read.csv import Csv, fields_of


def rows_of(tmp_path: Path, content: bytes | str, **fields: Any) -> list[dict[str, Any]]:
    path = tmp_path / "x.data"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    stage = Csv(path=str(path), **fields)
    parts = tuple(part for found in stage.inputs() for part in stage.split(found, 10))
    return [row for batch in stage.read(Shard(0, parts)) for row in batch.data.to_pylist()]


def test_quotes_line_ends_and_positions(tmp_path: Path) -> None:
    content = (
        '\ufeffid,text,url,n\r\n1,"two\r\nlines, ""quoted""",http://x,3\r\n\r\n'
        '2,5" disk,,"4"\r\n,"",,\r\n3,你好 😀,u,6'
    )
    rows = rows_of(tmp_path, content, columns={"n": "int64"})
    assert [row["text"] for row in rows] == ['two\r\nlines, "quoted"', '5" disk', "", "你好 😀"]
    assert [row["id"] for row in rows] == ["1", "2", f"x.data#{rows[2]['_position']}", "3"]
    assert [row["url"] for row in rows] == ["http://x", None, None, "u"]
    assert [row["n"] for row in rows] == [3, 4, None, 6]
    raw = content.encode()
    begins = ("1,", "2,5", ',""', "3,")
    assert [row["_position"] for row in rows] == [raw.index(b.encode() if b != ',""' else b',"",,') for b in begins]  # fmt: skip
    assert {row["_error"] for row in rows} == {None}


@pytest.mark.parametrize("separator", [",", "\t", ";", "|"])
def test_separators_are_told_by_the_header(tmp_path: Path, separator: str) -> None:
    content = f'text{separator}b b{separator}c\n"x{separator}y"{separator}2{separator}3\n'
    (row,) = rows_of(tmp_path, content)
    assert (row["text"], row["metadata"]) == (f"x{separator}y", '{"b b":"2","c":"3"}')
    (row,) = rows_of(tmp_path, "a^text\n1^x,y\n", separator="^")
    assert row["text"] == "x,y"


def test_files_without_a_header(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "1,one\n2,two\n", names=("id", "text"))
    assert [(row["id"], row["text"]) for row in rows] == [("1", "one"), ("2", "two")]


def test_what_is_wrong_is_one_row(tmp_path: Path) -> None:
    content = b'text,n\ngood,1\nshort\nbad\xff,1\n"a"b,1\nx,one\n"",2\nlast,3\n"open,4\nmore\n'
    rows = rows_of(tmp_path, content, columns={"n": "int64"})
    assert [row["_error"] for row in rows] == [
        None,
        "FieldCount: 1 fields, where the header has 2: 'short'",
        "InvalidUtf8: byte 0xff at byte 3 of the row",
        "BadQuote: text behind a closing quote: '\"a\"b,1'",
        "ColumnType: the field 'n' is \"one\", which is no int64",
        None,
        None,
        "OpenQuote: a quote opens that 2 lines do not close",
    ]
    assert [row["text"] for row in rows if row["_error"] is None] == ["good", "", "last"]
    (row,) = rows_of(tmp_path, "a,b,a\n1,2,3\n4,5,6\n")
    assert row["_error"] == "BadHeader: the header has a more than once"
    (row,) = rows_of(tmp_path, "a,b\n1,2\n")
    assert row["_error"].startswith("MissingText: there is no field 'text'")
    assert rows_of(tmp_path, "") == rows_of(tmp_path, "\n\n") == rows_of(tmp_path, "text\n") == []
    for wrong in ("::", '"', "\n", "，"):
        with pytest.raises(ValidationError, match="is not one ASCII character, or has a meaning"):
            Csv(path="x", separator=wrong)


def test_compressed_and_damaged(tmp_path: Path) -> None:
    content = ("text,n\n" + "".join(f'"document\n{n}",{n}\n' for n in range(20_000))).encode()
    for packed in (gzip.compress(content), bz2.compress(content)):
        rows = rows_of(tmp_path, packed)
        assert [row["text"] for row in rows] == [f"document\n{n}" for n in range(20_000)]
    *good, cut, bad = rows_of(tmp_path, gzip.compress(content)[:-9000])
    assert len(good) > 100 and cut["_error"] == "CutRow: the row is not whole"
    assert bad["_error"] == "TruncatedFile: the gzip stream ends early"


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
def test_as_pythons_reader_however_the_bytes_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    rng = random.Random(block)
    held = io.StringIO()
    writer = csv.writer(held)
    writer.writerow(["id", "text", "more"])
    for number in range(40):
        pieces = [rng.choice(['"', ",", "\n", "\r\n", "x", " ", "é", ""]) for _ in range(8)]
        writer.writerow([number, "".join(pieces), "".join(pieces[:3])])
    expected = list(csv.DictReader(io.StringIO(held.getvalue(), newline="")))
    monkeypatch.setattr(compressed, "BLOCK", block)
    rows = rows_of(tmp_path, held.getvalue().encode(), columns={"more": "string"})
    assert [(r["id"], r["text"], r["more"]) for r in rows] == [
        (r["id"], r["text"], r["more"]) for r in expected
    ]


def test_fields() -> None:
    assert fields_of('a,"b,""c""",', ",") == ["a", 'b,"c"', ""]
    assert fields_of('"",""', ",") == ["", ""]
    assert fields_of('x"y,"z"', ",") == ['x"y', "z"]
