"""What puts finished dialogues in order: refusals in any turn, and the shape by which they are balanced."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ultrachat.dialogue import COLUMNS
from ultrachat.stages.refusal import Refusal
from ultrachat.stages.shape import Shape
from ultraclean.document import Batch


def dialogue(*texts: str) -> list[dict[str, Any]]:
    return [
        {"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)
    ]


def batch_of(*dialogues: list[dict[str, Any]] | None) -> Batch:
    n = len(dialogues)
    return Batch.of(
        messages=pa.array(dialogues, COLUMNS["messages"]), track=["t"] * n, language=["en"] * n
    )


NO = "I cannot help with that."


def test_refusals_of_the_assistant_are_found_in_every_turn() -> None:
    batch = batch_of(
        dialogue("a", "b"), dialogue("a", NO), dialogue("a", "b", "c", NO), dialogue(NO, "b"), None
    )
    decision = Refusal().open()(batch)
    assert decision.code.tolist() == [-1, 0, 0, -1, -1]
    (measured,) = decision.numbers.values()
    assert list(measured) == [0, 1, 1, 0, 0]
    assert Refusal(max_refusals=1).open()(batch).code.tolist() == [-1] * 5


def test_a_shape_is_a_class_of_turns_and_length() -> None:
    batch = batch_of(
        dialogue("a", "b"), dialogue("a", "b" * 256), dialogue(*["a", "b" * 200] * 3), None
    )
    made = Shape().open()(batch)
    assert made["n_turns"].to_pylist() == [1, 1, 3, 0]
    assert made["n_chars"].to_pylist() == [1, 256, 600, 0]
    assert made["shape"].to_pylist() == [
        "t en, 1 turns, under 256 characters",
        "t en, 1 turns, 256-511 characters",
        "t en, 2-3 turns, 512-1023 characters",
        "t en, 0 turns, under 256 characters",
    ]
    cut = [Shape().open()(batch.slice(at, 1)).data for at in range(batch.num_rows)]
    assert pa.Table.from_batches(cut).combine_chunks().equals(
        pa.Table.from_batches([made.data]).combine_chunks()
    )  # fmt: skip
