"""Adds how long a dialogue is, in turns and characters, and the class of dialogues of that shape.

For balance: `sample.stratified: {by: shape, count: 1000}` after this stage keeps at most so many of each
track, language, number of turns and length, so that short single turns do not drown the rest.
Classes double: 1, 2-3, 4-7 turns of the user; below 256, 256-511, 512-1023 characters of the assistant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

import pyarrow as pa

from ultraclean.document import Batch, texts
from ultraclean.stage import Map

SHORTEST: Final = 256
"""Characters below which lengths are one class."""


class Shape(Map):
    """Adds `n_turns`, `n_chars` (int64: turns of the user, characters of the assistant) and `shape`."""

    stage: ClassVar[str] = "chat.shape"
    paper: ClassVar[str] = "our own"

    def needs(self) -> tuple[str, ...]:
        return ("messages", "track", "language")

    def adds(self) -> Mapping[str, pa.DataType]:
        return {"n_turns": pa.int64(), "n_chars": pa.int64(), "shape": pa.string()}

    def open(self) -> Callable[[Batch], Batch]:
        return _shaped


def _shaped(batch: Batch) -> Batch:
    rows = [turns or () for turns in batch["messages"].to_pylist()]
    n_turns = [sum(turn["role"] == "user" for turn in turns) for turns in rows]
    n_chars = [_n_chars(turns) for turns in rows]
    named = zip(batch.view("track", texts), batch.view("language", texts), strict=True)
    shapes = [
        f"{track} {language}, {_class(turns)} turns, "
        + (f"{_class(chars)} characters" if chars >= SHORTEST else f"under {SHORTEST} characters")
        for (track, language), turns, chars in zip(named, n_turns, n_chars, strict=True)
    ]
    return batch.with_columns(
        {
            "n_turns": pa.array(n_turns, pa.int64()),
            "n_chars": pa.array(n_chars, pa.int64()),
            "shape": pa.array(shapes, pa.string()),
        }
    )


def _n_chars(turns: Any) -> int:
    """Of what the assistant says, thinks and calls: what is learned."""
    mine = [turn for turn in turns if turn["role"] == "assistant"]
    said = sum(len(turn["content"] or "") + len(turn["reasoning"] or "") for turn in mine)
    calls = [call for turn in mine for call in turn["tool_calls"] or ()]
    return said + sum(len(call["name"] or "") + len(call["arguments"] or "") for call in calls)


def _class(number: int) -> str:
    """`0`, `1`, `2-3`, `4-7`, ...: between two powers of two."""
    low = 1 << max(number.bit_length() - 1, 0)
    return str(number) if number < 2 else f"{low}-{2 * low - 1}"
