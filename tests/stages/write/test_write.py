"""write.parquet and write.jsonl: the same rows give the same bytes, whole or not at all."""

from __future__ import annotations

import gzip
import io
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from ultraclean.document import Batch, keys_of
from ultraclean.inputs import Shard
from ultraclean.stages.read.jsonl import Jsonl as ReadJsonl
from ultraclean.stages.write.jsonl import Jsonl
from ultraclean.stages.write.parquet import Parquet
from ultraclean.stages.write.rows import row_groups

N_DOCS = 500


def documents() -> Batch:
    generator = random.Random(3)
    texts = ["日本 text 😀 " * generator.randrange(60) for _ in range(N_DOCS)]
    texts[7] = None
    return Batch.of(
        id=[f"d{number}" for number in range(N_DOCS)],
        text=pa.array(texts, pa.string()),
        score=[float("nan") if number % 9 == 0 else number / 7 for number in range(N_DOCS)],
        tags=[["a"] * (number % 4) for number in range(N_DOCS)],
        metadata=[None if number % 5 == 0 else f'{{"n":{number}}}' for number in range(N_DOCS)],
        _key=keys_of("t", "f", np.arange(N_DOCS)),
        _at=list(range(N_DOCS)),
        _path=["f"] * N_DOCS,
        _position=list(range(N_DOCS)),
        _error=pa.nulls(N_DOCS, pa.string()),
    )


def batched(batch: Batch, seed: int) -> Iterator[Batch]:
    generator = random.Random(seed)
    start = 0
    while start < batch.num_rows:
        length = generator.choice([0, 1, 2, 50, 300])
        yield batch.slice(start, length)
        start += length


SINKS = [
    Parquet(row_group_rows=60, row_group_bytes=20_000),
    Parquet(),
    Jsonl(),
    Jsonl(compression="gz"),
    Jsonl(compression=None),
]


@pytest.mark.parametrize("sink", SINKS)
def test_batching_does_not_change_a_byte(tmp_path: Path, sink: Parquet | Jsonl) -> None:
    contents = set()
    for seed in range(5):
        path = str(tmp_path / f"{seed}{sink.extension}")
        written = sink.write(path, batched(documents(), seed))
        content = Path(path).read_bytes()
        contents.add(content)
        assert (written.n_docs, written.n_bytes) == (N_DOCS, len(content))
    assert len(contents) == 1


def test_parquet(tmp_path: Path) -> None:
    path = str(tmp_path / "a.parquet")
    Parquet(row_group_rows=60).write(path, batched(documents(), 1))
    table = pq.read_table(path)
    assert table.schema.names == ["id", "text", "score", "tags", "metadata", "_key"]
    assert table.schema.field("_key").type == pa.binary(16)
    expected = pa.Table.from_batches([documents().data]).select(table.schema.names)
    assert table.drop("score").equals(expected.drop("score"))
    np.testing.assert_array_equal(table["score"].to_numpy(), expected["score"].to_numpy())
    metadata = pq.ParquetFile(path).metadata
    rows = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    assert rows == [60] * 8 + [20]


def test_row_groups_end_by_bytes() -> None:
    batch = pa.RecordBatch.from_pydict({"text": ["x" * 100] * 10 + ["y" * 5000] + ["z"] * 4})
    groups = list(row_groups(iter([batch]), 1000, 300))
    assert [group.num_rows for group in groups] == [3, 3, 3, 2, 4]


def test_row_groups_take_the_first_schema() -> None:
    small = pa.RecordBatch.from_pydict({"text": pa.array(["a"], pa.string())})
    large = pa.RecordBatch.from_pydict({"text": pa.array(["b"], pa.large_string())})
    (group,) = row_groups(iter([small, large]), 10, 100)
    assert group.equals(pa.table({"text": pa.array(["a", "b"], pa.string())}))


def test_chosen_columns(tmp_path: Path) -> None:
    path = str(tmp_path / "a")
    Parquet(columns=("text", "_position")).write(path, iter([documents()]))
    assert pq.read_schema(path).names == ["text", "_position"]
    assert Parquet(columns=("text", "_position")).needs() == ("text", "_position")
    Jsonl(columns=("id",), compression=None).write(path, iter([documents()]))
    assert Path(path).read_text().splitlines()[0] == '{"id":"d0"}'


def test_jsonl(tmp_path: Path) -> None:
    opened = {
        "gz": gzip.decompress,
        "zst": lambda data: zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read(),
        None: bytes,
    }
    for compression, decompress in opened.items():
        sink = Jsonl(compression=compression)
        path = tmp_path / f"a{sink.extension}"
        sink.write(str(path), batched(documents(), 1))
        lines = [json.loads(line) for line in decompress(path.read_bytes()).splitlines()]
        assert len(lines) == N_DOCS
        assert lines[1]["metadata"] == {"n": 1}
        assert lines[0]["metadata"] is None
        assert lines[0]["score"] is None
        assert lines[3]["tags"] == ["a"] * 3
        assert lines[2]["_key"] == documents()["_key"][2].as_py().hex()
        assert "_position" not in lines[0]


def test_jsonl_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    docs = documents().filter(
        np.array([text is not None for text in documents()["text"].to_pylist()])
    )
    Jsonl(columns=("id", "text", "metadata", "_key")).write(str(path), iter([docs]))
    stage = ReadJsonl(path=str(path))
    parts = stage.split(stage.inputs()[0], 1)
    read = [row for batch in stage.read(Shard(0, tuple(parts))) for row in batch.data.to_pylist()]
    for name in ("id", "text", "metadata"):
        assert [row[name] for row in read] == docs[name].to_pylist()


def test_jsonl_of_odd_values(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    batch = Batch.of(
        html=[b"\xff\x00"],
        metadata=["no JSON"],
        when=pa.array([0], pa.timestamp("s")),
        nested=[{"b": b"\x00", "l": [1.5, None]}],
    )
    Jsonl(compression=None).write(str(path), iter([batch]))
    assert json.loads(path.read_text()) == {
        "html": "/wA=",
        "metadata": "no JSON",
        "when": "1970-01-01T00:00:00",
        "nested": {"b": "AA==", "l": [1.5, None]},
    }


@pytest.mark.parametrize("sink", [Parquet(), Jsonl()])
def test_nothing_is_left_of_a_failed_write(tmp_path: Path, sink: Parquet | Jsonl) -> None:
    def failing() -> Iterator[Batch]:
        yield documents()
        raise RuntimeError("the worker dies")

    with pytest.raises(RuntimeError, match="the worker dies"):
        sink.write(str(tmp_path / "a"), failing())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("sink", [Parquet(), Jsonl()])
def test_no_rows(tmp_path: Path, sink: Parquet | Jsonl) -> None:
    path = str(tmp_path / "a")
    assert sink.write(path, iter([])).n_docs == 0
    assert sink.write(path, iter([documents().slice(0, 0)])).n_docs == 0
    if isinstance(sink, Parquet):
        assert pq.read_schema(path).names[:2] == ["id", "text"]


def test_extensions() -> None:
    assert [sink.extension for sink in SINKS[1:]] == [
        ".parquet",
        ".jsonl.zst",
        ".jsonl.gz",
        ".jsonl",
    ]
