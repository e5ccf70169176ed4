"""Dialogues written in each format are read back as they were; what cannot be said is an error."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard

from ultrachat.dialogue import COLUMNS, Call, Dialogue, Turn
from ultrachat.formats import READERS
from ultrachat.stages.write import Write
from ultraclean.document import Batch
from ultraclean.errors import DataError

PLAIN = [
    Dialogue((Turn("user", "Why?"), Turn("assistant", "因为😀\r\nso"))),
    Dialogue(
        (Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"), Turn("assistant", "d"))
    ),
]
TOOLS = Dialogue(
    (Turn("system", "Be brief."), Turn("user", "Weather?"),
     Turn("assistant", tool_calls=(Call("get", '{"city": "Paris"}', "1"),)),
     Turn("tool", "rain", tool_call_id="1"), Turn("assistant", "Rain.")),
    ({"name": "get", "parameters": {"type": "object"}},),
)  # fmt: skip


def batch_of(dialogues: list[Dialogue]) -> Batch:
    rows = [one.row() for one in dialogues]
    return Batch.of(
        id=[f"d{n}" for n in range(len(rows))],
        messages=pa.array([row["messages"] for row in rows], COLUMNS["messages"]),
        tools=pa.array([row["tools"] for row in rows], pa.string()),
        track=["t"] * len(rows),
    )


@pytest.mark.parametrize("name", sorted(READERS))
def test_round_trips(name: str, tmp_path: Path) -> None:
    dialogues = PLAIN + ([TOOLS] if name == "openai" else [])
    stage = Write(format=name, also=("track",))
    path = str(tmp_path / f"a{stage.extension}")
    batch = batch_of(dialogues)
    written = stage.write(path, iter([batch.slice(0, 1), batch.slice(1, len(dialogues) - 1)]))
    assert written.n_docs == len(dialogues) and written.n_bytes == Path(path).stat().st_size
    records = [json.loads(line) for line in Path(path).read_bytes().split(b"\n")[:-1]]
    for number, (record, dialogue) in enumerate(zip(records, dialogues, strict=True)):
        assert record["id"] == f"d{number}" and record.pop("track") == "t"
        again = READERS[name](record)
        assert (again.turns, again.tools) == (dialogue.turns, dialogue.tools)


def test_tools_in_sharegpt_and_mcp() -> None:
    row = batch_of([TOOLS]).data.to_pylist()[0]
    again = READERS["sharegpt"](Write(format="sharegpt").record(row))
    assert [turn.role for turn in again.turns] == [turn.role for turn in TOOLS.turns]
    assert again.turns[2].tool_calls[0].name == "get" and again.tools == TOOLS.tools
    assert "get(city='Paris')" in json.dumps(Write(format="mcp").record(row))


def test_compressed(tmp_path: Path) -> None:
    stage = Write(compressed=True)
    path = tmp_path / f"a{stage.extension}"
    stage.write(str(path), iter([batch_of(PLAIN)]))
    with path.open("rb") as stream:
        lines = zstandard.ZstdDecompressor().stream_reader(stream).read().split(b"\n")
    assert len(lines) == 3 and json.loads(lines[0])["messages"][0]["role"] == "user"


def test_what_a_format_cannot_say_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with pytest.raises(
        DataError,
        match=r"chat.write: the document d0 cannot be said in alpaca: Alpaca has no tools",
    ):
        Write(format="alpaca").write(str(path), iter([batch_of([TOOLS])]))
    assert not path.exists()
    nothing = Batch.of(id=["x"], messages=pa.array([None], COLUMNS["messages"]))
    with pytest.raises(DataError, match=r"the document x .*chat.passed drops such rows"):
        Write().write(str(path), iter([nothing]))
