"""read.arrow: files and streams, types, damage."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ultraclean.inputs import Shard
from ultraclean.stages.read import arrow as module
from ultraclean.stages.read.arrow import Arrow


def write(path: Path, table: pa.Table, kind: str, rows: int = 3, **options: Any) -> Path:
    make = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with make(str(path), table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


def rows_of(path: Path, **fields: Any) -> list[dict[str, Any]]:
    stage = Arrow(path=str(path), **fields)
    parts = tuple(part for found in stage.inputs() for part in stage.split(found, 10))
    return [row for batch in stage.read(Shard(0, parts)) for row in batch.data.to_pylist()]


TEXTS = [f"document {n} é 中" for n in range(10)]


@pytest.mark.parametrize("kind", ["file", "stream"])
@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_files_and_streams(tmp_path: Path, kind: str, compression: str | None) -> None:
    table = pa.table({"text": TEXTS, "n": range(10), "tags": [["a"]] * 10, "score": [0.5] * 10})
    path = write(tmp_path / "x.bin", table, kind, compression=compression)
    rows = rows_of(path, columns={"n": "int64"})
    assert [row["text"] for row in rows] == TEXTS
    assert [row["n"] for row in rows] == [row["_position"] for row in rows] == list(range(10))
    assert rows[3]["id"] == "x.bin#3" and rows[0]["metadata"] == '{"tags":["a"],"score":0.5}'
    assert "metadata" not in rows_of(path, metadata=False)[0]


@pytest.mark.parametrize(
    "kind",
    [pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int32(), pa.string())],
)
def test_types_of_text(tmp_path: Path, kind: pa.DataType) -> None:
    path = write(tmp_path / "x", pa.table({"text": pa.array(TEXTS).cast(kind)}), "stream")
    assert [row["text"] for row in rows_of(path)] == TEXTS


def test_bad_values_are_rows(tmp_path: Path) -> None:
    table = pa.table({"text": pa.array([b"ok", b"caf\xe9", None], pa.binary())})
    rows = rows_of(write(tmp_path / "x", table, "file"))
    assert [row["_error"] for row in rows] == [
        None,
        "InvalidUtf8: byte 0xe9 at byte 3 of the field 'text'",
        "NullText: the field 'text' is null",
    ]
    (row, *_) = rows_of(write(tmp_path / "y", pa.table({"body": ["x"]}), "file"))
    assert row["_error"] == "MissingText: there is no field 'text' (there is: body)"


def test_files_of_another_kind_and_cut_ones(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"no arrow at all")
    (row,) = rows_of(path)
    assert row["_error"].startswith("CorruptFile: no readable Arrow file")
    for kind in ("file", "stream"):
        content = write(path, pa.table({"text": TEXTS}), kind).read_bytes()
        path.write_bytes(content[: len(content) // 2])
        rows = rows_of(path)
        assert rows[-1]["_error"].startswith("CorruptFile: ")
        assert [row["text"] for row in rows[:-1]] == TEXTS[: len(rows) - 1]
    path.write_bytes(b"")
    assert rows_of(path) == []


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_random_damage(tmp_path: Path, kind: str) -> None:
    content = write(tmp_path / "good", pa.table({"text": TEXTS}), kind, compression="zstd").read_bytes()  # fmt: skip
    rng = random.Random(4)
    for number in range(150):
        hurt = bytearray(content)
        for _ in range(rng.choice([1, 3])):
            hurt[rng.randrange(len(hurt))] = rng.randrange(256)
        path = tmp_path / f"{number}"
        path.write_bytes(bytes(hurt))
        positions = [row["_position"] for row in rows_of(path)]
        assert len(set(positions)) == len(positions)


def test_batches_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 4)
    path = write(tmp_path / "x", pa.table({"text": TEXTS}), "file", rows=100)
    stage = Arrow(path=str(path))
    parts = tuple(stage.split(stage.inputs()[0], 1))
    assert [batch.num_rows for batch in stage.read(Shard(0, parts))] == [4, 4, 2]
