"""Records of every format become dialogues; what is none goes, with what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ultrachat.dialogue import of_row
from ultrachat.stages.read import Read
from ultraclean import Pipeline
from ultraclean.document import Batch
from ultraclean.stage import Decision, Source
from ultraclean.stages.read.jsonl import Jsonl
from ultraclean.stages.read.parquet import Parquet


def decided(stage: Read, records: list[str | None]) -> tuple[Decision, list[str | None]]:
    decision = stage.open()(Batch.of(metadata=records))
    return decision, [None if c < 0 else decision.reasons[c] for c in decision.code.tolist()]


def said(decision: Decision, row: int) -> list[tuple[str, str]]:
    turns = of_row(decision.columns["messages"][row].as_py()).turns
    return [(turn.role, turn.content) for turn in turns]


def test_formats_are_told_by_their_fields_and_other_fields_stay() -> None:
    records: list[str | None] = [
        '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "source": "web"}',
        '{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}',
        '{"instruction": "q", "output": "a", "score": 4}',
        '{"data": ["q", "a"]}',
    ]
    decision, reasons = decided(Read(), records)
    assert reasons == [None] * 4
    for row in range(4):
        assert said(decision, row) == [("user", "q"), ("assistant", "a")]
    assert decision.columns["prompt"].to_pylist() == ["q"] * 4
    assert decision.columns["text"].to_pylist() == ["q\n\na"] * 4
    assert decision.columns["metadata"].to_pylist() == [
        '{"source":"web"}',
        None,
        '{"score":4}',
        None,
    ]


@pytest.mark.parametrize(
    ("record", "reason", "detail"),
    [
        (None, "not_a_dialogue", "a record with the fields [] is of no known format"),
        ('{"text": "x"}', "not_a_dialogue", "a record with the fields ['text'] is of no known format"),
        ('{"messages": "x"}', "not_a_dialogue", "'messages' is 'x', not a list"),
        ('{"messages": [{"role": "bot", "content": "x"}]}', "not_a_dialogue", "message 0: the role is 'bot'"),
        ('{"conversations": [7]}', "not_a_dialogue", "a field is not as the format has it: AttributeError"),
        ('{"instruction": "q", "output": 3}', "not_a_dialogue", "'output' is 3, not a str"),
        ('{"instruction": "q", "output": "a", "history": [["x"]]}', "not_a_dialogue", "a field is not as the format has it: ValueError"),
        ('{"data": []}', "no_turns", None),
        ('{"data": ["q"]}', "does_not_end_with_assistant", None),
        ('{"data": ["q", " "]}', "empty_turn", None),
        ('{"conversations": [{"from": "gpt", "value": "a"}]}', "does_not_begin_with_user", None),
        ('{"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}]}', "turns_out_of_order", None),
    ],
)  # fmt: skip
def test_what_is_no_dialogue(record: str | None, reason: str, detail: str | None) -> None:
    decision, reasons = decided(Read(), [record, '{"data": ["q", "a"]}'])
    assert reasons == [reason, None]
    found = decision.detail[0].as_py() if decision.detail is not None else None
    assert (found is None) if detail is None else found.startswith(detail)


def test_order_can_be_left_alone() -> None:
    decision, reasons = decided(Read(any_order=True), ['{"data": ["q"]}'])
    assert reasons == [None] and said(decision, 0) == [("user", "q")]


def test_fields_of_other_names() -> None:
    stage = Read(format="alpaca", fields={"instruction": "question", "output": "answer"})
    decision, reasons = decided(stage, ['{"question": "q", "answer": "a", "id": 3}', '{"q": 1}'])
    assert reasons == [None, "not_a_dialogue"]
    assert said(decision, 0) == [("user", "q"), ("assistant", "a")]
    assert decision.detail is not None
    assert decision.detail[1].as_py() == "there is no field 'question' (there is: q)"


def test_split() -> None:
    records = ['{"data": ["a", "b"]}', None, '{"instruction": "q", "output": "a"}', '{"data": 1}']
    batch = Batch.of(metadata=records)
    whole = Read().open()(batch)
    for cut in range(5):
        parts = [Read().open()(part) for part in (batch.slice(0, cut), batch.slice(cut, 4 - cut))]
        assert [c for part in parts for c in part.code.tolist()] == whole.code.tolist()
        for name, column in whole.columns.items():
            both = pa.chunked_array([part.columns[name] for part in parts], column.type)
            assert both.to_pylist() == column.to_pylist()


def rows_of(source: Source, folder: Path) -> list[dict[str, Any]]:
    pipeline = Pipeline(name="dialogues", stages=[source, Read()], allow_empty=True)
    finished = pipeline.run(str(folder), address="inline")
    return [
        row for batch in finished.table("dialogues").batches() for row in batch.data.to_pylist()
    ]


def test_files_that_people_have(shared_data: Path, tmp_path: Path) -> None:
    """From JSON lines, and the same records from Parquet: each file of its own format."""
    kept = {}
    for file in sorted((shared_data / "sft").glob("*.jsonl.gz")):
        found = rows_of(Jsonl(path=str(file), text=None), tmp_path / file.name)
        kept[file.name.split(".")[0]] = len(found)
        assert all(row["prompt"] for row in found)
    assert kept["c4_demo"] == 0 and kept["dpo_en_demo"] == 0
    assert kept["alpaca_en_demo"] > 0 and kept["glaive_toolcall_zh_demo"] > 0
    assert kept["reason_tool_use_demo_50"] > 0 and kept["v1_sft_demo"] > 0


def test_parquet_with_nested_messages(tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": f"a{n}"}], "n": n}
        for n in range(3)
    ]  # fmt: skip
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(rows), path)
    found = rows_of(Parquet(path=str(path), text=None), tmp_path / "run")
    assert [row["text"] for row in found] == ["q\n\na0", "q\n\na1", "q\n\na2"]
    assert [json.loads(row["metadata"]) for row in found] == [{"n": 0}, {"n": 1}, {"n": 2}]
