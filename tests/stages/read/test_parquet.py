"""read.parquet: types that drift, values that are bad, files that are damaged."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ultraclean.inputs import Shard
from ultraclean.stages.read import parquet as module
from ultraclean.stages.read import tabular
from ultraclean.stages.read.parquet import Parquet


def rows_of(stage: Parquet, shard_bytes: int = 2**40) -> list[dict[str, Any]]:
    rows = []
    for found in stage.inputs():
        for part in stage.split(found, shard_bytes):
            for batch in stage.read(Shard(0, (part,))):
                assert batch.names == [*stage.adds(), "_path", "_position", "_error"]
                types = [batch[name].type for name in stage.adds()]
                assert types == list(stage.adds().values())
                rows += batch.data.to_pylist()
    return rows


def write(folder: Path, columns: dict[str, Any], name: str = "a.parquet", **options: Any) -> str:
    pq.write_table(pa.table(columns), folder / name, **options)
    return str(folder / name)


INVALID = pa.Array.from_buffers(
    pa.string(), 2, [None, pa.py_buffer(np.array([0, 2, 4], "i4")), pa.py_buffer(b"ok\xffx")]
)


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.binary(),
    ],
    ids=str,
)
def test_every_kind_of_text(tmp_path: Path, kind: pa.DataType) -> None:
    values = ["Grüße", "", "你好 😀", "Grüße"]
    if pa.types.is_binary(kind):
        array = pa.array([value.encode() for value in values], kind)
    else:
        array = pa.array(values).cast(kind)
    path = write(tmp_path, {"text": array, "id": pa.array([1, 2, None, 4])})
    rows = rows_of(Parquet(path=path))
    assert [row["text"] for row in rows] == values
    assert [row["id"] for row in rows] == ["1", "2", "a.parquet#2", "4"]
    assert [row["_position"] for row in rows] == [0, 1, 2, 3]
    assert {row["_error"] for row in rows} == {None}


def test_all_other_columns_are_metadata(tmp_path: Path) -> None:
    columns = {
        "text": ["x"],
        "url": ["u"],
        "n": [2**63 - 1],
        "f": [float("nan")],
        "when": [datetime.datetime(2020, 1, 2)],
        "money": [Decimal("1.50")],
        "nested": [{"a": [1, None]}],
        "raw": [b"\xff"],
        "_key": [b"0" * 16],
    }
    (row,) = rows_of(Parquet(path=write(tmp_path, columns)))
    assert row["url"] == "u"
    assert json.loads(row["metadata"]) == {
        "n": 2**63 - 1,
        "f": None,
        "when": "2020-01-02T00:00:00",
        "money": "1.50",
        "nested": {"a": [1, None]},
        "raw": "/w==",
    }
    (row,) = rows_of(Parquet(path=write(tmp_path, columns), metadata=False))
    assert "metadata" not in row


def test_types_drift_between_files(tmp_path: Path) -> None:
    write(tmp_path, {"text": ["a"], "year": [1999], "score": ["0.5"]}, "1.parquet")
    write(tmp_path, {"text": ["b"], "year": ["2000"]}, "2.parquet")
    write(tmp_path, {"text": ["c", "d"], "year": ["soon", None], "score": [1, 2]}, "3.parquet")
    write(tmp_path, {"body": ["e"], "text": [7]}, "4.parquet")
    write(tmp_path, {"body": ["f"]}, "5.parquet")
    stage = Parquet(path=str(tmp_path), columns={"year": "int64", "score": "float64"})
    rows = rows_of(stage)
    assert [(row["text"], row["year"], row["score"]) for row in rows] == [
        ("a", 1999, 0.5),
        ("b", 2000, None),
        (None, None, None),
        ("d", None, 2.0),
        (None, None, None),
        (None, None, None),
    ]
    assert [row["_error"] for row in rows] == [
        None,
        None,
        "ColumnType: the field 'year' is \"soon\", which is no int64",
        None,
        "TextNotString: the field 'text' is a number",
        "MissingText: there is no field 'text' (there is: body)",
    ]


def test_bad_values_are_rows(tmp_path: Path) -> None:
    path = write(tmp_path, {"text": INVALID, "id": ["a", "b"]})
    good, bad = rows_of(Parquet(path=path))
    assert good["text"] == "ok"
    assert bad["_error"] == "InvalidUtf8: byte 0xff at byte 0 of the field 'text'"
    assert (bad["id"], bad["text"], bad["_position"]) == ("b", None, 1)
    path = write(tmp_path, {"text": ["a", None]})
    assert rows_of(Parquet(path=path))[1]["_error"] == "NullText: the field 'text' is null"
    path = write(tmp_path, {"text": ["a", "b"], "note": INVALID})
    assert "of the field 'note'" in rows_of(Parquet(path=path))[1]["_error"]


def test_dotted_names(tmp_path: Path) -> None:
    path = write(tmp_path, {"doc": [{"body": "x", "n": 1}]})
    for metadata in (True, False):
        stage = Parquet(path=path, text="doc.body", columns={"doc.n": "int64"}, metadata=metadata)
        (row,) = rows_of(stage)
        assert (row["text"], row["doc.n"]) == ("x", 1)


def many(folder: Path, **options: Any) -> str:
    texts = [f"document {number} 日本" for number in range(5000)]
    columns = {"text": texts, "id": [f"i{n}" if n % 3 else None for n in range(5000)]}
    columns["n"] = list(range(5000))
    return write(folder, columns, row_group_size=700, **options)


def test_parts_give_every_row_once(tmp_path: Path) -> None:
    stage = Parquet(path=many(tmp_path))
    whole = rows_of(stage)
    assert [row["_position"] for row in whole] == list(range(5000))
    assert len(stage.split(stage.inputs()[0], 10_000)) > 2
    for shard_bytes in (1, 10_000, 30_000):
        assert rows_of(stage, shard_bytes) == whole


def test_quick_and_slow_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Parquet(path=many(tmp_path), columns={"n": "int64"})
    quick = rows_of(stage)
    monkeypatch.setattr(Parquet, "_quick", lambda *_: None)
    assert rows_of(stage) == quick


def test_batches_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES", 1000)
    monkeypatch.setattr(tabular, "BATCH_BYTES", 1000)
    stage = Parquet(path=write(tmp_path, {"text": ["x"] * 200 + ["y" * 5000] * 3}))
    parts = tuple(stage.split(stage.inputs()[0], 2**40))
    sizes = [batch.num_rows for batch in stage.read(Shard(0, parts))]
    assert sum(sizes) == 203
    assert sizes[-3:] == [1, 1, 1]


def test_a_corrupt_row_group_is_one_row(tmp_path: Path) -> None:
    path = many(tmp_path, write_page_checksum=True)
    group = pq.read_metadata(path).row_group(2)
    content = bytearray(Path(path).read_bytes())
    start = group.column(0).data_page_offset + 40
    content[start : start + 60] = b"\xff" * 60
    Path(path).write_bytes(content)
    rows = rows_of(Parquet(path=path))
    errors = [row for row in rows if row["_error"]]
    assert len(errors) == 1
    assert errors[0]["_error"].startswith("CorruptFile: row group 2, rows 1,400 to 2,099: ")
    assert errors[0]["_position"] == 1400
    assert len(rows) == 5000 - 700 + 1
    assert rows_of(Parquet(path=path), 1) == rows


@pytest.mark.parametrize("damage", ["footer", "tail", "not parquet", "short"])
def test_a_corrupt_file_is_one_row(tmp_path: Path, damage: str) -> None:
    content = Path(many(tmp_path)).read_bytes()
    damaged = {
        "footer": content[:-300] + b"\xff" * 200 + content[-100:],
        "tail": content[: len(content) // 2],
        "not parquet": b'{"text": "no"}\n' * 1000,
        "short": b"PAR1",
    }[damage]
    (tmp_path / "a.parquet").write_bytes(damaged)
    for shard_bytes in (1, 2**40):
        (row,) = rows_of(Parquet(path=str(tmp_path)), shard_bytes)
        assert row["_error"].startswith("CorruptFile: no readable Parquet file (")
        assert row["_path"] == "a.parquet"


def test_empty(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"")
    assert rows_of(Parquet(path=str(tmp_path)), 1) == []
    assert rows_of(Parquet(path=write(tmp_path, {"text": pa.array([], pa.string())}))) == []
